"""Task `multilabel`: classes may overlap, and a pixel may have none of them.

Bit k of a mask's pixel says that the pixel has class k. The highest bit says that the pixel is to be ignored; it is the
sign of a signed integer. Each class has a sigmoid of its own.

Shapes: B batch, K classes, H, W; "..." stands for any number of axes.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seglib.tasks.task import BACKGROUND, MASK_DTYPES, check_class_count, valid_pixels

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SEVERAL = "several"  # what a confusion calls a pixel that is given to more than one class


@dataclasses.dataclass(frozen=True)
class Multilabel:
    """The methods are explained in `seglib.tasks.task.Task`."""

    name = "multilabel"
    exclusive = False
    has_background = True
    max_classes = 31  # one bit per class and one for "ignore", in 32

    def mask_dtype(self, classes: int) -> np.dtype:
        """The narrowest type with one bit per class and one for "ignore"."""
        check_class_count(self, classes)
        return next(np.dtype(dtype) for dtype in MASK_DTYPES if classes < np.iinfo(dtype).bits)

    def pack(self, planes_KHW: np.ndarray, ignore_HW: np.ndarray | None = None) -> np.ndarray:
        dtype = self.mask_dtype(len(planes_KHW))
        mask_HW = np.zeros(planes_KHW.shape[1:], dtype)
        for k, plane_HW in enumerate(planes_KHW):
            mask_HW |= plane_HW.astype(dtype) << dtype.type(k)
        if ignore_HW is not None:
            mask_HW |= ignore_HW.astype(dtype) << dtype.type(_ignore_bit(dtype))
        return mask_HW

    def unpack(self, masks: np.ndarray, classes: int) -> np.ndarray:
        bits_K11 = np.arange(classes, dtype=masks.dtype).reshape(-1, 1, 1)
        return ((masks[..., None, :, :] >> bits_K11) & 1).astype(bool)

    def ignored(self, masks: np.ndarray) -> np.ndarray:
        return masks >> _ignore_bit(masks.dtype) == 1

    def background(self, masks: np.ndarray) -> np.ndarray:
        return masks == 0

    def targets(self, masks_BHW: "Tensor", classes: int, *, ignores: bool | None = None
                ) -> tuple["Tensor", "Tensor | None"]:
        import torch

        bits_K11 = torch.arange(classes, device=masks_BHW.device, dtype=masks_BHW.dtype).view(-1, 1, 1)
        planes_BKHW = (masks_BHW.unsqueeze(1) >> bits_K11) & 1 == 1
        return planes_BKHW, valid_pixels(masks_BHW, ignores=ignores)

    def ignore_value(self, dtype: "torch.dtype") -> int:
        """The sign bit alone: no class is there."""
        import torch

        return torch.iinfo(dtype).min

    def probabilities(self, logits_BKHW: "Tensor") -> "Tensor":
        return logits_BKHW.sigmoid()

    def present(self, share: "Tensor") -> "Tensor":
        """Each class for itself: where the share passes 1/2."""
        return share > 0.5

    def certainty(self, logits_BKHW: "Tensor") -> "Tensor":
        return logits_BKHW

    def confusion_names(self, classes: Sequence[str]) -> tuple[list[str], list[str]]:
        """Pixels that truly have several classes are in no row."""
        return [*classes, BACKGROUND], [*classes, BACKGROUND, SEVERAL]

    def shown_values(self, mask_HW: np.ndarray, ignored_HW: np.ndarray) -> np.ndarray:
        return np.where(ignored_HW, 0, mask_HW)


def _ignore_bit(dtype: np.dtype) -> int:
    return np.iinfo(dtype).bits - 1


TASK = Multilabel()
