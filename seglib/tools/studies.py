"""The studies of params.yaml. Each runs as a DVC experiment, in a temporary copy of the repository.

The workspace stays as it is: params.yaml, dvc.lock, and the runs, results and report of whatever ran there before. What
a study leaves is copied to `studies/<name>/`. An earlier result of the same study is renamed, never deleted.
"""

import contextlib
import datetime
import errno
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from seglib import params
from seglib.files import UMASK, read_json, write_json
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
                    raise ParamsError(f"-S {change}: {what_is_wrong(copy, change)}") from None
        return params.load(copy)


def run(name: str, changes: Sequence[str], *, command: Sequence[str]) -> Path | None:
    """Run a study and return the folder with what it left; None if it failed, which DVC has reported by then.

    name: its folder in `studies/`; a part of a larger study has one in that study's folder (`bridge-a-b/0`).
    command: what the user typed, for the note in that folder. Ctrl-C, SIGTERM and SIGHUP stop the study. The same
    command resumes it: DVC's cache has the finished stages, and `.work/checkpoints` the training that was stopped.
    """
    from dvc.cli import main

    (STUDIES / name).parent.mkdir(parents=True, exist_ok=True)  # now, not hours later, in case it cannot be made
    experiment = f"{name.replace('/', '-')}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    own_code = [part for path in _untracked_code() for part in ("--copy-paths", path)]
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    for logger in ("dvc_data.hashfile.checkout", "dvc_data.index.checkout"):
        logging.getLogger(logger).addFilter(_is_news)
    with _stopped_by_signals():  # so that DVC puts git's state back, which it changes for a moment when it starts
        status = main([*command_of(changes)[1:], "--name", experiment, *own_code])
    return _keep(name, experiment, command) if status == 0 else None


def run_all(*, sample: bool = False, changes: Sequence[str] = ()) -> Path:
    """Run every study in turn, and make one page of their comparisons. Returns the folder of that page.

    A study that fails is left out, and the others run. Raises ValueError at the end if one failed.
    """
    failed = []
    options = ["--sample"] * sample + [part for change in changes for part in ("-S", change)]
    names = list(params.load(PARAMS).studies)
    STUDIES.mkdir(exist_ok=True)
    with _new_folder(EVERYTHING) as page, _stopped_by_signals():
        for name in names:
            line = ["study", name, *options]
            print(f"\n{shlex.join(['seglib', *line])}", flush=True)
            if _status_of([sys.executable, "-m", "seglib.cli", *line]) != 0:
                failed.append(name)
                continue
            shutil.copytree(STUDIES / name / "comparisons", page / name)
        if len(failed) == len(names):
            raise ValueError("all studies failed; see the first error above")
        builder.build_everything(page, command=shlex.join(["seglib", "everything", *options]))
    if failed:
        raise ValueError(f"{EVERYTHING}/index.html does not show {', '.join(failed)}, which failed (see above). "
                         "Finished trainings are kept: the same command runs only what is missing")
    return EVERYTHING


def _status_of(command: Sequence[str]) -> int:
    """Run a command to its end. If we are stopped, so is the command, and we wait until it has stopped."""
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the terminal sent it to the command too
            process.wait()
            raise
        except SystemExit:
            process.terminate()
            raise


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Exit on SIGTERM and SIGHUP as on an error, so that whoever must clean up does. `nohup` keeps SIGHUP ignored."""
    def stop(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)
              if signal.getsignal(number) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _keep(name: str, experiment: str, command: Sequence[str]) -> Path:
    """Copy the outputs of an experiment to studies/<name>/, unless the study left the same the last time."""
    from dvc.api import DVCFileSystem
    from dvc.repo import Repo

    with Repo() as repo:
        refs = [ref for ref in repo.scm.iter_refs("refs/exps") if ref.endswith(f"/{experiment}")]
        revision = repo.scm.get_ref(refs[0]) if refs else None
    if revision is None:
        raise ValueError(f"the experiment {experiment} is gone: run the same command to make it again from DVC's cache")
    kept, source = STUDIES / name, DVCFileSystem(os.fspath(Path.cwd()), rev=revision)
    if ((kept / "reports/index.html").exists() and (kept / "dvc.lock").exists()
            and all((kept / file).read_bytes() == source.read_bytes(file) for file in ("dvc.lock", "params.yaml"))):
        return kept
    with _new_folder(kept) as copied:
        for part in KEPT:
            source.get(part, os.fspath(copied / part), recursive=True)
        write_json(copied / NOTE, {"study": name, "experiment": experiment, "revision": revision,
                                   "command": shlex.join(command)})
    return kept


@contextlib.contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """Give a folder beside `path`; it takes its place when the block ends without an error. What was there is renamed.
    """
    copied = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    copied.chmod(0o777 & ~UMASK)  # it was private until now
    try:
        yield copied
        while True:
            try:
                copied.rename(path)
                return
            except OSError as error:  # there is one already, perhaps of another run that ended in this moment
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
                _put_aside(path)
    finally:
        shutil.rmtree(copied, ignore_errors=True)


def _put_aside(path: Path) -> None:
    """Rename what is at `path`: to the name of its experiment, or by its date."""
    note = read_json(path / NOTE) if (path / NOTE).is_file() else {}
    date = datetime.datetime.fromtimestamp(path.stat().st_mtime)
    name = note.get("experiment") or f"{path.name}-{date:%Y%m%d-%H%M%S}"
    free = (path.with_name(f"{name}{suffix}") for suffix in ("", *(f"-{n}" for n in range(2, 10_000))))
    path.rename(next(place for place in free if not place.exists()))


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


def what_is_wrong(file: Path, change: str) -> str:
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
