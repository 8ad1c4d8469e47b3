"""What the readers of all forms of masks give. Shapes: K classes, H, W."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from seglib.datasets.images import ImageError, Reading
from seglib.datasets.labels import read_labels
from seglib.datasets.outlines import LeftOut
from seglib.datasets.samples import Box


@dataclasses.dataclass(frozen=True, kw_only=True)
class Masks:
    """What is known of one picture."""

    planes_KHW: np.ndarray  # bool
    ignore_HW: np.ndarray | None = None  # bool
    objects: Sequence[tuple[int, Box]] = ()  # (class index, box), if instances are told apart
    left_out: Sequence[LeftOut] = ()
    tally: Mapping[str, int] = dataclasses.field(default_factory=dict)  # all other annotations, by samples.TALLIES
    unusable: str | None = None  # why the picture itself is left out, although its annotations were read
    licence: str = "not recorded"
    palette: Mapping[int, str] = dataclasses.field(default_factory=dict)  # the colour of each number


def read_labels_of(paths: list[Path], reading: Reading) -> tuple[np.ndarray, dict[int, int]]:
    """A mask's numbers (H, W) or colours (H, W, 3), and its palette: see `labels.read_labels`. Raises ValueError."""
    try:
        return read_labels(paths[0], reading)
    except ImageError as error:
        raise ValueError(f"its mask: {error}") from None
