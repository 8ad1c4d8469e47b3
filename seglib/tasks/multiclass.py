"""Task `multiclass`: classes exclude each other, and every pixel that counts has one.

A mask's pixel holds the number of its class, as uint8, or as uint16 if there are more than 127. The largest number of
the type says that the pixel is to be ignored; read as a signed integer, that is -1. All classes share one softmax.

Shapes: B batch, K classes, H, W; "..." stands for any number of axes.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seglib.tasks.task import MOST_CLASSES, WORD_DTYPES, check_class_count, valid_pixels

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Multiclass:
    """The methods are explained in `seglib.tasks.task.Task`."""

    name = "multiclass"
    exclusive = True
    has_background = False
    max_classes = MOST_CLASSES

    def mask_dtype(self, classes: int) -> np.dtype:
        """The narrowest word in which all numbers of classes stay positive if it is read as signed."""
        check_class_count(self, classes)
        return next(np.dtype(dtype) for dtype in WORD_DTYPES if classes <= np.iinfo(dtype).max // 2)

    def pack(self, planes_KHW: np.ndarray, ignore_HW: np.ndarray | None = None) -> np.ndarray:
        """A pixel in several planes has the last of these classes. A pixel in no plane is ignored."""
        dtype = self.mask_dtype(len(planes_KHW))
        ignore = np.iinfo(dtype).max
        mask_HW = np.full(planes_KHW.shape[1:], ignore, dtype)
        for k, plane_HW in enumerate(planes_KHW):
            mask_HW[plane_HW] = k
        if ignore_HW is not None:
            mask_HW[ignore_HW] = ignore
        return mask_HW

    def unpack(self, masks: np.ndarray, classes: int) -> np.ndarray:
        numbers_K11 = np.arange(classes, dtype=masks.dtype).reshape(-1, 1, 1)
        return masks[..., None, :, :] == numbers_K11

    def ignored(self, masks: np.ndarray) -> np.ndarray:
        return masks == np.iinfo(masks.dtype).max

    def background(self, masks: np.ndarray) -> np.ndarray:
        return np.zeros(masks.shape, bool)

    def targets(self, masks_BHW: "Tensor", classes: int, *, ignores: bool | None = None
                ) -> tuple["Tensor", "Tensor | None"]:
        import torch

        numbers_K11 = torch.arange(classes, device=masks_BHW.device, dtype=masks_BHW.dtype).view(-1, 1, 1)
        return masks_BHW.unsqueeze(1) == numbers_K11, valid_pixels(masks_BHW, ignores=ignores)

    def ignore_value(self, dtype: "torch.dtype") -> int:
        return -1

    def probabilities(self, logits_BKHW: "Tensor") -> "Tensor":
        return logits_BKHW.softmax(1)

    def present(self, share: "Tensor") -> "Tensor":
        """The class with the largest share; the first of them if several are equal."""
        import torch

        numbers_K11 = torch.arange(share.shape[-3], device=share.device).view(-1, 1, 1)
        return share.argmax(-3, keepdim=True) == numbers_K11

    def certainty(self, logits_BKHW: "Tensor") -> "Tensor":
        """log p - log(1 - p) is x - log Σ exp(the other logits)."""
        import torch

        certainties = []
        for k in range(logits_BKHW.shape[1]):
            others_BJHW = torch.cat([logits_BKHW[:, :k], logits_BKHW[:, k + 1:]], dim=1)
            certainties.append(logits_BKHW[:, k] - others_BJHW.logsumexp(1))
        return torch.stack(certainties, dim=1)

    def confusion_names(self, classes: Sequence[str]) -> tuple[list[str], list[str]]:
        return [*classes], [*classes]

    def shown_values(self, mask_HW: np.ndarray, ignored_HW: np.ndarray) -> np.ndarray:
        return np.where(ignored_HW, 0, mask_HW.astype(np.int32) + 1)


TASK = Multiclass()
