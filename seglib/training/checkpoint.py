"""Checkpoints: the whole state of a training, written whole, so that a killed one ends in the same bytes."""

from pathlib import Path
from typing import Any

import torch

from seglib.files import atomic_file


def save(path: Path, state: dict[str, Any]) -> None:
    with atomic_file(path) as temporary:
        torch.save(state, temporary)


def load(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state last saved at `path`; None where there is none, or where it cannot be read (a full disk once).

    Reads tensors and plain containers only, never arbitrary pickles.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception:  # no file, or a damaged one, which may raise nearly anything
        return None
