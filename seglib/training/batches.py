"""Batches straight from the memory-mapped arrays: one index operation a batch, no Python an image.

Shapes: N images, B batch, C channels, K classes, H, W.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from seglib.datasets.store import Split

_SIGNED = {"uint8": np.int8, "uint16": np.int16, "uint32": np.int32}


@dataclasses.dataclass(frozen=True)
class Batch:
    images_BHWC: Tensor  # uint8
    masks_BHW: Tensor  # the mask's bits as a signed integer of the same width


def epoch_order(images: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch's pictures. A function of seed and epoch alone, so a resumed training needs no state."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(images, generator=generator).numpy()


def batches(split: Split, batch_size: int, device: torch.device, order: np.ndarray | None = None) -> Iterator[Batch]:
    """The pictures of `split` in `order` (default: as stored), `batch_size` at a time; the last may be smaller."""
    order = np.arange(len(split)) if order is None else order
    signed = _SIGNED[split.masks.dtype.name]
    for start in range(0, len(order), batch_size):
        chosen = order[start:start + batch_size]
        yield Batch(_to(device, split.images[chosen]), _to(device, split.masks[chosen].view(signed)))


def _to(device: torch.device, array: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # or the copy would wait for all that the GPU has still to do
    return tensor.to(device, non_blocking=True)
