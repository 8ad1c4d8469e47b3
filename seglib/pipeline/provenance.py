"""Where a result was made: device, precision, threads, versions. It is recorded beside the result, never inside it.

A result is not made again because it would be made in another way now. The page says where each was made.
"""

import dataclasses
import functools
from importlib import metadata
from pathlib import Path

import torch

from seglib.configs import Config, TrainConfig
from seglib.files import write_json
from seglib.pipeline.code import Code
from seglib.pipeline.workspace import TrainingFiles
from seglib.training.device import Conditions

PACKAGES = ("torch", "numpy", "pillow", "seglib")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance(Config):
    """provenance.json."""

    device: str
    """"cpu" or "cuda"."""
    gpu: str | None
    """The GPU's name; None for the CPU."""
    precision: str
    """"fp32" or "bf16"."""
    threads: int
    """Of PyTorch, on the CPU."""
    torch: str
    """This version and the next three are those of the installed packages."""
    numpy: str
    pillow: str
    seglib: str
    fingerprint: str
    """Of the code: see `seglib.pipeline.code`."""

    @classmethod
    def here(cls, device: torch.device, *, precision: str, threads: int, fingerprint: str) -> "Provenance":
        """The provenance of what this process makes."""
        return cls(device=device.type, gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
                   precision=precision, threads=threads, fingerprint=fingerprint,
                   **{name: _version(name) for name in PACKAGES})

    def write(self, path: Path) -> None:
        write_json(path, self.content())


def provenance_of(files: TrainingFiles) -> Provenance:
    """The provenance that these files' training has if it runs here and now."""
    conditions = Conditions.of(TrainConfig.read(files.train_config).train)
    return Provenance.here(conditions.torch_device, precision=conditions.precision, threads=conditions.threads,
                           fingerprint=Code.read(files.train_config, part="code").fingerprint)


@functools.cache
def _version(package: str) -> str:
    return metadata.version(package)
