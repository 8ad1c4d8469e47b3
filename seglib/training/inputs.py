"""What a step reads: a pass over a split, one batch after another, at addresses that do not change on a GPU.

A CUDA graph reads the memory that it was captured with. So pictures that lie on the device are indexed within the step,
by an order and a position that are on the device too. Other pictures are copied into the same buffers for each step.
Shapes: N pictures, B batch, H, W.
"""

import time

import numpy as np
import torch
from torch import Tensor

from seglib.training.batches import Batch, Feed


class Inputs:
    """The pictures of the next step.

    Call `start` before a pass, and `advance` before each of its steps. The step itself calls `batch`.
    """

    def __init__(self, feed: Feed):
        self.feed, self.waited = feed, 0.0  # seconds of the pass in which batches were being read
        self._is_resident, self._copies = feed.is_resident, None
        self._batch: Batch | None = None
        if self._is_resident:
            self._order_N = torch.zeros(len(feed), dtype=torch.int64, device=feed.device)
        elif feed.device.type == "cuda":
            self._copies = _Copies(feed)

    def start(self, order: np.ndarray, *, first: int = 0) -> None:
        """Begin a pass over the pictures in this order at batch number `first`, counted from 0."""
        self._sizes, self.waited = iter(self.feed.sizes_of(len(order))[first:]), 0.0
        if self._is_resident:
            self._order_N[:len(order)].copy_(torch.from_numpy(order))
        else:
            self._read = self.feed.read(order[first * self.feed.batch_size:])

    def advance(self) -> int:
        """Bring the next batch into its place. Returns the number of its pictures."""
        started, size = time.perf_counter(), next(self._sizes)
        if not self._is_resident:
            arrays = next(self._read)
            tensors = [torch.from_numpy(array) for array in arrays] if self._copies is None else (
                self._copies.of(arrays))
            self._batch = Batch(*tensors, self.feed.ignores)
        self.waited += time.perf_counter() - started
        return size

    def batch(self, size: int, position: Tensor) -> Batch:
        """The batch of `size` pictures. position: int64 (1,) on the device, the number of the batch in its pass."""
        if not self._is_resident:
            return self._batch
        places_B = position * self.feed.batch_size + torch.arange(size, device=position.device)
        chosen_B = self._order_N.index_select(0, places_B)
        return Batch(*(array.index_select(0, chosen_B) for array in self.feed.arrays), self.feed.ignores)


class _Copies:
    """Copies of batches from the host into fixed buffers on a GPU.

    Each batch passes through pinned memory and a staging buffer, of which there are two: while a step computes, the
    next batch is read and copied on a stream of its own.
    """

    def __init__(self, feed: Feed):
        def buffers(**options: object) -> list[Tensor]:
            dtypes = [torch.from_numpy(np.empty(0, array.dtype)).dtype for array in feed.arrays]
            return [torch.empty((max(feed.sizes), *array.shape[1:]), dtype=dtype, **options)
                    for array, dtype in zip(feed.arrays, dtypes, strict=True)]

        self._stream = torch.cuda.Stream(feed.device)
        self._pinned = [buffers(pin_memory=True) for _ in range(2)]
        self._staged = [buffers(device=feed.device) for _ in range(2)]
        self._fixed = buffers(device=feed.device)
        self._copied, self._used = ([torch.cuda.Event() for _ in range(2)] for _ in range(2))
        self._turn = 0
        # The buffers were made on the current stream, which may still have to fill them.
        self._stream.wait_stream(torch.cuda.current_stream(feed.device))

    def of(self, arrays: list[np.ndarray]) -> list[Tensor]:
        """The fixed buffers, into which the current stream copies this batch."""
        turn, size = self._turn, len(arrays[0])
        self._turn = 1 - turn
        self._copied[turn].synchronize()  # of two batches ago: its pinned memory is free now
        for pinned, array in zip(self._pinned[turn], arrays, strict=True):
            pinned[:size].copy_(torch.from_numpy(array))
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._used[turn])
            for staged, pinned in zip(self._staged[turn], self._pinned[turn], strict=True):
                staged[:size].copy_(pinned[:size], non_blocking=True)
            self._copied[turn].record()
        current = torch.cuda.current_stream(self._staged[turn][0].device)
        current.wait_event(self._copied[turn])
        fixed = [buffer[:size] for buffer in self._fixed]
        for target, staged in zip(fixed, self._staged[turn], strict=True):
            target.copy_(staged[:size])
        self._used[turn].record(current)
        return fixed
