"""Work that a GPU repeats: captured once as a CUDA graph, then replayed by one launch in place of hundreds.

A graph reads and writes the memory that it was captured with. So all that a step keeps (weights, the optimizer's state,
accumulators) lies in tensors that stay where they are.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from seglib.training.device import is_of_memory

WARM_UPS = 3  # runs before the first capture: cuBLAS, cuDNN and the allocator set things up in them


class DrawsNumbers(Exception):
    """The work draws random numbers: a replay would need a generator of its own, or repeat one draw for ever."""


class Graphs:
    """The graphs of one training or predictor. They are replayed one after another, so they share their memory.

    kept: gives all tensors that the work changes and that outlive a step. A capture leaves them as they were.
    """

    def __init__(self, device: torch.device, kept: Callable[[], Sequence[Tensor]]):
        self._device, self._kept = device, kept
        self._graphs: dict[Any, torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def run(self, key: Any, work: Callable[[], None]) -> None:
        """Replay the graph of this key. The first time, capture it from `work`.

        `work` takes no arguments and returns nothing: what it computes must be in tensors that stay where they are.
        The current stream must not be the default one. Raises DrawsNumbers, before anything has changed, and ValueError
        if the work cannot be captured.
        """
        if key not in self._graphs:
            self._graphs[key] = self._capture(work)
        self._graphs[key].replay()

    def _capture(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        before = self._generators()
        for _ in range(1 if self._graphs else WARM_UPS):
            with self._unchanged():
                work()
        if any(not torch.equal(*states) for states in zip(before, self._generators(), strict=True)):
            raise DrawsNumbers
        # torch.cuda.graph would also empty the caches of all streams, which other trainings use.
        torch.cuda.synchronize(self._device)
        graph = torch.cuda.CUDAGraph()
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        try:
            try:
                work()
            finally:
                graph.capture_end()
        except RuntimeError as error:
            first = error.__context__ or error  # the end of a capture that has failed raises an error of its own
            if is_of_memory(first):
                raise first from None
            raise ValueError(f"this work cannot be captured as a CUDA graph ({str(first).splitlines()[0]}): declare "
                             "`capturable=False` for the model or the loss term that waits for the GPU or whose shapes "
                             "change") from error
        return graph

    def _generators(self) -> list[Tensor]:
        return [torch.get_rng_state(), torch.cuda.get_rng_state(self._device)]

    @contextlib.contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Put all that the work changes back into place."""
        before = [tensor.detach().clone() for tensor in self._kept()]
        yield
        with torch.no_grad():
            for tensor, value in zip(self._kept(), before, strict=True):
                tensor.copy_(value)


class ReplayedFunction:
    """A function of one tensor that a GPU replays, from the second call with the same shape on.

    It must keep no state, as a network in evaluation mode. Its results are as if it were called. A function that draws
    random numbers is called.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], device: torch.device):
        self._function, self._graphs = function, Graphs(device, kept=list)
        self._stream = torch.cuda.Stream(device)  # the default stream cannot be captured
        self._draws = False
        self._buffers: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        shape, current = tuple(x.shape), torch.cuda.current_stream(x.device)
        if self._draws:
            return self._function(x)
        if shape not in self._buffers:
            result = self._function(x)
            self._buffers[shape] = torch.empty_like(x), torch.empty_like(result)
            return result
        given, found = self._buffers[shape]
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            given.copy_(x)
            try:
                self._graphs.run(shape, lambda: found.copy_(self._function(given)))
            except DrawsNumbers:
                self._draws = True
                found.copy_(self._function(given))
        current.wait_stream(self._stream)
        return found.clone()
