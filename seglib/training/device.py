"""Where and how exactly a training computes: device, precision, threads, determinism."""

import contextlib
import dataclasses
import os
import platform
import resource
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from seglib.configs import TrainSettings
from seglib.cores import physical_cores
from seglib.training import memory

TENSOR_CORES = (7, 0)  # the first compute capability whose GPUs multiply in fp16: V100; then T4, RTX 20
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(wanted: str) -> torch.device:
    """The device of `auto` (CUDA, else the CPU) or of a name. Raises ValueError where it is not there."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("train.device is cuda, but PyTorch finds no CUDA device here; choose cpu, or auto")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def choose_precision(wanted: str, device: torch.device) -> str:
    """The precision of `auto`: bf16 if the hardware multiplies in it, else fp16 on a GPU with tensor cores, else fp32.

    Raises ValueError for tf32 on a CPU.
    """
    if wanted == "tf32" and device.type != "cuda":
        raise ValueError("train.precision is tf32, which only a GPU has; choose fp32, or auto")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
        return "fp16" if torch.cuda.get_device_capability(device) >= TENSOR_CORES else "fp32"
    capabilities = torch.cpu.get_capabilities()
    has_bf16 = any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))
    return "bf16" if has_bf16 else "fp32"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditions:
    """What decides the bytes of a training besides its configuration, data and code, as far as this is known."""

    device: str
    precision: str
    threads: int
    torch: str

    @classmethod
    def of(cls, train: TrainSettings) -> "Conditions":
        """Those of a training with these settings here and now. Raises ValueError as `choose_device` does."""
        device = choose_device(train.device)
        return cls(device=device.type, precision=choose_precision(train.precision, device),
                   threads=train.threads or physical_cores(), torch=str(torch.__version__))

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)


@contextlib.contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """Compute a network in this precision. The backward pass needs `products_of` around it as well."""
    dtype = AUTOCAST.get(precision)
    with products_of(precision), (
            contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype)):
        yield


@contextlib.contextmanager
def products_of(precision: str) -> Iterator[None]:
    """How a GPU multiplies float32: convolutions in TF32 if the precision is tf32, as PyTorch does by default.

    In all other precisions they are exact. Products of matrices always are, as PyTorch has it by default too.
    """
    backend = torch.backends.cudnn
    was, backend.allow_tf32 = backend.allow_tf32, precision == "tf32"
    try:
        yield
    finally:
        backend.allow_tf32 = was


def prepare_process(threads: int | None) -> None:
    """Deterministic algorithms everywhere, and a thread count that is set once: sums split by it."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports torch.compile, for a second
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid; nothing here reads such memory
    torch.set_num_threads(threads or physical_cores())


class OutOfMemory(ValueError):
    """What was asked for does not fit; less may."""


def is_of_memory(error: Exception) -> bool:
    """Whether memory ran out: libraries say it in many ways."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in str(error) for words in ("can't allocate memory", "not enough memory", "bad_alloc", "out of memory",
                                          "ALLOC_FAILED"))


@contextlib.contextmanager
def memory_of(device: torch.device, batch_size: int | None = None) -> Iterator[None]:
    """Where memory runs out, OutOfMemory says what to try. batch_size: the training's, where that is what takes it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_of_memory(error):
            raise
        asked = "" if batch_size is None else f" with train.batch_size={batch_size}"
        less = f"train.batch_size={batch_size // 2}" if (batch_size or 0) > 1 else "smaller pictures or a smaller model"
        raise OutOfMemory(f"out of memory on {device.type}{asked}: try {less}") from error


def own_stream(device: torch.device) -> "torch.cuda.Stream | None":
    """A new stream of a GPU: work on it runs beside the work of other streams. None for a CPU."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None


@contextlib.contextmanager
def on_stream(stream: "torch.cuda.Stream | None") -> Iterator[None]:
    """Put GPU work on this stream. None changes nothing."""
    if stream is None:
        yield
        return
    with torch.cuda.stream(stream):
        yield


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on the device, without a wait for what a GPU has still to do."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def peak_memory_mb(device: torch.device) -> float:
    """The most memory that was in use so far: of a GPU by tensors, of the CPU by this process, in 10⁶ bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "linux":  # where `getrusage` gives the parent's, if that was larger
        return memory.peak_of(os.getpid()) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kilobytes elsewhere


def machine(device: torch.device) -> dict[str, Any]:
    """What a timing depends on: for the record, never for the result."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": torch.cpu.get_capabilities().get("cpu_name") or platform.processor(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
