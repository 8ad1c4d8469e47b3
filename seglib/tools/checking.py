"""`seglib check`: what is wrong with a dataset of params.yaml, or with a folder that it does not name."""

import dataclasses
import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from seglib import params, resolve
from seglib.datasets import check
from seglib.datasets.folder.guess import Guess, guess
from seglib.datasets.readers import SELECTION, reader_of
from seglib.files import write_json
from seglib.names import nearest
from seglib.params import Params
from seglib.params.datasets import Folder
from seglib.pipeline.user_paths import refuse_overlap
from seglib.strict import ParamsError, explain
from seglib.tools import studies

NAME = "mine"  # of the entry that a guess becomes
USUAL = {"kind": "folder", "test_fraction": 0.2, "image_size": 256, "resize": "stretch", "val_fraction": 0.1}


def is_dataset(name: str) -> bool:
    """Whether the params.yaml of this folder has a dataset of that name."""
    return name in params.load(studies.PARAMS).datasets


def check_dataset(name: str, changes: Sequence[str], root: Path) -> check.Report:
    """Check a dataset of the repository's params.yaml with these changes. Raises ValueError if there is none."""
    settings = studies.settings(changes) if changes else params.load(studies.PARAMS)
    refuse_overlap(settings, root)
    if name not in settings.datasets:
        raise ValueError(f"params.yaml has no dataset '{name}', and no folder has this path: "
                         f"{nearest(name, list(settings.datasets))}")
    return check.run(name, resolve.prepare_config(settings, name))


def check_fetched(name: str, settings: Params, root: Path, place: Path) -> check.Report:
    """Fetch a dataset into the empty folder `place`, and check it there.

    The report names the source in place of that folder. What was downloaded stays in `.work/` for the study. Raises
    ValueError if the source cannot be read.
    """
    refuse_overlap(settings, root)
    config = resolve.fetch_config(settings, name)
    write_json(place / SELECTION, reader_of(config.kind).fetch(config, place))
    report = check.run(name, resolve.prepare_config(settings, name), place=place)
    source = (config.download and config.download.mirror) or config.options.get("source") or "its publishers"
    findings = [dataclasses.replace(one, text=one.text.replace(f"{place}{os.sep}", "")) for one in report.findings]
    return dataclasses.replace(report, place=Path(source), findings=findings)


def check_folder(folder: Path, changes: Sequence[str], root: Path | None) -> tuple[str, check.Report]:
    """Guess what a folder holds, and check it. Returns the guess, in words, and the report.

    changes: of the guessed entry, such as `datasets.mine.ignore=[]`. root: the repository, if there is one. Raises
    ValueError if the folder holds nothing like a dataset.
    """
    found = guess(folder)
    path = os.path.relpath(folder, root) if root else str(folder)
    entry = USUAL | {"path": path} | found.keys
    settings = _settings(entry, changes, root)
    report = check.run(NAME, settings.prepare_config(0.05), place=folder)
    return _in_words(folder, found, settings), report


def _settings(entry: dict[str, Any], changes: Sequence[str], root: Path | None) -> Folder:
    """The entry as params.yaml would have it, with these changes."""
    from dvc.exceptions import InvalidArgumentError
    from dvc.utils.hydra import apply_overrides

    try:
        whole = Folder.model_validate(entry).model_dump(exclude={"train"})
    except ValidationError as error:
        raise ParamsError(explain(error, f"datasets.{NAME}")) from None
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary, studies.PARAMS.name)
        raw = YAML(typ="safe", pure=True).load((root / studies.PARAMS).read_text("utf-8")) if root else {"datasets": {}}
        raw["datasets"][NAME] = whole
        with copy.open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(raw, file)
        for change in changes:
            try:
                apply_overrides(copy, [change])
            except InvalidArgumentError:
                raise ParamsError(f"-S {change}: {studies.what_is_wrong(copy, change)}") from None
        if root:
            settings = params.load(copy)
            refuse_overlap(settings, root)
            return settings.datasets[NAME]
        try:
            return Folder.model_validate(YAML(typ="safe", pure=True).load(copy.read_text("utf-8"))["datasets"][NAME])
        except ValidationError as error:
            raise ParamsError(explain(error, f"datasets.{NAME}")) from None


def _in_words(folder: Path, found: Guess, settings: Folder) -> str:
    """What was guessed, why, and the entry for params.yaml."""
    whole = settings.model_dump(exclude={"train"})
    first = ["kind", "path", "masks", *(["classes", "ignore"] if settings.masks == "ids" else ["classes"])]
    told = [key for key in whole if key in USUAL or whole[key] != Folder.model_fields[key].default]
    chosen = {key: whole[key] for key in dict.fromkeys([*first, *told])}
    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.width = 120
    yaml.indent(mapping=2)
    yaml.dump({NAME: chosen}, text)
    entry = "".join(f"  {line}\n" for line in text.getvalue().splitlines())
    return "\n".join([f"{folder} is not in params.yaml. Guessed:", *(f"  - {reason}" for reason in found.reasons), "",
                      f"This entry for params.yaml says so; it replaces datasets.{NAME}:", "", f"datasets:\n{entry}"])
