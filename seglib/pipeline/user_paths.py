"""The files that params.yaml names and a user owns must not be where the pipeline writes.

DVC removes the outputs of a stage before it runs the stage. `resolve` runs before every other stage and refuses a path
that is, contains or lies inside a place that a stage writes to.

`dvc exp run` in the workspace is worse: it makes all outputs what dvc.lock says before it runs any stage, so no stage
can refuse in time. For this reason outputs have names of their own inside their folders: `data/raw/mine` is no output,
but `data/raw/mine/fetched` is, as are `trained` and `evaluated` in the folders of a training. A user's pictures in
data/raw/mine/images survive, and so do notes in runs/mine/munet-ce-1. Files at exactly the place of an output, such as
data/prepared/mine/train, conf or runs/mine/munet-ce-1/trained, do not survive `dvc exp run`.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from seglib.params import Params, ParamsError
from seglib.pipeline.workspace import OUTPUTS, TrainingFiles

# What else is written in the repository, and by whom.
PRIVATE = {".work": "seglib", "studies": "seglib", ".dvc": "DVC", ".git": "git", ".venv": "the environment"}

Identity = tuple[int, int] | Path


def refuse_overlap(params: Params, root: Path) -> None:
    """Raise ParamsError if a user's path in `params` is, contains or lies inside a place that the pipeline writes to.

    All datasets, models and predictors count, whether `run` picks them or not. Links are followed. Paths are compared
    by the files that they lead to, so that another spelling on a case-insensitive disk counts too.

    root: the repository; relative paths in params.yaml start there.
    """
    places = _Places(root)
    problems = [problem for key, path in paths_in(params) for problem in _problems(key, path, root, places)]
    if problems:
        raise ParamsError("\n".join(problems))


def refuse_strays(trainings: Iterable[TrainingFiles]) -> None:
    """Raise ValueError if a folder of a training's outputs holds a file that no stage writes.

    DVC removes the whole folder before it runs the stage. Hidden files do not count: systems and editors leave them.
    """
    for files in trainings:
        for folder in (files.trained, files.results):
            for entry in _entries(folder):
                if Path(entry.path) not in files.outputs and not entry.name.startswith("."):
                    raise ValueError(f"{entry.path} is not the pipeline's, and DVC would remove it with its folder; "
                                     "move it elsewhere")


def paths_in(params: Params) -> Iterator[tuple[str, str]]:
    """The key and the value of every path in params.yaml that leads to a user's files."""
    if params.fetch.mirror is not None:
        yield "fetch.mirror", params.fetch.mirror
    for section in ("datasets", "models", "predictors"):
        for name, entry in getattr(params, section).items():
            for key in entry.user_paths():
                yield f"{section}.{name}.{key}", getattr(entry, key)


class _Places:
    """The places that are written to, by their identity on the disk, and the folders above them."""

    def __init__(self, root: Path):
        self._places: dict[Identity, str] = {}
        self._above: dict[Identity, str] = {}
        for name in (*OUTPUTS, *PRIVATE):
            self._add(name, root / name)
            for entry in _entries(root / name):
                if entry.is_symlink():  # such as data/raw/mine, if a user linked it to another disk
                    self._add(f"{name}/{entry.name}", Path(entry.path))

    def _add(self, name: str, place: Path) -> None:
        followed = _followed(place)
        self._places.setdefault(_identity(followed), name)
        for above in followed.parents:
            self._above.setdefault(_identity(above), name)

    def overlap(self, path: Path) -> str:
        """How a path without links in it overlaps the first such place, in words; "" if it overlaps none."""
        for above in (path, *path.parents):
            if (name := self._places.get(_identity(above))) is not None:
                return f"{'is' if above == path else 'lies inside'} {name}, {_whose(name)}"
        name = self._above.get(_identity(path))
        return "" if name is None else f"contains {name}, {_whose(name)}"


def _whose(name: str) -> str:
    first = name.split("/")[0]
    if first in PRIVATE:
        return f"which belongs to {PRIVATE[first]}"
    return "where the pipeline writes and DVC deletes files"


def _problems(key: str, value: str, root: Path, places: _Places) -> Iterator[str]:
    """At most one line: the first overlap of the path, or of a link inside it."""
    path = _followed(root / value)
    if overlap := places.overlap(path):
        yield (f"{key} is {value}, which {overlap}. Keep your files elsewhere, such as in ../my_pictures or "
               "data/my_pictures")
        return
    for link, target in _links_below(path):
        if overlap := places.overlap(target):
            yield (f"{key} is {value}. The link {link} in it leads to {target}, which {overlap}. Keep your files "
                   "elsewhere")
            return


def _links_below(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The links below `folder` and what each leads to. Folders that they lead to are searched too.

    Of the links to files in one folder, only the first is given: the others overlap the same places.
    """
    waiting, searched, file_parents = [folder], {folder}, set()
    while waiting:
        for entry in _entries(waiting.pop()):
            if not entry.is_symlink():
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                continue
            target = _followed(entry.path)
            is_folder = _is_folder(target)
            known, place = (searched, target) if is_folder else (file_parents, target.parent)
            if place not in known:
                known.add(place)
                yield Path(entry.path), target
                if is_folder:
                    waiting.append(target)


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError:  # it is a file, does not exist, or may not be read; the stage that needs it says so
        return []


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # it may not be looked at, or its name is too long
        return False


def _followed(path: Path | str) -> Path:
    """The path without links. Unlike `Path.resolve`, this does not fail if links lead in a circle."""
    return Path(os.path.realpath(path))


def _identity(path: Path) -> Identity:
    """Equal for two names of one file or folder; the path itself if it does not exist or may not be looked at."""
    try:
        status = path.stat()
    except OSError:
        return path
    return status.st_dev, status.st_ino
