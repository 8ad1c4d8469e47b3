"""Writing files whole: nobody ever sees half of one, and equal content means equal bytes."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

REMEDIES = {
    errno.ENOSPC: "free some space (`seglib clean --dry-run` lists what can go), then run the same command again",
    errno.EDQUOT: "free some of your quota (`seglib clean --dry-run` lists what can go), then run it again",
    errno.EROFS: "the file system is read-only: work where you may write",
    errno.EACCES: "change its rights, or work where you may write",
}

# Read once, before any thread starts: asking for it means setting it, for the whole process.
UMASK = os.umask(0)
os.umask(UMASK)


def repository_root() -> Path:
    """The repository DVC runs for (`DVC_ROOT`; in a temporary experiment, its parent), else the one we stand in."""
    if root := os.environ.get("DVC_ROOT"):
        return Path(root).resolve()
    here = Path.cwd()
    # The first stage has a dvc.yaml of its own, in a folder of the repository.
    return next((folder for folder in (here, *here.parents)
                 if (folder / "dvc.yaml").exists() and not (folder.parent / "dvc.yaml").exists()), here)


def work_dir() -> Path:
    """`.work/` of the repository: what this machine keeps between runs and DVC does not (downloads, checkpoints)."""
    return repository_root() / ".work"


def explain(error: OSError) -> str:
    """What happened to which file, and what to do where that is known."""
    return "; ".join([str(error), *([REMEDIES[error.errno]] if error.errno in REMEDIES else [])])


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it into place when the block ends without an error.

    An OSError from within, as of a full disk, that names no file comes to name `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = _claim(path)
    try:
        yield temporary
        temporary.chmod(0o666 & ~UMASK)  # it was private until now
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        os.close(handle)


def _claim(path: Path) -> tuple[int, Path]:
    """An empty file beside `path`, and the open handle whose lock says that someone writes it.

    Its name is fixed, so that the next writer takes over what a killed one left, which DVC would take for a part of a
    stage's output. Where a writer is at work, its name is another.
    """
    fixed = path.with_name(f".{path.name}.partial{path.suffix}")
    with contextlib.suppress(PermissionError):  # another user's was killed
        handle = os.open(fixed, os.O_RDWR | os.O_CREAT, 0o600)
        with contextlib.suppress(OSError):  # it is locked, or has just been moved into place
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), fixed.stat()):
                os.ftruncate(handle, 0)
                return handle, fixed
        os.close(handle)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    return handle, Path(name)


@contextlib.contextmanager
def atomic_folder(path: Path, *, keeps_others: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside `path`; it replaces `path` when the block ends without an error.

    Its name is fixed, so that the next run clears what a killed one left; one process at a time may write `path`.
    keeps_others: replace the files and folders of these names alone, and leave any other in `path` as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if keeps_others:
            path.mkdir(exist_ok=True)
        for written, place in ([(entry, path / entry.name) for entry in temporary.iterdir()] if keeps_others else
                               [(temporary, path)]):
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            written.replace(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def canonical_json(content: Any) -> str:
    """JSON that depends on the content alone: sorted keys, two spaces, UTF-8 kept, NaN and deep nests refused."""
    try:
        return json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except RecursionError:
        raise ValueError("lists or objects nest too deep to be written as JSON") from None


def write_json(path: Path, content: Any) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(canonical_json(content), encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_to_overwrite(paths: Iterable[Path]) -> None:
    """Raise ValueError if a file that a command would write exists already: it may be the user's own."""
    existing = [path for path in paths if path.exists()]
    if existing:
        count = "1 file exists" if len(existing) == 1 else f"{len(existing)} files exist"
        raise ValueError(f"{count} already, such as {existing[0]}: choose another --out, or add --overwrite")


def link_or_copy(source: Path, target: Path) -> None:
    """Put `source` at `target` without a second copy where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
