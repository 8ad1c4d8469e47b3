"""Task `multilabel`: classes may overlap, and a pixel may have none of them.

Bit k of a mask's pixel says that the pixel has class k. The highest bit says that the pixel is to be ignored; it is the
sign of a signed integer. More classes than fit into 32 bits take several words of 32 bits: the first holds classes 0 to
30, the second 31 to 61 and so on, and the highest bit of each says "ignore". Each class has a sigmoid of its own.

Shapes: B batch, K classes, H, W, n words; "..." stands for any number of axes.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seglib.tasks.task import (
    BACKGROUND,
    MOST_CLASSES,
    WIDEST,
    WORD_DTYPES,
    check_class_count,
    has_several_words,
    joined,
    several_words,
    valid_pixels,
    words_of,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

WORD_CLASSES = np.iinfo(WIDEST).bits - 1  # that a word holds if there are several
SEVERAL = "several"  # what a confusion calls a pixel that is given to more than one class


@dataclasses.dataclass(frozen=True)
class Multilabel:
    """The methods are explained in `seglib.tasks.task.Task`."""

    name = "multilabel"
    exclusive = False
    has_background = True
    max_classes = MOST_CLASSES

    def mask_dtype(self, classes: int) -> np.dtype:
        """The narrowest word with one bit per class and one for "ignore", or as many words as are needed."""
        check_class_count(self, classes)
        if classes > WORD_CLASSES:
            return several_words(-(-classes // WORD_CLASSES))
        return next(np.dtype(dtype) for dtype in WORD_DTYPES if classes < np.iinfo(dtype).bits)

    def pack(self, planes_KHW: np.ndarray, ignore_HW: np.ndarray | None = None) -> np.ndarray:
        dtype = self.mask_dtype(len(planes_KHW))
        if not has_several_words(dtype):
            return _word(planes_KHW, ignore_HW, dtype)
        return joined([_word(planes_KHW[first:first + WORD_CLASSES], ignore_HW, WIDEST)
                       for first in range(0, len(planes_KHW), WORD_CLASSES)])

    def unpack(self, masks: np.ndarray, classes: int) -> np.ndarray:
        planes = [_planes(word, count) for word, count in _with_counts(words_of(masks), classes)]
        return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-3)

    def ignored(self, masks: np.ndarray) -> np.ndarray:
        first = words_of(masks)[0]
        return first >> _ignore_bit(first.dtype) == 1

    def background(self, masks: np.ndarray) -> np.ndarray:
        return np.logical_and.reduce([word == 0 for word in words_of(masks)])

    def targets(self, masks_BHW: "Tensor", classes: int, *, ignores: bool | None = None
                ) -> tuple["Tensor", "Tensor | None"]:
        import torch

        words = [masks_BHW] if masks_BHW.ndim == 3 else list(masks_BHW.unbind(-1))
        planes = []
        for word_BHW, count in _with_counts(words, classes):
            bits_K11 = torch.arange(count, device=word_BHW.device, dtype=word_BHW.dtype).view(-1, 1, 1)
            planes.append((word_BHW.unsqueeze(1) >> bits_K11) & 1 == 1)
        planes_BKHW = planes[0] if len(planes) == 1 else torch.cat(planes, dim=1)
        return planes_BKHW, valid_pixels(words[0], ignores=ignores)

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
        shown = [np.where(ignored_HW, 0, word_HW) for word_HW in words_of(mask_HW)]
        return shown[0] if len(shown) == 1 else np.stack(shown)


def _word(planes_KHW: np.ndarray, ignore_HW: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
    """`Multilabel.pack`, of no more classes than a word of this type holds."""
    mask_HW = np.zeros(planes_KHW.shape[1:], dtype)
    for k, plane_HW in enumerate(planes_KHW):
        mask_HW |= plane_HW.astype(dtype) << dtype.type(k)
    if ignore_HW is not None:
        mask_HW |= ignore_HW.astype(dtype) << dtype.type(_ignore_bit(dtype))
    return mask_HW


def _planes(masks: np.ndarray, classes: int) -> np.ndarray:
    """`Multilabel.unpack`, of masks with one word per pixel."""
    bits_K11 = np.arange(classes, dtype=masks.dtype).reshape(-1, 1, 1)
    return ((masks[..., None, :, :] >> bits_K11) & 1).astype(bool)


def _with_counts(words: Sequence[Any], classes: int) -> Iterator[tuple[Any, int]]:
    """Each word of masks, an array or a tensor, with the number of classes in it."""
    for number, word in enumerate(words):
        yield word, min(WORD_CLASSES, classes - number * WORD_CLASSES)


def _ignore_bit(dtype: np.dtype) -> int:
    return np.iinfo(dtype).bits - 1


TASK = Multilabel()
