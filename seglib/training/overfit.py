"""Whether a model can learn a few pictures by heart: the first thing to ask of one that learns nothing.

Shapes: N pictures, K classes, H, W.
"""

import dataclasses

import numpy as np

from seglib.datasets.store import DatasetInfo, Split
from seglib.loss_floor import LossFloor

ENOUGH = 0.9  # IoU, the mean over classes; what is missing then are pixels on outlines


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """The scores of the weights that were kept, on the pictures that they were trained on.

    The score decides, not the loss: one that has a floor never comes near 0, however well the pictures are learnt.
    """

    pictures: int
    iou: float
    loss: float
    floor: LossFloor

    @property
    def could(self) -> bool:
        return self.iou >= ENOUGH

    def __str__(self) -> str:
        said = (f"overfit: {'yes' if self.could else 'no'}, IoU {self.iou:.3f} on the {self.pictures} pictures that it "
                f"trained on; at least {ENOUGH:g} counts as learnt by heart")
        if self.floor.loss > 0:
            said += f"; the loss, {self.loss:.4g}, {self.floor}"
        if self.could:
            return said
        if not self.floor.teaches_absence and self.floor.lacking:
            return said + ("; no term of this loss teaches the network to leave a class out of a picture; add one that "
                           "does, such as mse")
        return said + "; train longer or change train.lr, then look for a fault in the model, the loss or the masks"


def classes_there(split: Split, info: DatasetInfo) -> np.ndarray:
    """Whether each picture holds each class: bool (N, K). Pixels to ignore hold none."""
    masks_NHW = split.masks[:]
    planes_NKHW = info.task.unpack(masks_NHW, len(info.classes)) & ~info.task.ignored(masks_NHW)[:, None]
    return planes_NKHW.any((2, 3))


def first_pictures(split: Split, pictures: int) -> Split:
    """Raises ValueError where the split has fewer."""
    if pictures > len(split):
        raise ValueError(f"train.overfit is {pictures}, but there are {len(split)} training pictures; choose fewer")
    return Split(split.images[:pictures], split.masks[:pictures], split.folder)
