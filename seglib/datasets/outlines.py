"""Draw the annotations of one picture. All readers of listed objects use it.

Every annotation ends in one of samples.TALLIES. Shapes: K classes, H, W.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seglib.datasets.coco_masks import Outside, Undrawable, decode, place_of
from seglib.datasets.samples import Box, Rejection, box_around

CROWD = "it marks a crowd (iscrowd: 1), whose pixels count nowhere; crowds: objects draws it"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outline:
    """An annotation of a class that is asked for, as its file has it."""

    name: str  # such as "annotation 3"
    k: int  # the class's index
    segmentation: Any  # as COCO has it: polygons or run lengths
    box: Any = None  # x, y, width, height
    object_box: Box | None = None  # None: the box around its mask
    crowd: bool = False
    fault: str | None = None  # why it cannot be drawn, whatever its segmentation is


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeftOut:
    """An annotation that is no part of the truth, or a part of one that is."""

    annotation: str  # such as "annotation 3"
    reason: str
    tally: str | None  # a key of samples.TALLIES; None: a part of an annotation whose other parts are drawn

    def rejection(self, picture: str, source: str) -> Rejection:
        """picture: its id."""
        return Rejection(id=picture, source=f"{source} {self.annotation}", what="annotation" if self.tally else "part",
                         reason=self.reason, tally={self.tally: 1} if self.tally else {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
    """The masks of one picture, and the tallies of its annotations."""

    planes_KHW: np.ndarray  # bool
    ignore_HW: np.ndarray  # bool
    objects: Sequence[tuple[int, Box]]  # (class index, box)
    left_out: Sequence[LeftOut]
    tally: Mapping[str, int]  # the annotations that are not in `left_out`, by samples.TALLIES
    unusable: str | None  # why the picture itself is left out


def draw(outlines: Sequence[Outline], size: tuple[int, int], classes: int, *, left_out: Sequence[LeftOut] = (),
         other: int = 0) -> Drawn:
    """Draw the outlines on a picture of `size` (H, W).

    left_out: annotations that the caller left out; other: how many are of classes that are not asked for.
    The pixels of crowds and of the boxes of undrawable annotations are ignored, except those of drawn objects.
    """
    height, width = size
    planes_KWH = np.zeros((classes, width, height), bool)  # the order of decoded masks: joining them is copying
    ignore_HW = np.zeros(size, bool)
    objects, left_out, unusable = [], list(left_out), None
    for outline in outlines:
        try:
            if outline.fault:
                raise Undrawable(outline.fault)
            drawing = decode(outline.segmentation, *size)
        except Outside as error:
            left_out.append(LeftOut(annotation=outline.name, reason=str(error), tally="outside"))
            continue
        except Undrawable as error:
            left_out.append(LeftOut(annotation=outline.name, reason=str(error), tally="undrawable"))
            place = place_of(outline.box, outline.segmentation, *size)
            if place is None:
                unusable = unusable or f"an annotation that cannot be drawn may lie anywhere in it: {error}"
            else:
                ignore_HW[place] = True
            continue
        for reason, numbers in drawing.dropped:
            left_out.append(LeftOut(annotation=outline.name, reason=f"{reason}; its other parts are drawn", tally=None))
            # A stray point or line covers no pixels. A damaged outline covers unknown pixels, so its box is ignored.
            if len(numbers) >= 6 and (place := place_of(None, [numbers], *size)) is not None:
                ignore_HW[place] = True
        if outline.crowd:
            ignore_HW |= drawing.mask_HW
            left_out.append(LeftOut(annotation=outline.name, reason=CROWD, tally="crowd"))
        else:
            planes_KWH[outline.k] |= drawing.mask_HW.T
            objects.append((outline.k, outline.object_box or box_around(drawing.mask_HW)))
    if unusable is None and left_out and not objects and not ignore_HW.any():
        unusable = f"none of its annotations gave a mask: {left_out[0].reason}"
    counts = {"left out": len(objects) + other} if unusable else {"drawn": len(objects), "other": other}
    planes_KHW = np.ascontiguousarray(planes_KWH.transpose(0, 2, 1))
    return Drawn(planes_KHW=planes_KHW, ignore_HW=ignore_HW & ~planes_KHW.any(0), objects=objects, left_out=left_out,
                 tally={tally: count for tally, count in counts.items() if count}, unusable=unusable)
