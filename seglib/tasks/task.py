"""The protocol of a task, and what all tasks share.

A mask is an array of unsigned integers, one word per pixel. On a device it is read as signed integers of the same
width, because PyTorch computes with few unsigned types. Every task stores its masks so that exactly the pixels to
ignore are then negative.

If classes are many, a pixel may need several words. A mask's type is then bytes that NumPy reads as no number, so that
its shape is (H, W) too. On a device its words are one more axis at the end, and all words of a pixel to ignore are
negative.

This package imports no torch until a tensor is given to it: the processes that prepare pictures start faster.

Shapes: B batch, K classes, H, W, n words; "..." stands for any number of axes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MOST_CLASSES = 1000  # of any task: a million cells of a confusion are still a table
WORD_DTYPES = (np.uint8, np.uint16, np.uint32)  # of masks with one word per pixel, the narrowest first
WIDEST = np.dtype(WORD_DTYPES[-1])
BACKGROUND = "background"  # what a confusion calls a pixel of no class


class Task(Protocol):
    """All that depends on what the truth is. Ask the task; never compare its name.

    name: what dataset.json and the headers of weights call the task.
    exclusive: whether a pixel has at most one class.
    has_background: whether a pixel that counts may have no class.
    max_classes: how many classes a mask can hold.
    """

    name: str
    exclusive: bool
    has_background: bool
    max_classes: int

    # How the truth is stored.

    def mask_dtype(self, classes: int) -> np.dtype:
        """The type of a mask's pixels: see `is_mask_dtype`. Raises ValueError for more than `max_classes`."""

    def pack(self, planes_KHW: np.ndarray, ignore_HW: np.ndarray | None = None) -> np.ndarray:
        """Boolean planes to a mask (H, W) of `mask_dtype(K)`. `ignore_HW` is True on pixels that must not count."""

    def unpack(self, masks: np.ndarray, classes: int) -> np.ndarray:
        """Masks (..., H, W) to boolean planes (..., K, H, W). Use `ignored` to find the pixels that do not count."""

    def ignored(self, masks: np.ndarray) -> np.ndarray:
        """Which pixels do not count: bool, in the masks' shape."""

    def background(self, masks: np.ndarray) -> np.ndarray:
        """Which pixels count and have no class: bool, in the masks' shape."""

    # What a network aims at and what its output means.

    def targets(self, masks_BHW: "Tensor", classes: int, *, ignores: bool | None = None
                ) -> tuple["Tensor", "Tensor | None"]:
        """Boolean planes (B, K, H, W), and which pixels count: bool (B, 1, H, W), or None for all of them.

        masks_BHW: masks as `signed` reads them, (B, H, W) or (B, H, W, n). ignores: whether some pixel may be one to
        ignore. If it is None, the masks are searched for one, which waits for a GPU.
        """

    def ignore_value(self, dtype: "torch.dtype") -> int:
        """What each word of a pixel to ignore holds in a mask that is read as signed integers of this type."""

    def probabilities(self, logits_BKHW: "Tensor") -> "Tensor":
        """Logits to the probability that a pixel has a class, in the same type and shape."""

    def present(self, share: "Tensor") -> "Tensor":
        """Which pixels are given to a class: bool (..., K, H, W).

        share: float (..., K, H, W), the output as a share of the class's target value. It is 1 on a perfect object and
        0 on a perfect background.
        """

    def certainty(self, logits_BKHW: "Tensor") -> "Tensor":
        """The logit of `probabilities`, in the logits' type and shape. It ranks the pixels of a split by one class.

        A probability rounds to 1 long before its logit stops growing, so pixels that a network is sure of are still
        told apart.
        """

    # What is counted.

    def confusion_names(self, classes: Sequence[str]) -> tuple[list[str], list[str]]:
        """The names of the rows (truth) and columns (prediction) of `metrics.confusion` that can hold pixels."""

    # How it is drawn. Figures paint the planes of `unpack`.

    def shown_values(self, mask_HW: np.ndarray, ignored_HW: np.ndarray) -> np.ndarray:
        """A mask as the page reads it: integers (H, W), 0 where there is nothing to draw or the pixel is ignored.

        If `exclusive`, a value is the number of a class plus 1. Otherwise its bit k is set where class k is. Of a mask
        with several words per pixel it is one such array per word, (n, H, W).
        """


def check_class_count(task: Task, classes: int) -> None:
    """Raises ValueError if a mask of the task cannot hold this many classes."""
    if classes > task.max_classes:
        raise ValueError(f"{classes} classes do not fit a {task.name} mask; at most {task.max_classes} do")


def several_words(count: int) -> np.dtype:
    """The type of masks with so many words per pixel."""
    return np.dtype((np.void, count * WIDEST.itemsize))


def has_several_words(dtype: np.dtype) -> bool:
    return dtype.kind == "V"


def is_mask_dtype(dtype: np.dtype) -> bool:
    """Whether masks may have this type: one of `WORD_DTYPES`, or that of `several_words`."""
    count = dtype.itemsize // WIDEST.itemsize
    return dtype in WORD_DTYPES or (1 < count <= MOST_CLASSES and dtype == several_words(count))


def joined(words: Sequence[np.ndarray]) -> np.ndarray:
    """Masks (..., H, W) of one word per pixel, all of the widest type, to one of several words."""
    return np.stack(words, axis=-1).view(several_words(len(words)))[..., 0]


def words_of(masks: np.ndarray) -> list[np.ndarray]:
    """The reverse of `joined`. Masks of one word per pixel are given as they are."""
    if not has_several_words(masks.dtype):
        return [masks]
    return list(np.moveaxis(masks[..., None].view(WIDEST), -1, 0))


def signed(masks: np.ndarray) -> np.ndarray:
    """A view of masks as a device reads them: signed integers (..., H, W), or (..., H, W, n) of several words."""
    if has_several_words(masks.dtype):
        return masks[..., None].view(f"i{WIDEST.itemsize}")
    return masks.view(f"i{masks.dtype.itemsize}")


def stored(masks: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The reverse of `signed`: a view of masks as `dtype`, the type that they are stored in."""
    return masks.view(dtype)[..., 0] if has_several_words(dtype) else masks.view(dtype)


def valid_pixels(masks_BHW: "Tensor", *, ignores: bool | None = None) -> "Tensor | None":
    """The second result of `Task.targets`: a pixel counts unless it is negative, whatever the task."""
    ignored_B1HW = masks_BHW.unsqueeze(1) < 0
    if ignores is None:
        ignores = bool(ignored_B1HW.any())
    return ~ignored_B1HW if ignores else None
