"""What stands below a predicted mask: its IoU in that picture, and that of each class. Shapes: K classes, H, W.

The mean alone misleads: a class that is not there counts 0 as soon as one pixel of it is predicted.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from seglib.datasets.store import DatasetInfo
from seglib.metrics.cases import Cases
from seglib.metrics.scores import HEADLINE
from seglib.metrics.scores.score import mean_score

MOST, LOWEST = 4, 2  # up to MOST classes are all named, of more only the LOWEST


@dataclasses.dataclass(frozen=True, kw_only=True)
class Caption:
    """The scores of one mask.

    iou: the mean over `classes`; NaN if nothing is there and nothing was predicted.
    classes: one text for each class that is in the truth or predicted, in the order of the dataset's classes.
    brief: the same if there are few. If there are many, the two with the lowest IoU. None if the mean says all.
    """

    iou: float
    classes: list[str]
    brief: list[str]

    def __str__(self) -> str:
        """The lines below a printed picture."""
        return "\n".join(["nothing there" if np.isnan(self.iou) else f"IoU {self.iou:.2f}", *self.brief])


def caption(cases: Cases, picture: int, classes: Sequence[str]) -> Caption:
    """The caption of one picture's mask, from its counts."""
    iou_K = HEADLINE.by_picture(cases)[picture]
    true_K, extra_K = (cases["tp"] + cases["fn"])[picture], cases["fp"][picture].astype(int)
    scored = np.flatnonzero(~np.isnan(iou_K)).tolist()
    texts = {k: f"{classes[k]} {iou_K[k]:.2f}" if true_K[k] else
             f"{classes[k]}: not there, {extra_K[k]:,} pixel{'s' if extra_K[k] > 1 else ''} predicted" for k in scored}
    if len(scored) > MOST:
        lowest = sorted(scored, key=lambda k: (iou_K[k], -true_K[k], -extra_K[k]))[:LOWEST]
        brief = [f"the lowest of {len(scored)} classes:", *(texts[k] for k in lowest)]
    else:
        brief = [] if len(classes) == 1 and true_K.any() else list(texts.values())
    return Caption(iou=mean_score(iou_K), classes=list(texts.values()), brief=brief)


def mask_caption(predicted_HW: np.ndarray, truth_HW: np.ndarray, info: DatasetInfo) -> Caption:
    """The caption of a packed mask, from itself and the truth. Pixels to ignore are in no count."""
    valid_HW = ~info.task.ignored(truth_HW)
    predicted, truth = (info.task.unpack(mask, len(info.classes)) & valid_HW for mask in (predicted_HW, truth_HW))
    planes = {"tp": predicted & truth, "fp": predicted & ~truth, "fn": truth & ~predicted}
    cases = Cases({name: of.sum((1, 2), dtype=np.float64)[None] for name, of in planes.items()})
    return caption(cases, 0, info.classes)
