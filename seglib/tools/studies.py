"""The studies of params.yaml, each an experiment of `dvc exp run`."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

from seglib import params
from seglib.files import atomic_file, atomic_folder, work_dir
from seglib.names import nearest
from seglib.params import Params, ParamsError
from seglib.report import builder
from seglib.tools import mending

PARAMS = Path("params.yaml")
EVERYTHING = Path("everything")


def command(name: str, *, sample: bool = False, changes: Sequence[str] = ()) -> list[str]:
    """The `dvc exp run` that study `name` is. sample: at sample size. changes: more of `-S`, applied last.

    Raises ValueError for a name that params.yaml does not have, ParamsError for a params.yaml that cannot be used.
    """
    studies = params.load(PARAMS).studies
    if name not in studies:
        raise ValueError(f"params.yaml has no study '{name}': {nearest(name, list(studies))}")
    return ["dvc", "exp", "run", *params.as_overrides(studies[name], sample=sample),
            *(part for change in changes for part in ("-S", change))]


def commands(*, sample: bool, changes: Sequence[str]) -> dict[str, list[str]]:
    """Every study's."""
    return {name: command(name, sample=sample, changes=changes) for name in params.load(PARAMS).studies}


def settings(command: Sequence[str]) -> Params:
    """params.yaml as a command of `command`'s will make it. Raises ParamsError where that cannot be used."""
    params.load(PARAMS)
    content = YAML(typ="safe", pure=True).load(PARAMS.read_text(encoding="utf-8"))
    raw = json.loads(json.dumps(content))  # what YAML's aliases share is one thing no more, as in DVC
    for option, change in zip(command, command[1:], strict=False):
        if option == "-S":
            _change(raw, change)
    return params.parse(raw)


def run_one(command: Sequence[str]) -> int:
    """Run one study's command; its exit status. params.yaml is left as it was, and what a killed DVC left is mended."""
    for done in mending.mend(Path.cwd()):
        print(done, flush=True)
    with _params_kept():
        return _run(command)


def run_all(*, sample: bool = False, changes: Sequence[str] = ()) -> None:
    """Run every study in turn and gather their comparisons in everything/<study>/<dataset>/, and one page of them.

    Each begins with params.yaml as it stands now, which is also how it is left. A study that fails is left out, and the
    others go on. Raises ValueError at the end where one failed.
    """
    lines, failed = commands(sample=sample, changes=changes), []
    options = ["--sample"] * sample + [part for change in changes for part in ("-S", change)]
    with atomic_folder(EVERYTHING) as out:
        for name, line in lines.items():
            datasets = settings(line).run.datasets
            print(f"\n{shlex.join(['seglib', 'study', name, *options])}\n{shlex.join(line)}", flush=True)
            if run_one(line) != 0:
                failed.append(name)
                continue
            for dataset in datasets:
                shutil.copytree(Path("comparisons", dataset), out / name / dataset)
        if len(failed) == len(lines):
            raise ValueError("no study came to an end; what is said above by the first says why")
        builder.build_everything(out, command=shlex.join(["seglib", "everything", *options]))
    if failed:
        raise ValueError(f"{EVERYTHING}/index.html lacks {', '.join(failed)}, which failed (see above); what ran is "
                         "kept, and running it again trains only what is missing")


@contextlib.contextmanager
def _params_kept() -> Iterator[None]:
    """params.yaml as it was, whatever happens. `dvc exp run` leaves its changes there, and the next builds on them.

    What a killed study could not put back is put back by the next; what stood there meanwhile, perhaps edited since, is
    kept aside.
    """
    kept = work_dir() / "params.yaml.before"
    if kept.exists():
        aside = work_dir() / "params.yaml.found"
        shutil.copyfile(PARAMS, aside)
        print(f"puts back params.yaml as it was before a study that was killed; what it held is in {aside}", flush=True)
    else:
        with atomic_file(kept) as temporary:
            shutil.copyfile(PARAMS, temporary)

    def stop(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)
              if signal.getsignal(number) is not signal.SIG_IGN}  # as `nohup` leaves it
    try:
        _put_back(kept)
        yield
    finally:
        _put_back(kept)
        kept.unlink()
        for number, handler in before.items():
            signal.signal(number, handler)


def _put_back(kept: Path) -> None:
    with atomic_file(PARAMS) as temporary:
        shutil.copyfile(kept, temporary)


def _run(command: Sequence[str]) -> int:
    """The command's exit status. An interrupt is the command's to answer: DVC then stops its stage and tidies up."""
    with subprocess.Popen(command, env=_environment()) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise
        except SystemExit:  # by `stop`: whoever ends a study ends what it runs, not a night later
            process.terminate()
            raise


def _environment() -> dict[str, str]:
    """Ours, with the programs of this Python's environment first: `dvc`, and the `python` its stages run."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _change(raw: dict[str, Any], change: str) -> None:
    """Change params.yaml's content as `-S` does, by the rules of DVC that studies need: KEY=VALUE, +KEY=VALUE, ~KEY.

    Raises ParamsError for a change that DVC would refuse.
    """
    path, has_value, text = change.partition("=")
    *folders, last = path.lstrip("+~").split(".")
    place: Any = raw
    for key in folders:
        place = place[_existing(place, key, change)]
    if path.startswith("~"):
        del place[_existing(place, last, change)]
        return
    if not has_value:
        raise ParamsError(f"-S {change}: expected KEY=VALUE")
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        raise ParamsError(f"-S {change}: {text!r} is not a value; a list looks like [a,b]") from None
    place[last if path.startswith("+") else _existing(place, last, change)] = value


def _existing(place: Any, key: str, change: str) -> str | int:
    """The key, or a list's index, where `place` has it."""
    known = list(map(str, range(len(place)) if isinstance(place, list) else place if isinstance(place, dict) else ()))
    if key not in known:
        hint = nearest(key, known) if known else "a single value stands there"
        raise ParamsError(f"-S {change}: params.yaml has no '{key}' there, {hint}")
    return int(key) if isinstance(place, list) else key
