"""The identity of a training: one hash, which names MLflow's runs, checkpoints and locks.

Two trainings of one identity end in the same bytes. Names are not part of it: a loss called `mse_dice` with
`dice_scale` 20 is `mse_dice20`.
"""

import hashlib
from pathlib import Path

import torch

from seglib.files import file_sha256
from seglib.pipeline.workspace import TrainingFiles

PACKAGE = Path(__file__).parents[1]

# The rooms that a training runs, as dvc.yaml lists them for the train stage (a test holds the two together).
TRAINING_ROOMS = ("configs.py", "cores.py", "datasets/store.py", "files.py", "losses", "metrics/counts.py",
                  "metrics/overlap.py", "models", "names.py", "registry.py", "tasks", "training")


def source_files() -> list[Path]:
    """The source files of the rooms that a training runs, sorted."""
    return sorted(path for room in TRAINING_ROOMS
                  for path in ([PACKAGE / room] if room.endswith(".py") else (PACKAGE / room).rglob("*.py")))


def identity_of(files: TrainingFiles, device: torch.device) -> str:
    """The identity of the training that these files describe now."""
    return identity(files.train_config.read_bytes(), (files.prepared / "dataset.json").read_bytes(), device.type)


def identity(conf: bytes, dataset_json: bytes, device_type: str) -> str:
    """sha256, as 64 hex digits, of configuration, data (by dataset.json's file hashes), code, torch and device type."""
    digest = hashlib.sha256()
    for part in (conf, dataset_json, torch.__version__.encode(), device_type.encode()):
        digest.update(len(part).to_bytes(8) + part)
    for path in source_files():
        digest.update(f"{path.relative_to(PACKAGE).as_posix()} {file_sha256(path)}\n".encode())
    return digest.hexdigest()
