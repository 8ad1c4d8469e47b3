"""Brings a reader's pictures to the network's size and packs them as the prepared files hold them.

It imports little, because every process that prepares pictures imports it. Shapes: K classes, H, W.
"""

import dataclasses
import json
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglib.datasets.geometry import Fit, Size
from seglib.datasets.samples import Box, Entry, Job, Rejection, Sample
from seglib.tasks.task import Task


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A packed picture that waits for its place among the others, in a file of the process that packed it."""

    id: str
    own_size: Size
    file: str
    start: int  # where it begins: image, mask, the mask at the picture's own size (by zlib), record (JSON)
    own_bytes: int
    record_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a packed picture."""

    row: dict[str, Any]  # of index.parquet
    class_pixels: list[int]  # pixels of each class in the stored mask, without those to ignore
    valid_pixels: int  # all pixels that are not ignored
    tally: dict[str, int]  # of its annotations: see `samples`
    palette: dict[str, str]  # of its mask: the colour of each number
    facts: dict[str, Any] | None  # of its file: see `pixels.PixelFacts`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Packer:
    """Packs what a reader gives, a job or an entry: see `prepare`.

    Each process writes a file of its own. So little is sent between processes, and the process that reads all these
    files has little to do.
    """

    task: Task
    classes: list[str]
    size: Size  # the network's
    mode: str  # see geometry
    folder: Path  # of these files

    @property
    def dtype(self) -> np.dtype:
        """The type of a mask's pixels."""
        return self.task.mask_dtype(len(self.classes))

    def pack(self, entry: Entry | Job) -> list[Packed | Rejection]:
        """Pack all that a job gives, or one entry, in order.

        A sample becomes a packed picture, followed by rejections of the annotations that are left out of it. A sample
        that cannot be used becomes a rejection.
        """
        if isinstance(entry, Rejection):
            return [entry]
        if isinstance(entry, Sample):
            return self._pack(entry)
        return [packed for given in entry() for packed in self.pack(given)]

    def arrays(self, packed: Packed) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) and mask (H, W) of `dtype`."""
        shape, pixels = (*self.size, 3), math.prod(self.size)
        with (self.folder / packed.file).open("rb") as file:
            file.seek(packed.start)
            return (np.frombuffer(file.read(pixels * 3), np.uint8).reshape(shape),
                    np.frombuffer(file.read(pixels * self.dtype.itemsize), self.dtype).reshape(self.size))

    def own_mask(self, packed: Packed) -> np.ndarray:
        """The mask at the picture's own size, of `dtype`."""
        with (self.folder / packed.file).open("rb") as file:
            file.seek(packed.start + self._array_bytes)
            return np.frombuffer(zlib.decompress(file.read(packed.own_bytes)), self.dtype).reshape(packed.own_size)

    def record(self, packed: Packed) -> Record:
        with (self.folder / packed.file).open("rb") as file:
            file.seek(packed.start + self._array_bytes + packed.own_bytes)
            return Record(**json.loads(file.read(packed.record_bytes)))

    @property
    def _array_bytes(self) -> int:
        """The bytes of an image and its mask."""
        return math.prod(self.size) * (3 + self.dtype.itemsize)

    def _pack(self, sample: Sample) -> list[Packed | Rejection]:
        fit = Fit(self.mode, sample.own_size, self.size)
        planes_KHW = np.stack([fit.plane(plane_HW) for plane_HW in sample.planes_KHW])
        if sample.planes_KHW.any() and not planes_KHW.any():
            return [Rejection(id=sample.id, source=sample.source, what="picture",
                              reason=f"nothing of its objects is left at {_by(self.size)}",
                              tally={"left out": n} if (n := sum(sample.tally.values())) else {})]
        image_HWC = np.asarray(fit.picture(Image.fromarray(sample.image_HWC)))
        mask_HW = self.task.pack(planes_KHW, _ignored(sample, fit))
        # A mask is nearly all runs of one value, so the quickest level leaves a fortieth of it.
        own_mask = zlib.compress(self.task.pack(sample.planes_KHW, sample.ignore_HW), level=1)
        objects, lost = self._objects(sample, fit, planes_KHW)
        valid_HW = ~self.task.ignored(mask_HW)
        stored_KHW = self.task.unpack(mask_HW, len(self.classes))
        record = json.dumps({"row": _row(sample, objects, planes_KHW), "valid_pixels": int(valid_HW.sum()),
                             "class_pixels": (stored_KHW & valid_HW).sum((1, 2)).tolist(),
                             "tally": sample.tally, "palette": sample.palette,
                             "facts": sample.facts and dataclasses.asdict(sample.facts)}).encode()
        name = str(os.getpid())
        with (self.folder / name).open("ab") as file:
            start = file.tell()
            file.writelines([image_HWC.tobytes(), mask_HW.tobytes(), own_mask, record])
        packed = Packed(id=sample.id, own_size=sample.own_size, file=name, start=start, own_bytes=len(own_mask),
                        record_bytes=len(record))
        return [packed, *lost]

    def _objects(self, sample: Sample, fit: Fit,
                 planes_KHW: np.ndarray) -> tuple[list[tuple[str, Box]], list[Rejection]]:
        """The objects that can still be seen, by class name and box, and rejections of those that cannot."""
        seen, lost = [], []
        for k, own_box in sample.objects:
            box = fit.box(own_box)
            if box is not None and _within(planes_KHW[k], box).any():
                seen.append((self.classes[k], box))
            else:
                reason = f"the box of its {self.classes[k]} holds none of it at {_by(fit.size)}"
                lost.append(Rejection(id=sample.id, source=sample.source, what="annotation", reason=reason))
        return seen, lost


def _ignored(sample: Sample, fit: Fit) -> np.ndarray | None:
    """The pixels that nobody labelled and those outside the picture."""
    parts = [fit.outside(), None if sample.ignore_HW is None else fit.plane(sample.ignore_HW)]
    there = [part for part in parts if part is not None]
    return np.logical_or.reduce(there) if there else None


def _within(plane_HW: np.ndarray, box: Box) -> np.ndarray:
    """All pixels that the box touches."""
    x0, y0, x1, y1 = box
    return plane_HW[math.floor(y0):math.ceil(y1), math.floor(x0):math.ceil(x1)]


def _by(size: Size) -> str:
    return f"{size[1]}×{size[0]}"


def _row(sample: Sample, objects: list[tuple[str, Box]], planes_KHW: np.ndarray) -> dict[str, Any]:
    height, width = sample.own_size
    return {
        "id": sample.id, "source": sample.source, "height": height, "width": width,
        "objects": [name for name, _ in objects],
        "boxes": [list(box) for _, box in objects],
        "areas": [int(plane_HW.sum()) for plane_HW in planes_KHW],
        "licence": sample.licence,
    } | ({} if sample.unit is None else {"unit": sample.unit})
