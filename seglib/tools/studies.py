"""The studies of params.yaml. Each runs as a DVC experiment, in a temporary copy of the repository.

The workspace stays as it is: params.yaml, dvc.lock, and the runs, results and report of whatever ran there before. What
a study leaves is copied to `studies/<name>/`. An earlier result of the same study is renamed, never deleted.
"""

import datetime
import logging
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from seglib import params
from seglib.files import atomic_folder, read_json, write_json
from seglib.names import nearest
from seglib.params import Params, ParamsError
from seglib.report import builder

PARAMS = Path("params.yaml")
STUDIES = Path("studies")
EVERYTHING = STUDIES / params.EVERYTHING
KEPT = ("params.yaml", "dvc.lock", "metrics.json", "conf", "runs", "timings", "results", "comparisons", "reports")
NOTE = "study.json"  # the experiment's name and revision, and the command


def changes_of(name: str, *, sample: bool = False, changes: Sequence[str] = ()) -> list[str]:
    """What study `name` changes in params.yaml: values for `dvc exp run -S`.

    sample: at sample size. changes: further values, applied last. Raises ValueError if params.yaml has no such study,
    and ParamsError if params.yaml cannot be used.
    """
    studies = params.load(PARAMS).studies
    if name not in studies:
        raise ValueError(f"params.yaml has no study '{name}': {nearest(name, list(studies))}")
    return [*params.as_overrides(studies[name], sample=sample), *changes]


def command_of(changes: Sequence[str]) -> list[str]:
    """The same experiment as a command of DVC's."""
    return ["dvc", "exp", "run", "--temp", *(part for change in changes for part in ("-S", change))]


def settings(changes: Sequence[str]) -> Params:
    """params.yaml with these changes, as DVC applies them. Raises ParamsError if one of them cannot be applied."""
    from dvc.exceptions import InvalidArgumentError
    from dvc.utils.hydra import apply_overrides

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, PARAMS.name)
        shutil.copyfile(PARAMS, copy)
        try:
            apply_overrides(copy, list(changes))
        except InvalidArgumentError:
            for change in changes:  # one by one, to name the one that is wrong
                try:
                    apply_overrides(copy, [change])
                except InvalidArgumentError:
                    raise ParamsError(f"-S {change}: {_what_is_wrong(copy, change)}") from None
        return params.load(copy)


def run(name: str, changes: Sequence[str], *, command: Sequence[str]) -> Path | None:
    """Run a study and return the folder with what it left; None if it failed, which DVC has reported by then.

    command: what the user typed, for the note in that folder. SIGTERM and Ctrl-C stop the study. The same command
    resumes it: DVC's cache has the finished stages, and `.work/checkpoints` the training that was stopped.
    """
    from dvc.cli import main

    experiment = f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    own_code = [part for path in _untracked_code() for part in ("--copy-paths", path)]
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    for logger in ("dvc_data.hashfile.checkout", "dvc_data.index.checkout"):
        logging.getLogger(logger).addFilter(_is_news)
    if main([*command_of(changes)[1:], "--name", experiment, *own_code]) != 0:
        return None
    return _keep(name, experiment, command)


def run_all(*, sample: bool = False, changes: Sequence[str] = ()) -> Path:
    """Run every study in turn, and make one page of their comparisons. Returns the folder of that page.

    A study that fails is left out, and the others run. Raises ValueError at the end if one failed.
    """
    failed = []
    options = ["--sample"] * sample + [part for change in changes for part in ("-S", change)]
    names = list(params.load(PARAMS).studies)
    with tempfile.TemporaryDirectory(dir=_made(STUDIES), prefix=".everything.") as gathered:
        for name in names:
            line = ["study", name, *options]
            print(f"\n{shlex.join(['seglib', *line])}", flush=True)
            if subprocess.run([sys.executable, "-m", "seglib.cli", *line]).returncode != 0:
                failed.append(name)
                continue
            shutil.copytree(STUDIES / name / "comparisons", Path(gathered, name))
        if len(failed) == len(names):
            raise ValueError("all studies failed; see the first error above")
        builder.build_everything(Path(gathered), command=shlex.join(["seglib", "everything", *options]))
        _put_aside(EVERYTHING)
        with atomic_folder(EVERYTHING) as out:
            shutil.copytree(gathered, out, dirs_exist_ok=True)
    if failed:
        raise ValueError(f"{EVERYTHING}/index.html does not show {', '.join(failed)}, which failed (see above). "
                         "Finished trainings are kept: the same command runs only what is missing")
    return EVERYTHING


def _keep(name: str, experiment: str, command: Sequence[str]) -> Path:
    """Copy the outputs of an experiment to studies/<name>/, unless the study left the same the last time."""
    from dvc.api import DVCFileSystem
    from dvc.repo import Repo

    with Repo() as repo:
        revision = next(repo.scm.get_ref(ref) for ref in repo.scm.iter_refs("refs/exps")
                        if ref.endswith(f"/{experiment}"))
    kept = STUDIES / name
    source = DVCFileSystem(os.fspath(Path.cwd()), rev=revision)
    if (kept / "dvc.lock").exists() and (kept / "dvc.lock").read_bytes() == source.read_bytes("dvc.lock"):
        return kept
    with tempfile.TemporaryDirectory(dir=_made(STUDIES), prefix=f".{name}.") as copied:
        for part in KEPT:
            source.get(part, os.fspath(Path(copied, part)), recursive=True)
        write_json(Path(copied, NOTE), {"study": name, "experiment": experiment, "revision": revision,
                                        "command": shlex.join(command)})
        _put_aside(kept)
        with atomic_folder(kept) as out:
            shutil.copytree(copied, out, dirs_exist_ok=True)
    return kept


def _put_aside(folder: Path) -> None:
    """Rename a folder that another one is to replace, if it exists: to its experiment's name, or by its date."""
    if not folder.exists():
        return
    note = folder / NOTE
    name = read_json(note)["experiment"] if note.exists() else (
        f"{folder.name}-{datetime.datetime.fromtimestamp(folder.stat().st_mtime):%Y%m%d-%H%M%S}")
    free = (folder.with_name(f"{name}{suffix}") for suffix in ("", *(f"-{n}" for n in range(2, 10_000))))
    folder.rename(next(path for path in free if not path.exists()))


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _untracked_code() -> list[str]:
    """Modules and packages that git does not know yet. The temporary copy holds tracked files, so DVC is told of these.
    """
    listed = subprocess.run(["git", "ls-files", "-z", "--others", "--exclude-standard", "--directory",
                             "--no-empty-directory", "--", "seglib", "stages"],
                            capture_output=True, text=True, check=False).stdout
    return [path for path in listed.split("\0") if path]


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a warning of DVC's is worth reading. It warns of each output that the last commit does not have."""
    return not str(record.msg).startswith("No file hash info found")


def _what_is_wrong(file: Path, change: str) -> str:
    """Why DVC cannot apply a change: a key that params.yaml does not have, or a value that cannot be read."""
    path, has_value, text = change.partition("=")
    keys = path.lstrip("+~").split(".")
    place: Any = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    for key in keys[:-1] if path.startswith("+") else keys:
        known = [*map(str, range(len(place)))] if isinstance(place, list) else place if isinstance(place, dict) else []
        if key not in known:
            return (f"params.yaml has no '{key}' there, "
                    f"{nearest(key, list(known)) if known else 'a single value stands there'}")
        place = place[int(key)] if isinstance(place, list) else place[key]
    if not has_value:
        return "expected KEY=VALUE"
    return f"{text!r} is not a value; a list looks like [a,b]"
