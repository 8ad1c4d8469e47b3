"""Which kernels a GPU ran, and for how long: what PyTorch's profiler records of some steps.

A kernel is a program that the GPU runs; copies and fills of memory are none.
"""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

Interval = tuple[float, float]  # when something began and ended, in microseconds

# A kernel is of the first group in whose words its name, in lower case, has a part.
GROUPS = {
    "convolutions and products": ("conv", "gemm", "xmma", "cutlass", "wgrad", "dgrad", "nvjet", "cudnn_generated"),
    "layouts of memory": ("nchwtonhwc", "nhwctonchw", "transpose"),
    "batch norms": ("batch_norm", "bn_fw", "bn_bw", "batchnorm"),
    "optimizer": ("multi_tensor_apply", "adam", "sgd"),
    "reductions": ("reduce",),
    "elementwise": ("elementwise", "copy", "fill", "cat", "index", "pool", "upsample"),
}


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One run of one kernel. start, end: in microseconds."""

    name: str
    start: float
    end: float


@dataclasses.dataclass(frozen=True)
class Kernels:
    """All kernels that some steps ran."""

    runs: Sequence[Kernel]
    steps: int

    @property
    def per_step(self) -> float:
        """How many a step launches."""
        return len(self.runs) / self.steps

    @property
    def busy(self) -> float:
        """The share of the time, from the first kernel's start to the last one's end, in which some kernel ran.

        Raises ValueError if no kernel ran, or if PyTorch may not watch them here.
        """
        if not self.runs:
            raise ValueError("PyTorch's profiler saw no kernel on this GPU; it needs CUPTI and the right to use it")
        start, end = min(run.start for run in self.runs), max(run.end for run in self.runs)
        return covered((run.start, run.end) for run in self.runs) / (end - start)

    def shares(self) -> dict[str, float]:
        """The share of all kernels' time that each group of GROUPS took, and "others", the largest first."""
        times = dict.fromkeys([*GROUPS, "others"], 0.0)
        for run in self.runs:
            times[group_of(run.name)] += run.end - run.start
        total = sum(times.values())
        return {group: times[group] / total for group in sorted(times, key=times.get, reverse=True)}


def group_of(kernel: str) -> str:
    """The group of a kernel by its name."""
    name = kernel.lower()
    return next((group for group, words in GROUPS.items() if any(word in name for word in words)), "others")


def covered(intervals: Iterable[Interval]) -> float:
    """How long at least one of the intervals lasts: the length of their union."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def recorded(step: Callable[[], object], steps: int) -> Kernels:
    """Run a step so many times under the profiler, which makes launches slower, and collect its kernels.

    Call `wake` before the first CUDA graph is captured.
    """
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        return Kernels(kernels_in(path), steps)


def wake() -> None:
    """Start the profiler once, so that it knows of all CUDA graphs that are made afterwards."""
    with profile(activities=[ProfilerActivity.CUDA]):
        torch.zeros(1, device="cuda")
        torch.cuda.synchronize()


def kernels_in(trace: Path) -> list[Kernel]:
    """The kernels of a trace in Chrome's format, which says of each event when it began and how long it took."""
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    return [Kernel(event["name"], event["ts"], event["ts"] + event["dur"]) for event in events
            if event.get("cat") == "kernel"]
