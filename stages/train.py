"""Train: weights, history and snapshots. `python -m stages.train shapes munet-mse_dice-1234`

A training that was killed is resumed from its last checkpoint, and ends in the same bytes. A finished training that is
asked for more epochs is extended, if its schedule does not depend on their number; it ends in the bytes that a training
of that many epochs has.
"""

import contextlib
import dataclasses

import torch
from filelock import FileLock, Timeout

import stages
from seglib.configs import TrainConfig
from seglib.files import read_json, work_dir, write_json
from seglib.pipeline import records, tracking
from seglib.pipeline.code import RunningCode
from seglib.pipeline.identity import can_be_extended, identity_of, provenance_of, state_key
from seglib.pipeline.locks import exclusive, wait_for_cores
from seglib.pipeline.workspace import TrainingFiles, live_trainings
from seglib.training import checkpoint, history, weights
from seglib.training.device import machine, peak_memory_mb, prepare_process
from seglib.training.last_good import last_good_kept
from seglib.training.loop import Trainer


def main(dataset: str, training: str) -> None:
    """Run TRAINING (<model>-<loss>-<seed>) on DATASET as conf/DATASET/TRAINING/train.json says."""
    files = TrainingFiles(dataset, training)
    code = RunningCode(files.train_config)
    config, this, provenance = TrainConfig.read(files.train_config), identity_of(files), provenance_of(files)
    device, folder = torch.device(provenance.device), work_dir() / "checkpoints" / state_key(files)

    live = live_trainings(dataset)
    done = sum(other != files and other.timing.exists() and read_json(other.timing)["identity"] == identity_of(other)
               for other in live)
    title = f"{dataset} {training} ({done + 1} of {len(live)})"
    prepare_process(config.train.threads)
    folder.mkdir(parents=True, exist_ok=True)
    # A second process that trains the same finds the checkpoint of the first.
    with (exclusive(folder.with_suffix(".lock"), f"trains {dataset} {training} already"),
          wait_for_cores(device)):
        trainer = Trainer(config, files.prepared, checkpoint_path=folder / checkpoint.NAME)
        code.check()  # the wait may have been long, and only now all modules are loaded: no state of other code is kept
        with last_good_kept(trainer.setup.header, trainer.checkpoint.path):
            outcome = trainer.run(title=title, on_epoch=tracking.LiveRun(this, files))

    code.check()
    weights.save(files.weights, outcome.state, outcome.header)
    history.write(files.history, outcome.history)
    outcome.snapshots.write(files.snapshots)
    provenance.write(files.provenance)
    write_json(files.timing, {
        "identity": this, **dataclasses.asdict(outcome.speed), "peak_memory_mb": peak_memory_mb(device),
        **machine(device)})
    tracking.try_sync(records.leave_training(files))
    kept = trainer.checkpoint.path
    if can_be_extended(config):
        size = f"{kept.stat().st_size / 1e6:.0f} MB"
        print(f"{title} can be extended by a higher train.epochs: its state is kept, {size} in {folder}")
    else:
        # The last process that needs the state removes it.
        with contextlib.suppress(Timeout), FileLock(folder.with_suffix(".lock"), timeout=0):
            checkpoint.remove(kept)


if __name__ == "__main__":
    stages.run(main)
