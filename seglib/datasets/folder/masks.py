"""What the readers of all forms of masks give. Shapes: K classes, H, W."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seglib.datasets.images import ImageError, read_ids
from seglib.datasets.samples import Box


@dataclasses.dataclass(frozen=True, kw_only=True)
class Masks:
    """What is known of one picture."""

    planes_KHW: np.ndarray  # bool
    ignore_HW: np.ndarray | None = None  # bool
    objects: Sequence[tuple[int, Box]] = ()  # (class index, box), if instances are told apart
    left_out: Sequence[str] = ()  # the reason for each annotation that could not be used
    licence: str = "not recorded"


def read_mask(paths: list[Path]) -> np.ndarray:
    if len(paths) > 1:
        raise ValueError(f"several masks fit its name: {' and '.join(path.name for path in paths)}")
    try:
        return read_ids(paths[0])
    except ImageError as error:
        raise ValueError(f"its mask: {error}") from None
