"""The files that params.yaml names and a user owns must not be where the pipeline writes.

DVC removes the outputs of a stage before it runs the stage. `resolve` runs before every other stage and refuses a path
that is, contains or lies inside a place that a stage writes to.

`dvc exp run` in the workspace is worse: it makes all outputs what dvc.lock says before it runs any stage, so that
nothing can refuse in time. For this reason outputs have names of their own inside their folders: `data/raw/mine` is no
output, but `data/raw/mine/fetched` is. Pictures of a user's in data/raw/mine/images survive.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from seglib.params import Params, ParamsError
from seglib.workspace import OUTPUTS

# What seglib, DVC and git write beside the outputs of the stages.
PRIVATE = (".work", ".dvc", ".git", ".venv", "studies")


def refuse_overlap(params: Params, root: Path) -> None:
    """Raise ParamsError if a user's path in `params` is, contains or lies inside a place that the pipeline writes to.

    All datasets and models count, whether `run` picks them or not. Links are followed. Paths are compared by the files
    that they lead to, so that another spelling on a case-insensitive disk counts too.

    root: the repository; relative paths in params.yaml start there.
    """
    written = list(_written(root))
    problems = [problem for key, path in paths_in(params) for problem in _problems(key, path, root, written)]
    if problems:
        raise ParamsError("\n".join(problems))


def paths_in(params: Params) -> Iterator[tuple[str, str]]:
    """The key and the value of every path in params.yaml that leads to a user's files."""
    if params.fetch.mirror is not None:
        yield "fetch.mirror", params.fetch.mirror
    for section in ("datasets", "models"):
        for name, entry in getattr(params, section).items():
            for key in entry.user_paths():
                yield f"{section}.{name}.{key}", getattr(entry, key)


def _written(root: Path) -> Iterator[tuple[str, Path]]:
    """Every place that is written to: its name in messages, and the path with all links followed."""
    for name in (*OUTPUTS, *PRIVATE):
        place = root / name
        yield name, _followed(place)
        for entry in _entries(place):
            if entry.is_symlink():  # such as data/raw/mine, if a user linked it to another disk
                yield f"{name}/{entry.name}", _followed(entry.path)


def _problems(key: str, value: str, root: Path, written: list[tuple[str, Path]]) -> Iterator[str]:
    """At most one line: the first place that the path, or a link inside it, overlaps."""
    path = _followed(root / value)
    for name, place in written:
        if how := _relation(path, place):
            yield (f"{key} is {value}, which {how} {name}, where the pipeline writes and DVC deletes files. Keep your "
                   "files elsewhere, such as in ../my_pictures or data/my_pictures")
            return
    for link, target in _links_below(path):
        for name, place in written:
            if how := _relation(target, place):
                yield (f"{key} is {value}. The link {link} in it leads to {target}, which {how} {name}, where the "
                       "pipeline writes and DVC deletes files. Keep your files elsewhere")
                return


def _relation(path: Path, place: Path) -> str:
    """How two paths overlap, in words; "" if they do not. Neither contains a link."""
    if _same(path, place):
        return "is"
    if any(_same(above, place) for above in path.parents):
        return "lies inside"
    if any(_same(path, above) for above in place.parents):
        return "contains"
    return ""


def _same(one: Path, other: Path) -> bool:
    try:
        return one == other or one.samefile(other)
    except OSError:  # one of them does not exist
        return False


def _links_below(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The links below `folder` and what each leads to. Folders that they lead to are searched too.

    Of the links to files in one folder, only the first is given: the others overlap the same places.
    """
    waiting, seen = [folder], {folder}
    while waiting:
        for entry in _entries(waiting.pop()):
            if not entry.is_symlink():
                if entry.is_dir():
                    waiting.append(Path(entry.path))
                continue
            target = _followed(entry.path)
            place = target if target.is_dir() else target.parent
            if place not in seen:
                seen.add(place)
                yield Path(entry.path), target
                if target.is_dir():
                    waiting.append(target)


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError:  # it is a file, does not exist, or may not be read; the stage that needs it says so
        return []


def _followed(path: Path | str) -> Path:
    """The path without links. Unlike `Path.resolve`, this does not fail if links lead in a circle."""
    return Path(os.path.realpath(path))
