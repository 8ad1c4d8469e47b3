"""What a network's speed is measured with: the machine's own, the operations asked for, turns, and a table of both.
"""

import contextlib
import dataclasses
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import Timing, heading, machine, table
from benchmarks.peer import SIDE
from seglib.configs import TrainConfig
from seglib.training.loop import Trainer
from seglib.training.setup import Outcome

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of one round, in pictures, but for `steps` and `side`."""

    rounds: int
    fed: int
    trained: int  # in batches of 4
    trained_large: int  # in batches of 32
    shown: int  # in the epochs that come before what is evaluated
    tested: int
    steps: int  # compared one by one
    side: int  # of the square matrices whose product measures the machine
    depth: int = 16
    width: int = 64


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"


@contextlib.contextmanager
def tf32(backend: Any, allowed: bool) -> Iterator[None]:
    """Whether a GPU may multiply float32 in TF32. backend: torch.backends.cudnn, or torch.backends.cuda.matmul."""
    was, backend.allow_tf32 = backend.allow_tf32, allowed
    try:
        yield
    finally:
        backend.allow_tf32 = was


def matmul_peaks(device: torch.device, side: int) -> dict[str, float]:
    """The machine's matrix products a second, FLOP/s by precision, the best of ten."""
    def seconds(a: Tensor, b: Tensor) -> float:
        synchronize(device)
        start = time.perf_counter()
        torch.matmul(a, b)
        synchronize(device)
        return time.perf_counter() - start

    peaks = {}
    # On a GPU, convolutions in fp32 may multiply in TF32 where products of matrices do not: measure what they may use.
    with tf32(torch.backends.cuda.matmul, torch.backends.cudnn.allow_tf32):
        for name, dtype in DTYPES.items():
            a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
            peaks[name] = 2 * side ** 3 / min(seconds(a, b) for _ in range(10))
    heading("Training: the machine", f"{machine()}, {name_of(device)}, PyTorch {torch.__version__}. Products of "
            f"matrices of {side}×{side}, which the tables below take shares of:")
    table(["precision", "GFLOP/s"], [[name, f"{peak / 1e9:.0f}"] for name, peak in peaks.items()])
    return peaks


def train(config: TrainConfig, dataset: Path) -> Outcome:
    """A whole training; what it says is not shown."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return Trainer(config, dataset).run(title="")


def flops_an_image(network: nn.Module, *, backward: bool) -> float:
    """Floating-point operations that convolutions and products of matrices ask for, a multiplication and its sum as 2.

    Counted on the way forward alone, or there and back.
    """
    pictures = torch.rand(2, 3, SIDE, SIDE, device=next(network.parameters()).device)
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward):
        output = network(pictures).sum()
        if backward:
            output.backward()
    network.zero_grad()
    return counter.get_total_flops() / len(pictures)


def print_speeds(timings: Mapping[str, Timing], flops: Sequence[float], precisions: Sequence[str],
                 peaks: Mapping[str, float], *, goals: Sequence[str]) -> None:
    """A row a work, the first being the one that the others are compared with. timings: seconds an image."""
    reference = next(iter(timings.values()))
    table(["what", "images/s", "GFLOP an image", "GFLOP/s", "share of the matmul peak", "against the course", "goal"],
          [[name, f"{timing.rate(1):.1f}", f"{work / 1e9:.2f}", f"{timing.rate(work) / 1e9:.0f}",
            f"{timing.rate(work) / peaks[precision]:.0%} of {precision}", timing.times_faster(reference), goal]
           for (name, timing), work, precision, goal in zip(timings.items(), flops, precisions, goals, strict=True)])
