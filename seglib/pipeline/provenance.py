"""Where a result was made: device, precision, threads, versions. This is recorded in a file beside the result.

If the device or a version changes, results that exist are kept. The page says where each result was made.
"""

import dataclasses
import functools
from importlib import metadata
from pathlib import Path

import torch

from seglib.configs import Config
from seglib.files import write_json

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
    """The number of CPU threads that PyTorch used."""
    torch: str
    """The version of the installed package. So are the next three fields."""
    numpy: str
    pillow: str
    seglib: str
    fingerprint: str
    """The fingerprint of the code that made the result (see `seglib.pipeline.code`)."""

    @classmethod
    def here(cls, device: torch.device, *, precision: str, threads: int, fingerprint: str) -> "Provenance":
        """The provenance of what this process makes."""
        return cls(device=device.type, gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
                   precision=precision, threads=threads, fingerprint=fingerprint,
                   **{name: _version(name) for name in PACKAGES})

    def write(self, path: Path) -> None:
        write_json(path, self.content())


@functools.cache
def _version(package: str) -> str:
    return metadata.version(package)
