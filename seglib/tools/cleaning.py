"""Remove what nothing needs: downloads, states of finished trainings, files of trainings that were removed.

What is live stays: the trainings that `conf/` or the `run` of params.yaml name, with their outputs and records, and the
states of trainings that can be resumed. What is removed can be had again: downloads from their hosts, the files of a
removed training from DVC's cache. A file in runs/, results/ or timings/ that DVC's cache does not have stays, because a
user may have put it there. A record is removed only if MLflow holds it. `resolve` writes `conf/` as a whole, so that
nothing is left behind there.
"""

import dataclasses
import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from seglib import params, resolve
from seglib.files import file_sha256, read_json, repository_root, work_dir
from seglib.pipeline import records, tracking
from seglib.pipeline.group import is_still_to_be_written
from seglib.pipeline.identity import identity_of
from seglib.pipeline.workspace import TrainingFiles, live_datasets, live_trainings, predictors_folder
from seglib.tools.units import size
from seglib.training import checkpoint

RECORDED = ("training", "comparison")  # a record that was written whole holds one of these files, as JSON
LISTED = 5  # paths that are named for each item


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
    """Files or folders of one kind, which go together or stay together."""

    what: str
    paths: list[Path]
    stays: str = ""  # why they stay; empty if they go

    @property
    def bytes(self) -> int:
        """The bytes that removing them frees. A file with another hard link elsewhere frees none."""
        return sum(status.st_blocks * 512 for path in self.paths for status in _files(path) if status.st_nlink == 1)

    def __str__(self) -> str:
        more = len(self.paths) - LISTED
        return "\n".join([f"{size(self.bytes):>9}  {self.what}{f' (stay: {self.stays})' if self.stays else ''}",
                          *(f"{'':>11}{os.path.relpath(path)}" for path in self.paths[:LISTED]),
                          *([f"{'':>11}and {more} more"] if more > 0 else [])])


def survey(*, unfinished: bool = False) -> list[Item]:
    """List what can go, and what looks like it but stays. unfinished: states of trainings that can resume go, too."""
    trainings = _live_trainings()
    items = [Item(what="downloads", paths=_entries(work_dir() / "downloads")), *_states(unfinished),
             Item(what="temporary copies of experiments and studies that were killed", paths=[
                 *sorted((repository_root() / ".dvc/tmp/exps/standalone").glob("tmp*")),
                 # As studies.py names a folder until it is complete: eight random characters at its end.
                 *sorted(path for pattern in (".*.????????", "bridge-*/.*.????????")
                         for path in (repository_root() / "studies").glob(pattern)
                         if path.is_dir() and not path.is_symlink())]),
             Item(what="records of trainings and comparisons that are not live",
                  paths=_dead_records(trainings))]
    live = {(files.dataset, files.name) for files in trainings}
    live |= {(dataset, predictors_folder(dataset).name) for dataset, _ in live}
    is_cached = _cached_by_dvc()
    for folder in ("runs", "results", "timings"):
        left = [path for path in sorted(Path(folder).glob("*/*"))
                if (path.parent.name, path.stem) not in live and path.name != ".gitignore"]
        own = [path for path in left if all(is_cached(file) for file in _files_to_lose(path))]
        items.append(Item(what=f"{folder} of trainings that are not live", paths=own))
        items.append(Item(what=f"other files in {folder}", paths=[path for path in left if path not in own],
                          stays="DVC's cache does not have them"))
    return [item for item in items if item.paths]


def _files_to_lose(path: Path) -> list[Path]:
    """The files at `path`, except what an interrupted write left: a hidden file named after an output."""
    names = {one.name for one in TrainingFiles("dataset", "model-loss-1").outputs}
    return [file for file in (sorted(path.rglob("*")) if path.is_dir() and not path.is_symlink() else [path])
            if (file.is_symlink() or not file.is_dir())
            and not any(file.name.startswith(f".{name}.") for name in names)]


