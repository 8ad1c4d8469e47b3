"""Batches straight from the prepared arrays: one index operation a batch, no Python an image.

Shapes: N images, B batch, C channels, K classes, H, W.
"""

import dataclasses
import functools
import weakref
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from seglib.datasets.store import Split
from seglib.tasks.task import signed
from seglib.training.device import to_device

UPLOAD = 256 << 20  # bytes that go to a GPU in one go


@dataclasses.dataclass(frozen=True)
class Batch:
    images_BHWC: Tensor  # uint8
    masks_BHW: Tensor  # as `tasks.task.signed` reads them; (B, H, W, n) if a pixel has n words
    ignores: bool  # whether some pixel of the split is to be ignored


def batch_sizes(images: int, batch_size: int, *, learns: bool) -> list[int]:
    """The number of pictures in each batch of a pass over so many pictures.

    The last batch holds what is left. If that is one picture of a pass that a network learns from, it joins the batch
    before: at one picture, batch normalisation may see one value per channel, which has no spread.
    """
    sizes = [batch_size] * (images // batch_size)
    rest = images % batch_size
    if rest == 1 and sizes and learns:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


def epoch_order(images: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch's pictures. A function of seed and epoch alone, so a resumed training needs no state."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(images, generator=generator).numpy()


def step_seed(seed: int, iteration: int) -> int:
    """What the generators of all devices are seeded with before a step, for the same reason."""
    return int(np.random.SeedSequence((seed, iteration)).generate_state(1)[0])


class Feed:
    """A split's pictures, a batch at a time, on the device.

    ignores: whether some pixel of the split is to be ignored; None: its masks are read to see. Known beforehand, it
    need not be asked of each batch, which on a GPU means to wait for it.
    learns: whether a network learns from the batches, see `batch_sizes`.
    pictures: how many pictures an epoch shows, at most; None: all.
    resident: whether the whole split lies on the device, where batches are then indexed; None: where the device is a
    GPU and it fits into a quarter of what is free there. Else each batch is read from the memory-mapped files. Nothing
    is read before the first batch is asked for.
    """

    def __init__(self, split: Split, batch_size: int, device: torch.device, *, ignores: bool | None = None,
                 learns: bool = False, pictures: int | None = None, resident: bool | None = None):
        self.batch_size, self.device, self._images = batch_size, device, len(split)
        self._shown = len(split) if pictures is None else min(pictures, len(split))
        self._mapped = split.images, signed(split.masks)
        self._ignores, self._resident, self._learns = ignores, resident, learns

    def __len__(self) -> int:
        """The number of pictures that an epoch shows."""
        return self._shown

    def order(self, *, seed: int, epoch: int) -> np.ndarray:
        """The pictures of an epoch, in a random order: see `epoch_order`."""
        return epoch_order(self._images, seed=seed, epoch=epoch)[:self._shown]

    @functools.cached_property
    def sizes(self) -> list[int]:
        """The number of pictures in each batch of an epoch. All but the last are `batch_size`."""
        return self.sizes_of(self._shown)

    def sizes_of(self, images: int) -> list[int]:
        """The same of a pass over so many pictures."""
        return batch_sizes(images, self.batch_size, learns=self._learns)

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return len(self.sizes)

    @functools.cached_property
    def ignores(self) -> bool:
        return bool(self._mapped[1].min() < 0) if self._ignores is None else self._ignores

    @functools.cached_property
    def is_resident(self) -> bool:
        """Whether the whole split lies on the device."""
        if self._resident is not None or self.device.type != "cuda":
            return bool(self._resident)
        return sum(array.nbytes for array in self._mapped) <= torch.cuda.mem_get_info(self.device)[0] / 4

    @functools.cached_property
    def arrays(self) -> list[np.ndarray] | list[Tensor]:
        """All images and masks: tensors on the device if they are resident, else memory-mapped arrays."""
        return [_uploaded(array, self.device) for array in self._mapped] if self.is_resident else list(self._mapped)

    def batches(self, order: np.ndarray | None = None) -> Iterator[Batch]:
        """The pictures in `order` (default: as stored), in batches of `sizes_of` their number."""
        order = np.arange(self._shown) if order is None else order
        places = to_device(torch.from_numpy(order), self.device) if self.is_resident else order
        for read in self.read(places):
            if not self.is_resident:
                read = [to_device(torch.from_numpy(array), self.device) for array in read]
            yield Batch(*read, self.ignores)

    def read(self, order: np.ndarray | Tensor) -> Iterator[list[np.ndarray] | list[Tensor]]:
        """Images and masks of each batch, from `arrays`: the pictures in `order`, as `batches` divides them."""
        start = 0
        for size in self.sizes_of(len(order)):
            chosen = order[start:start + size]
            yield [array[chosen] for array in self.arrays]
            start += size


_resident: weakref.WeakValueDictionary[tuple, Tensor] = weakref.WeakValueDictionary()


def _uploaded(array: np.ndarray, device: torch.device) -> Tensor:
    """An array on the device. Trainings that run together there share the copy of a memory-mapped file."""
    if device.type != "cuda" or not isinstance(array, np.memmap):
        return _upload(array, device)
    key = (str(array.filename), array.shape, array.dtype.name, device)
    tensor = _resident.get(key)
    if tensor is None:
        tensor = _resident[key] = _upload(array, device)
        torch.cuda.current_stream(device).synchronize()  # other streams read it
    return tensor


def _upload(array: np.ndarray, device: torch.device) -> Tensor:
    """A memory-mapped array on the device, a piece at a time: the host never holds all of it."""
    like = torch.from_numpy(np.empty(0, array.dtype))
    tensor = torch.empty(array.shape, dtype=like.dtype, device=device)
    step = max(1, UPLOAD // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        tensor[start:start + step] = torch.from_numpy(np.array(array[start:start + step])).to(device)
    return tensor
