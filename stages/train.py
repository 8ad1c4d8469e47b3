"""Train: weights, history and snapshots. `python -m stages.train shapes munet-mse_dice-1234`

A training that was killed is resumed from its last checkpoint, and ends in the same bytes. A finished training that is
asked for more epochs is extended, if its schedule does not depend on their number; it ends in the bytes that a training
of that many epochs has.

The first of several trainings that DVC was asked for trains the others of its dataset as well, as many at once as
`train.together` says. Their own stages find them finished and write their outputs.
"""

import contextlib
import dataclasses
import functools

import torch
from filelock import FileLock, Timeout

import stages
from seglib.configs import TrainConfig
from seglib.files import write_json
from seglib.pipeline import records, tracking
from seglib.pipeline.code import RunningCode
from seglib.pipeline.group import Finished, at_once, counted_title, images_of, lock_of, trained_with
from seglib.pipeline.identity import can_be_extended, identity_of, provenance_of
from seglib.pipeline.training_run import train, train_in_group
from seglib.pipeline.workspace import TrainingFiles
from seglib.training import checkpoint, history, weights
from seglib.training.device import machine, peak_memory_mb
from seglib.training.job import Job, result_of
from seglib.training.together import train_together


def main(dataset: str, training: str) -> None:
    """Run TRAINING (<model>-<loss>-<seed>) on DATASET as conf/DATASET/TRAINING/train.json says."""
    files = TrainingFiles(dataset, training)
    code = RunningCode(files.train_config)
    config, this, provenance = TrainConfig.read(files.train_config), identity_of(files), provenance_of(files)
    device, finished = torch.device(provenance.device), Finished(files, this)
    title = counted_title(files)
    if others := trained_with(files):
        failed = train_together(dataset, [job_of(one) for one in (files, *others)], device, at_once())
        if error := failed.get(files.title):
            raise error
    outcome, kept = result_of(train(files, code, title=title, on_epoch=tracking.LiveRun(this, files)))
    weights.save(files.weights, outcome.state, outcome.header)
    history.write(files.history, outcome.history)
    outcome.snapshots.write(files.snapshots)
    provenance.write(files.provenance)
    write_json(files.timing, {
        "identity": this, **dataclasses.asdict(outcome.speed), **machine(device),
        "peak_memory_mb": max(peak_memory_mb(device), finished.peak_memory_mb)})
    tracking.try_sync(records.leave_training(files))
    finished.forget()
    if can_be_extended(config):
        size = f"{kept.stat().st_size / 1e6:.0f} MB"
        print(f"{title} can be extended by a higher train.epochs: its state is kept, {size} in {kept.parent}")
    else:
        # The last process that needs the state removes it.
        with contextlib.suppress(Timeout), FileLock(lock_of(files), timeout=0):
            checkpoint.remove(kept)


def job_of(files: TrainingFiles) -> Job:
    """The training as one of a group."""
    this = identity_of(files)
    return Job(title=files.title, images=images_of(files), threads=provenance_of(files).threads,
               steps=functools.partial(train_in_group, files, this), on_epoch=tracking.LiveRun(this, files))


if __name__ == "__main__":
    stages.run(main)
