"""Which trainings one stage trains together, and what it leaves of those that are another stage's.

The first stage that has to train trains others of its dataset as well. Their own stages find finished states and write
the outputs.
"""

from pathlib import Path

import torch

from seglib.configs import MachineConfig, TrainConfig
from seglib.cores import physical_cores
from seglib.datasets.store import Split
from seglib.files import read_json, work_dir, write_json
from seglib.pipeline import records
from seglib.pipeline.asked import Request
from seglib.pipeline.identity import identity_of, provenance_of, state_key
from seglib.pipeline.workspace import MACHINE_CONFIG, TrainingFiles, live_trainings
from seglib.training.together import places


def checkpoint_folder(files: TrainingFiles) -> Path:
    """Where the training's states are kept."""
    return work_dir() / "checkpoints" / state_key(files)


def lock_of(files: TrainingFiles) -> Path:
    """The process that trains this training holds this lock."""
    return checkpoint_folder(files).with_suffix(".lock")


def counted_title(files: TrainingFiles) -> str:
    """The training's title, with its number among those of its dataset: "shapes munet-mse-1 (2 of 4)"."""
    live = live_trainings(files.dataset)
    done = sum(other != files and _is_written(other, identity_of(other)) for other in live)
    return f"{files.title} ({done + 1} of {len(live)})"


def _is_written(files: TrainingFiles, identity: str) -> bool:
    """Whether the workspace holds the training's result."""
    return files.timing.exists() and read_json(files.timing)["identity"] == identity


def at_once() -> int | None:
    """How many trainings are to run at once; None: as many as the machine allows. One if `resolve` has not said."""
    return MachineConfig.read(MACHINE_CONFIG).together if MACHINE_CONFIG.exists() else 1


def trained_with(files: TrainingFiles) -> list[TrainingFiles]:
    """The other trainings that the stage of this training trains as well, in their order; often none.

    They are trainings of the same dataset on the same device that DVC was asked for and that were never finished.
    """
    request = Request.of_this_stage()
    if request is None or Finished.of(files).is_noted:
        return []
    config, device = TrainConfig.read(files.train_config).train, provenance_of(files).device
    if places(torch.device(device), config.threads or physical_cores(), at_once()) == 1:
        return []
    return [other for other in request.trainings(live_trainings(files.dataset))
            if other != files and provenance_of(other).device == device
            and not _is_finished(other, since=request.started if request.repeats else None)]


def _is_finished(files: TrainingFiles, *, since: float | None) -> bool:
    """Whether the training was finished here, in the workspace or in an experiment. since: not before then."""
    identity = identity_of(files)
    if Finished(files, identity).is_noted:
        return True
    record = records.folder() / identity / "timing.json"
    if record.exists() and (since is None or record.stat().st_mtime >= since):
        return True
    return since is None and _is_written(files, identity)


def images_of(files: TrainingFiles) -> int:
    """The pictures that all epochs of a training learn from."""
    train = TrainConfig.read(files.train_config).train
    pictures = len(Split.open(files.prepared, "train"))
    return train.epochs * (pictures if train.overfit is None else min(train.overfit, pictures))


NOTE = ".finished.json"


def is_still_to_be_written(folder: Path) -> bool:
    """Whether a group has finished a training whose states are in this folder, and its outputs are not written yet."""
    return any(folder.glob(f"*{NOTE}"))


class Finished:
    """A note beside a finished state: a group has trained this training, and its own stage has still to write it.

    identity: see `identity_of`.
    """

    def __init__(self, files: TrainingFiles, identity: str):
        self._path = checkpoint_folder(files) / f"{identity}{NOTE}"

    @classmethod
    def of(cls, files: TrainingFiles) -> "Finished":
        return cls(files, identity_of(files))

    @property
    def is_noted(self) -> bool:
        return self._path.exists()

    @property
    def peak_memory_mb(self) -> float:
        """The most memory that its process had in use, in 10⁶ bytes; 0 if nothing is noted."""
        return read_json(self._path)["peak_memory_mb"] if self.is_noted else 0.0

    def note(self, *, peak_memory_mb: float) -> None:
        write_json(self._path, {"peak_memory_mb": peak_memory_mb})

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)
