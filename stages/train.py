"""Train: weights, history and snapshots. `python -m stages.train shapes munet-mse_dice-1234`

A training that was killed is resumed from its last checkpoint, and ends in the same bytes. A finished training that is
asked for more epochs is extended, if its schedule does not depend on their number; it ends in the bytes that a training
of that many epochs has.
"""

import contextlib
import dataclasses
import shutil
from pathlib import Path

import torch
from filelock import FileLock, Timeout

import stages
from seglib.configs import TrainConfig
from seglib.files import canonical_json, read_json, work_dir, write_json
from seglib.pipeline import records, tracking
from seglib.pipeline.identity import identity, identity_of
from seglib.pipeline.locks import exclusive, wait_for_cores
from seglib.pipeline.workspace import TrainingFiles, live_trainings
from seglib.training import history, weights
from seglib.training.device import choose_device, machine, peak_memory_mb, prepare_process
from seglib.training.loop import Trainer
from seglib.training.optimization import OPEN_ENDED


def main(dataset: str, training: str) -> None:
    """Run TRAINING (<model>-<loss>-<seed>) on DATASET as conf/DATASET/TRAINING/train.json says."""
    files = TrainingFiles(dataset, training)
    config = TrainConfig.read(files.train_config)
    device = choose_device(config.train.device)
    this = identity_of(files, device)
    kept = checkpoint_of(files, config, device)

    live = live_trainings(dataset)
    done = sum(other.timing.exists() and read_json(other.timing)["identity"] == identity_of(other, device)
               for other in live)
    title = f"{dataset} {training} ({done + 1} of {len(live)})"
    prepare_process(config.train.threads)
    kept.parent.mkdir(parents=True, exist_ok=True)
    # A second training of an identity finds the checkpoint of the first.
    with exclusive(kept.parent.with_suffix(".lock"), f"trains {dataset} {training} already"), wait_for_cores(device):
        trainer = Trainer(config, files.prepared, checkpoint_path=kept)
        kept = trainer.checkpoint.path  # another one if a longer training keeps its state there
        with weights.last_good_kept(trainer.setup.header, kept):
            outcome = trainer.run(title=title, on_epoch=tracking.LiveRun(this, files))

    weights.save(files.weights, outcome.state, outcome.header)
    history.write(files.history, outcome.history)
    outcome.snapshots.write(files.snapshots)
    write_json(files.timing, {
        "identity": this, **dataclasses.asdict(outcome.speed), "peak_memory_mb": peak_memory_mb(device),
        **machine(device)})
    tracking.try_sync(records.leave_training(files))
    if can_be_extended(config):
        size = f"{kept.stat().st_size / 1e6:.0f} MB"
        print(f"{title} can be extended by a higher train.epochs: its state is kept, {size} in {kept.parent}")
    else:
        # The last process that needs the state removes it.
        with contextlib.suppress(Timeout), FileLock(kept.parent.with_suffix(".lock"), timeout=0):
            shutil.rmtree(kept.parent, ignore_errors=True)


def can_be_extended(config: TrainConfig) -> bool:
    """Whether a training with more epochs begins with the steps of this one."""
    return config.train.schedule in OPEN_ENDED


def checkpoint_of(files: TrainingFiles, config: TrainConfig, device: torch.device) -> Path:
    """The checkpoint's path, by the training's identity; trainings that extend each other have one path."""
    key = identity_of(files, device)
    if can_be_extended(config):
        content = config.content()
        del content["train"]["epochs"]
        key = identity(canonical_json(content).encode(), (files.prepared / "dataset.json").read_bytes(), device.type)
    return work_dir() / "checkpoints" / key / "last.pt"


if __name__ == "__main__":
    stages.run(main)
