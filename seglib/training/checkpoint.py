"""Checkpoints: the whole state of a training, written whole, so that a killed one ends in the same bytes."""

import contextlib
import dataclasses
import errno
import itertools
import os
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import torch

from seglib.files import atomic_file
from seglib.training.device import Conditions, is_of_memory

NAME = "last.pt"
EVERY = 300.0  # seconds between two within an epoch: a kill costs at most that much; saving takes a second or two

State = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Found:
    """What a training can go on from: a state, or None, and the path to keep its own states at.

    differs: why the training cannot go on from the states that were found; "" if it can, or if there are none.
    """

    state: State | None
    path: Path | None
    differs: str = ""


class Checkpoint:
    """Saves the state of one training at `path`, and keeps the state before beside it. Without a path, it saves none.

    every: seconds between two saves within an epoch; 0 saves after each step. One process at a time may use a path.
    """

    def __init__(self, path: Path | None, every: float = EVERY):
        self.path, self.every, self._saved = path, every, time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last save was more than `every` seconds ago."""
        return self.path is not None and time.monotonic() - self._saved >= self.every

    def save(self, state: State) -> None:
        """Raises OSError if the disk is full or read-only; the state before is then as it was."""
        if self.path is not None:
            save(self.path, state)
        self._saved = time.monotonic()


def find(path: Path | None, *, epochs: int, conditions: Conditions) -> Found:
    """Find the latest state, at `path` or beside it, that a training of so many epochs can go on from.

    It cannot go on from a state that was made under other conditions, because it would end in other bytes than either
    training. Nor can it go on from the state of a longer training, which has lost its beginning. Both are kept, because
    another training may need them. The new state gets a free path beside them.
    """
    if path is None:
        return Found(None, None)
    latest, differs = Found(None, None), ""
    for one in _paths_beside(path):
        if (state := load(one, clears=True)) is None:
            continue
        if state["conditions"] != (ours := dataclasses.asdict(conditions)):
            differs = "; ".join(f"{key} {state['conditions'][key]}, now {ours[key]}"
                                for key in ours if state["conditions"][key] != ours[key])
        elif _epoch(state) <= epochs and (latest.state is None or _epoch(latest.state) < _epoch(state)):
            latest = Found(state, one)
    if latest.state is not None:
        return latest
    free = (path if n == 1 else path.with_stem(f"{path.stem}-{n}") for n in itertools.count(1))
    return Found(None, next(one for one in free if not one.exists() and not before(one).exists()), differs)


def _paths_beside(path: Path) -> list[Path]:
    """`path` and the paths that `find` made of it, if a state or the state before is there."""
    name = re.compile(rf"({re.escape(path.stem)}(-\d+)?)(\.before)?{re.escape(path.suffix)}")
    matches = (name.fullmatch(one.name) for one in path.parent.glob("*"))
    return sorted({path.with_stem(match[1]) for match in matches if match})


def _epoch(state: State) -> int:
    return state["history"]["epoch"]


def save(path: Path, state: State) -> None:
    """Put the state at `path`; the state that was there becomes the one before.

    Its bytes are on the disk before it takes that place, so that a power cut leaves one whole. Raises OSError.
    """
    with atomic_file(path) as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save(state, file)
                os.fsync(file.fileno())
        except RuntimeError as error:
            # On a full disk, torch's writer only complains about its position in the file.
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
        if path.exists():
            path.replace(before(path))


def load(path: Path, *, clears: bool = False) -> State | None:
    """The state last saved at `path`, on the CPU; the one before if that is damaged; None if there is none.

    Reads tensors and plain containers only, never arbitrary pickles. Raises OSError if a file cannot be read.
    clears: remove a damaged file. A training that is going to save must do so, or the next save would replace the state
    before, which is whole, by the damaged one.
    """
    for one in (path, before(path)):
        if one.exists():
            if (state := _read(one)) is not None:
                return state
            if clears:
                one.unlink()
    return None


def kept_in(folder: Path) -> list[State | None]:
    """The states of the trainings that keep theirs in `folder`, one for each length; None for a damaged one."""
    return [load(path) for path in _paths_beside(folder / NAME)]


def remove(path: Path) -> None:
    """Remove the state at `path`, the state before, what a killed save left of it, and their folder if it is empty."""
    for one in (path, before(path), *path.parent.glob(f".{path.name}.*")):
        one.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def before(path: Path) -> Path:
    return path.with_suffix(f".before{path.suffix}")


def _read(path: Path) -> State | None:
    """The state in a file; None if the file is damaged.

    torch.load does not compare checksums, so that a flipped bit would become part of a weight. Here they are compared.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if file.testzip() is None:
                return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage may raise nearly anything
        cannot_be_read = isinstance(error, OSError) and error.errno != errno.EINVAL  # which zipfile's seeks may raise
        if cannot_be_read or is_of_memory(error):  # the disk or the memory may do better the next time
            raise
    print(f"{path} is damaged and is passed over", flush=True)
    return None
