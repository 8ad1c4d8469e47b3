"""Checkpoints: the whole state of a training, written whole, so that a killed one ends in the same bytes."""

import errno
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import torch

from seglib.files import atomic_file
from seglib.training.device import is_of_memory

EVERY = 300.0  # seconds between two within an epoch: the most that a kill costs; a large one takes a second or two

State = dict[str, Any]


class Checkpoint:
    """The state of one training at `path`, and beside it the one before; without a path, of one that keeps none.

    every: seconds; 0 saves after each step. One process at a time may have it.
    """

    def __init__(self, path: Path | None, every: float = EVERY):
        self.path, self.every, self._saved = path, every, time.monotonic()

    def load(self, *, epochs: int) -> State | None:
        """What a training of so many epochs goes on from.

        A longer one's state, whose beginning is not kept, is left where it is, since that training may want it yet:
        the path becomes another, with the number of epochs in its name.
        """
        if self.path is None:
            return None
        state = load(self.path, clears=True)
        if state is None or state["history"]["epoch"] <= epochs:
            return state
        self.path = self.path.with_stem(f"{self.path.stem}-{epochs}")
        return load(self.path, clears=True)

    @property
    def is_due(self) -> bool:
        """Whether the last one was long ago."""
        return self.path is not None and time.monotonic() - self._saved >= self.every

    def save(self, state: State) -> None:
        """Raises OSError where the disk is full or read-only; what was saved before is as it was."""
        if self.path is not None:
            save(self.path, state)
        self._saved = time.monotonic()


def save(path: Path, state: State) -> None:
    """Put the state at `path`; what was there becomes the one before.

    Its bytes are on the disk before it takes that place, so that a power cut leaves one whole. Raises OSError.
    """
    with atomic_file(path) as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save(state, file)
                os.fsync(file.fileno())
        except RuntimeError as error:
            # What torch's writer says of a full disk is that it is not where it should be.
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
        if path.exists():
            path.replace(before(path))


def load(path: Path, *, clears: bool = False) -> State | None:
    """The state last saved at `path`, on the CPU, or the one before where that is damaged; None where there is none.

    Reads tensors and plain containers only, never arbitrary pickles. Raises OSError where a file cannot be read.
    clears: a damaged file is removed, as who is going to save must: it would push out the one before, which is whole.
    """
    for one in (path, before(path)):
        if one.exists():
            if (state := _read(one)) is not None:
                return state
            if clears:
                one.unlink()
    return None


def kept_in(folder: Path) -> list[State | None]:
    """The states of the trainings that keep theirs there, one for each length; None for one that is damaged."""
    return [load(path) for path in sorted(folder.glob("last*.pt")) if ".before" not in path.suffixes]


def before(path: Path) -> Path:
    return path.with_suffix(f".before{path.suffix}")


def _read(path: Path) -> State | None:
    """None where the file is damaged. torch.load does not look at the checksums, so that a bit that fell over would be
    a weight.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if file.testzip() is None:
                return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage may raise nearly anything
        cannot_be_read = isinstance(error, OSError) and error.errno != errno.EINVAL  # which zipfile's seeks may raise
        if cannot_be_read or is_of_memory(error):  # a disk, a memory that may do better the next time
            raise
    print(f"{path} is damaged, and passed over", flush=True)
    return None
