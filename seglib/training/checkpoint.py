"""Checkpoints: the whole state of a training, written whole, so that a killed one ends in the same bytes."""

from pathlib import Path
from typing import Any

import torch

from seglib.files import atomic_file


def save(path: Path, state: dict[str, Any]) -> None:
    with atomic_file(path) as temporary:
        torch.save(state, temporary)


def load(path: Path) -> dict[str, Any] | None:
    """The state last saved at `path`, on the CPU; None where there is none that can be read (a disk was full once).

    Reads tensors and plain containers only, never arbitrary pickles.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # no file, or a damaged one, which may raise nearly anything
        return None