def _cached_by_dvc() -> Callable[[Path], bool]:
    """A test whether DVC's cache has the content of a file."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo(os.fspath(repository_root())) as repo:
            cache = Path(repo.cache.local.path)
    except NotDvcRepoError:
        return lambda file: False

    def is_cached(file: Path) -> bool:
        if not file.is_file():  # a link that leads nowhere
            return False
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "md5").hexdigest()
        return (cache / digest[:2] / digest[2:]).is_file()
    return is_cached


def remove(items: list[Item]) -> list[str]:
    """Remove what does not stay; gives what could not be, in words. Raises ValueError while DVC runs a stage here."""
    if running := _running():
        raise ValueError(f"DVC is at work in this repository (process {running}): wait until it is done")
    troubles = []
    for path in (path for item in items if not item.stays for path in item.paths):
        try:
            if path.parent == records.folder() and any((path / f"{of}.json").exists() for of in RECORDED):
                tracking.sync(path)
        except tracking.unreachable() as error:
            troubles.append(f"{path} stays: MLflow ({tracking.store_uri()}) does not hold it yet ({error})")
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    return troubles


def _live_trainings() -> list[TrainingFiles]:
    """The trainings of `conf/`, and those that params.yaml picks now: either may be ahead of the other."""
    picked = resolve.resolve(params.load(Path("params.yaml")))
    return sorted({files for dataset in live_datasets() for files in live_trainings(dataset)}
                  | {TrainingFiles(training.dataset, training.name) for training in picked})


def _states(unfinished: bool) -> Iterator[Item]:
    """Checkpoints, by whether a training needs them. No training can use one that cannot be read."""
    finished, stopped, in_use = [], [], []
    for folder in sorted(path for path in _entries(work_dir() / "checkpoints") if path.is_dir()):
        try:
            with FileLock(folder.with_suffix(".lock"), timeout=0):
                states = checkpoint.kept_in(folder)
        except Timeout:
            in_use.append(folder)
            continue
        is_finished = all(state is None or state["finished"] for state in states) and not is_still_to_be_written(folder)
        (finished if is_finished else stopped).append(folder)
    yield Item(what="states of finished trainings: one with more epochs would start over", paths=finished)
    yield Item(what="states of trainings that were stopped, or whose outputs are still to be written", paths=stopped,
               stays="" if unfinished else "they go on from there; --unfinished removes them")
    yield Item(what="states of trainings that run now", paths=in_use, stays="they are in use")


def _dead_records(trainings: list[TrainingFiles]) -> list[Path]:
    live = {name for files in trainings for name in _identities(files)}
    return [record for record in _entries(records.folder())
            if record.name not in live and not _is_of_the_workspace(record)]


def _identities(files: TrainingFiles) -> Iterator[str]:
    """The identity of the result that is there, and of the result that the next run would make."""
    if files.timing.exists():
        yield read_json(files.timing)["identity"]
    if files.train_config.exists() and (files.prepared / "dataset.json").exists():
        yield identity_of(files)


def _is_of_the_workspace(record: Path) -> bool:
    """Whether a comparison's record holds what the workspace's comparison of that dataset holds."""
    if not (record / "comparison.json").exists():
        return False
    now = Path("comparisons", read_json(record / "comparison.json")["dataset"])
    pairs = {"ranking.csv": now / "ranking.csv", "pairs.csv": now / "tables/pairs.csv",
             "claims.json": now / "tables/claims.json"}
    return all(path.exists() and file_sha256(path) == file_sha256(record / name) for name, path in pairs.items())


def _running() -> int | None:
    """The process of a DVC or a study that works in this repository or in an experiment of its queue.

    DVC notes who runs a stage. Between stages it notes nobody, so on Linux all processes in the repository are asked.
    """
    notes = repository_root() / ".dvc/tmp"
    for path in (notes / "rwlock", *notes.glob("exps/*/*/.dvc/tmp/rwlock")):
        content = read_json(path) if path.exists() else {}
        writers, readers = (content.get(role, {}).values() for role in ("write", "read"))
        for holder in itertools.chain(writers, *readers):
            if _is_alive(holder["pid"]):
                return holder["pid"]
    return next((process for process in _processes_in(repository_root()) if process != os.getpid()), None)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:  # it was killed, and its note left
        return False
    except PermissionError:  # it lives, and is another user's
        pass
    return True


def _processes_in(folder: Path) -> Iterator[int]:
    """Processes of `dvc` or `seglib` whose working directory is `folder` or below it. None outside Linux."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = {Path(os.fsdecode(word)).name for word in (process / "cmdline").read_bytes().split(b"\0")}
            is_inside = (process / "cwd").resolve().is_relative_to(folder)
        except OSError:  # it has ended, or is another user's
            continue
        if is_inside and words & {"dvc", "seglib", "seglib.cli"}:
            yield int(process.name)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _files(path: Path) -> Iterator[os.stat_result]:
    """The status of every file below `path`, or of `path` itself."""
    for place in path.rglob("*") if path.is_dir() and not path.is_symlink() else (path,):
        if place.is_symlink() or place.is_file():
            yield place.lstat()
