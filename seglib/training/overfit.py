"""Whether a model can learn a few pictures by heart: the first thing to ask of one that learns nothing."""

import dataclasses

from seglib.datasets.store import Split

ENOUGH = 0.9  # IoU, the mean over classes; what is missing then are pixels on outlines


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the weights that are kept score on the very pictures they were trained on."""

    pictures: int
    iou: float

    @property
    def could(self) -> bool:
        return self.iou >= ENOUGH

    def __str__(self) -> str:
        said = (f"overfit: {'yes' if self.could else 'no'}, IoU {self.iou:.3f} on the {self.pictures} pictures that it "
                f"trained on, where {ENOUGH:g} counts as learnt by heart")
        if self.could:
            return said
        return said + "; train longer or change train.lr, then look for a fault in the model, the loss or the masks"


def first_pictures(split: Split, pictures: int) -> Split:
    """Raises ValueError where the split has fewer."""
    if pictures > len(split):
        raise ValueError(f"train.overfit is {pictures}, but there are {len(split)} training pictures; choose fewer")
    return Split(split.images[:pictures], split.masks[:pictures], split.folder)
