"""Mend what DVC leaves half written where it is ended.

DVC writes dvc.lock in place after every stage, which takes a tenth of a second for two thousand lines, and its list of
who reads and writes what. Ended within that moment, by Ctrl-C as by a kill, it leaves the beginning of the file. Most
beginnings it reads as if the rest had never been made; an empty one, and one in four others, the next `dvc` calls not
valid, whatever it is asked.
"""

import json
import os
import re
import shutil
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.fs import LocalFileSystem
from dvc.lock import LockError, make_lock
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils import strictyaml

from seglib.files import atomic_file, work_dir

HEAD = "schema: '2.0'\nstages:\n"  # of dvc.lock
STAGE = re.compile(r"^  \S", re.MULTILINE)  # where a stage begins there: what it has is indented further


def damaged(root: Path) -> list[str]:
    """The files of DVC's in the repository that it would refuse to read, relative to its root."""
    return [name for name, is_whole in (("dvc.lock", _is_whole_lock), (".dvc/tmp/rwlock", _is_whole_list))
            if (root / name).exists() and not is_whole(root / name)]


def mend(root: Path) -> list[str]:
    """Mend those that were cut short, and say in a line each what was done.

    Of dvc.lock, the stages before the last that was begun are kept; the others' outputs come from DVC's cache when
    they are next reproduced. Raises ValueError where it is damaged in another way, as by a merge, or a DVC is at work.
    """
    if not damaged(root):
        return []
    folder = root / ".dvc/tmp"
    folder.mkdir(exist_ok=True)
    try:
        with make_lock(str(folder / "lock")), make_lock(str(folder / "rwlock.lock")):
            mends = {"dvc.lock": _mend_lock, ".dvc/tmp/rwlock": _mend_list}
            return [mends[name](root / name) for name in damaged(root)]
    except LockError:
        raise ValueError("a DVC is at work here: it is not done with its files yet") from None


def _is_whole_lock(path: Path) -> bool:
    try:
        strictyaml.load(str(path), COMPILED_LOCKFILE_SCHEMA, LocalFileSystem())
    except DvcException:
        return False
    return True


def _is_whole_list(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def _mend_lock(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace")  # cut within a letter, perhaps
    begun = [found.start() for found in STAGE.finditer(text)]
    whole = text[:begun[-1]] if len(begun) > 1 else ""
    with atomic_file(work_dir() / "dvc.lock.found") as aside:
        shutil.copyfile(path, aside)
    with atomic_file(path) as temporary:
        temporary.write_text(whole, encoding="utf-8", newline="\n")
        if not _is_beginning(text) or whole and not _is_whole_lock(temporary):
            raise ValueError("dvc.lock is damaged, and not by being cut short: git checkout dvc.lock")
    if not whole:
        path.unlink()
    return (f"dvc.lock was cut short: {max(len(begun) - 1, 0)} whole stages kept, and DVC's cache is asked for the "
            f"others ({os.path.relpath(work_dir())}/dvc.lock.found is what there was)")


def _is_beginning(text: str) -> bool:
    """Whether it could be that of a dvc.lock, as DVC writes it: not where merges left their marks, a disk its zeros."""
    stages = text.removeprefix(HEAD)
    return HEAD.startswith(text) or (text.startswith(HEAD) and bool(STAGE.match(stages) or not stages.strip())
                                     and all(line.startswith("  ") or not line.strip() for line in stages.split("\n")))


def _mend_list(path: Path) -> str:
    path.unlink()
    return f"DVC's list of who reads and writes was cut short: removed ({path})"
