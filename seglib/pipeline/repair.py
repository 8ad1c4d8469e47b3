"""Repair DVC's files after an interrupted DVC.

DVC writes a dvc.lock in place after every stage of its dvc.yaml, which takes a tenth of a second for two thousand
lines. It writes its list of running readers and writers (`.dvc/tmp/rwlock`) in the same way. If DVC is interrupted or
killed in that moment, only the beginning of the file is left. DVC reads most beginnings as if the rest had never been
made. Whatever the command, it rejects an empty file and one in four of the other beginnings.
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

LOCKS = ("dvc.lock", "resolve/dvc.lock")
LIST = ".dvc/tmp/rwlock"  # of running readers and writers
HEAD = "schema: '2.0'\nstages:\n"  # of dvc.lock
STAGE = re.compile(r"^  \S", re.MULTILINE)  # where a stage begins in it; the contents of a stage are indented further


def damaged(root: Path) -> list[str]:
    """The files that DVC would refuse to read, relative to the repository's root."""
    return [name for name, is_whole in (*((lock, _is_whole_lock) for lock in LOCKS), (LIST, _is_whole_list))
            if (root / name).exists() and not is_whole(root / name)]


def repair(root: Path) -> list[str]:
    """Repair the files that were cut short, and return one line per file that says what was done.

    dvc.lock keeps the stages before the last one in it. DVC's cache provides the outputs of the others when they are
    next reproduced. Raises ValueError if a file is damaged in another way, such as by a merge, or if DVC is running.
    """
    if not damaged(root):
        return []
    folder = root / ".dvc/tmp"
    folder.mkdir(exist_ok=True)
    try:
        with make_lock(str(folder / "lock")), make_lock(str(folder / "rwlock.lock")):
            return [_repair_list(root / LIST) if name == LIST else _repair_lock(root, name) for name in damaged(root)]
    except LockError:
        raise ValueError("DVC is running in this repository and has not finished writing its files") from None


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


def _repair_lock(root: Path, name: str) -> str:
    path, found = root / name, work_dir() / f"{name.replace('/', '-')}.found"
    text = path.read_text(encoding="utf-8", errors="replace")  # a letter may be cut in two
    begun = [found.start() for found in STAGE.finditer(text)]
    whole = text[:begun[-1]] if len(begun) > 1 else ""
    with atomic_file(found) as aside:
        shutil.copyfile(path, aside)
    with atomic_file(path) as temporary:
        temporary.write_text(whole, encoding="utf-8", newline="\n")
        if not _is_beginning(text) or whole and not _is_whole_lock(temporary):
            raise ValueError(f"{name} is damaged, but was not cut short; restore it: git checkout {name}")
    if not whole:
        path.unlink()
    return (f"{name} was cut short: kept {max(len(begun) - 1, 0)} whole stages; DVC's cache provides the others "
            f"(the file as found: {os.path.relpath(found)})")


def _is_beginning(text: str) -> bool:
    """Whether the text can be the beginning of a dvc.lock as DVC writes it. Merge markers and zero bytes cannot."""
    stages = text.removeprefix(HEAD)
    return HEAD.startswith(text) or (text.startswith(HEAD) and bool(STAGE.match(stages) or not stages.strip())
                                     and all(line.startswith("  ") or not line.strip() for line in stages.split("\n")))


def _repair_list(path: Path) -> str:
    path.unlink()
    return f"DVC's list of running readers and writers was cut short: removed {path}"
