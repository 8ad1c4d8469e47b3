"""What a dataset's reader gives for each picture, before it is resized and packed. Shapes: K classes, H, W."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from seglib.datasets.pixels import PixelFacts
from seglib.tasks.task import Task

# Every annotation ends in exactly one of these tallies.
TALLIES = {
    "drawn": "its mask is part of the truth",
    "crowd": "it marks a crowd, whose pixels count nowhere",
    "undrawable": "its outline cannot be drawn, so the pixels of its box count nowhere",
    "outside": "nothing of it lies within its picture",
    "dangling": "its picture or its category is not in the file",
    "other": "it is of a class that is not asked for",
    "left out": "its picture is left out, or in no split",
}

Box = tuple[float, float, float, float]  # min_x, min_y, max_x, max_y in pixels, an edge lying between two pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What a dataset's configuration says it will hold. A reader without a val split has it carved from train."""

    task: Task
    classes: list[str]
    label_values: list[float]
    image_size: tuple[int, int]  # (H, W) in pixels; every picture is brought to this size
    splits: tuple[str, ...] = ("train", "test")  # or ("train", "val", "test") if the dataset has a val split of its own
    reading: dict[str, Any] | None = None  # how pictures are read, as JSON (see `images.Reading`); None: as usual
    mask_values: list[int] | None = None  # the number of each class in the user's masks; None: they have none


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A usable picture at its own size, with all that is known about it."""

    id: str
    source: str
    image_HWC: np.ndarray  # uint8
    planes_KHW: np.ndarray  # bool
    ignore_HW: np.ndarray | None = None  # bool: pixels that nobody labelled
    objects: list[tuple[int, Box]]  # (class index, box)
    licence: str
    tally: Mapping[str, int] = dataclasses.field(default_factory=dict)  # annotations that end here, by a key of TALLIES
    palette: Mapping[int, str] = dataclasses.field(default_factory=dict)  # "#rrggbb" of each number that its mask holds
    facts: PixelFacts | None = None  # what its file holds; None if that was not looked at
    unit: str | None = None  # the group (patient, video) whose pictures are one random draw; None: each on its own

    def __post_init__(self) -> None:
        assert self.image_HWC.dtype == np.uint8 and self.image_HWC.shape[2:] == (3,), self.image_HWC.shape
        assert self.planes_KHW.dtype == bool and self.planes_KHW.shape[1:] == self.own_size, self.planes_KHW.shape
        assert self.ignore_HW is None or self.ignore_HW.shape == self.own_size, self.ignore_HW.shape

    @property
    def own_size(self) -> tuple[int, int]:
        return self.image_HWC.shape[:2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rejection:
    """Something that is left out: a picture, one annotation of a picture that stays, one part of an annotation that
    stays, or a file that is none of them.

    `reason` is for people. Rejections are counted by reason, so a reason must always be worded in the same way.
    """

    id: str
    source: str
    what: str  # "picture" | "annotation" | "part" | "file"
    reason: str
    tally: Mapping[str, int] = dataclasses.field(default_factory=dict)  # as a sample's


Entry = Sample | Rejection

# A small callable that makes entries when it is called, in any process. It must be picklable, such as functools.partial
# of a module's function.
Job = Callable[[], Iterable[Entry]]


def done(given: Iterable[Entry | Job]) -> Iterator[Entry]:
    """All entries that a reader gives. Its jobs are run in this process, one after the other."""
    for entry in given:
        if isinstance(entry, Entry):
            yield entry
        else:
            yield from entry()


def spaced_labels(classes: int) -> list[float]:
    """Label values that are spaced evenly up to 250, the highest value of the course's Shapes."""
    return [250.0 * (k + 1) / classes for k in range(classes)]


def box_around(plane_HW: np.ndarray) -> Box:
    """The smallest box that holds every True pixel. At least one pixel must be True."""
    rows, columns = plane_HW.any(1).nonzero()[0], plane_HW.any(0).nonzero()[0]
    return float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1
