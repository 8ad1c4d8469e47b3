"""What a dataset's reader gives, picture by picture, before it is packed. Shapes: K classes, H, W."""

import dataclasses

import numpy as np

Box = tuple[float, float, float, float]  # min_x, min_y, max_x, max_y in pixels, an edge lying between two pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What a dataset's configuration says it will hold."""

    task: str
    classes: list[str]
    label_values: list[float]
    image_size: tuple[int, int]  # (H, W), pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A usable picture at its prepared size. `objects` are (class index, box), boxes in the prepared picture."""

    id: str
    source: str
    image_HWC: np.ndarray  # uint8
    planes_KHW: np.ndarray  # bool
    original_size: tuple[int, int]  # (H, W)
    objects: list[tuple[int, Box]]
    licence: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rejection:
    """Something left out: a picture, or one annotation of a picture that stays. `reason` is for people."""

    id: str
    source: str
    what: str  # "picture" or "annotation"
    reason: str
