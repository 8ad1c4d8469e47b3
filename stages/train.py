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
from collections.abc import Generator, Iterator
from pathlib import Path

import torch
from filelock import FileLock, Timeout

import stages
from seglib.configs import TrainConfig
from seglib.files import write_json
from seglib.pipeline import records, tracking
from seglib.pipeline.code import RunningCode
from seglib.pipeline.group import (
    Finished,
    at_once,
    checkpoint_folder,
    counted_title,
    images_of,
    lock_of,
    trained_with,
)
from seglib.pipeline.identity import can_be_extended, identity_of, provenance_of
from seglib.pipeline.locks import HeldElsewhere, exclusive, wait_for_cores
from seglib.pipeline.workspace import TrainingFiles
from seglib.training import checkpoint, history, weights
from seglib.training.device import machine, peak_memory_mb, prepare_process
from seglib.training.job import Job, OnEpoch, Skipped, result_of
from seglib.training.last_good import last_good_kept
from seglib.training.loop import Trainer
from seglib.training.setup import Outcome
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


def train(files: TrainingFiles, code: RunningCode, *, title: str, on_epoch: OnEpoch, in_group: bool = False
          ) -> Generator[None, None, tuple[Outcome, Path]]:
    """Train, and give control back after each step. Returns the outcome, and the path of the finished state.

    If another process trains the same, wait: the state that it leaves is found. in_group: raise HeldElsewhere in place
    of waiting, and leave a note beside the finished state.
    """
    config, device = TrainConfig.read(files.train_config), torch.device(provenance_of(files).device)
    prepare_process(config.train.threads)
    with exclusive(lock_of(files), f"trains {files.title} already", waits=not in_group), (
            contextlib.nullcontext() if Finished.of(files).is_noted else wait_for_cores(device)):
        trainer = Trainer(config, files.prepared, checkpoint_path=checkpoint_folder(files) / checkpoint.NAME)
        code.check()  # the wait may have been long, and only now all modules are loaded: no state of other code is kept
        with last_good_kept(trainer.setup.header, trainer.checkpoint.path), trainer.progress(title) as progress:
            yield from trainer.steps(progress, on_epoch)
            outcome = trainer.finish(progress)
        code.check()
        if in_group:
            Finished.of(files).note(peak_memory_mb=peak_memory_mb(device))
    return outcome, trainer.checkpoint.path


def job_of(files: TrainingFiles) -> Job:
    """The training as one of a group."""
    this = identity_of(files)
    return Job(title=files.title, images=images_of(files), threads=provenance_of(files).threads,
               steps=functools.partial(train_in_group, files, this), on_epoch=tracking.LiveRun(this, files))


def train_in_group(files: TrainingFiles, identity: str, on_epoch: OnEpoch) -> Iterator[None]:
    """Train what has this identity, and give control back after each step.

    Raises Skipped if another process trains it, and ValueError if `files` describe another training by now.
    """
    code = RunningCode(files.train_config)
    if identity_of(files) != identity:
        raise ValueError(f"{files.train_config} was written anew meanwhile; run `dvc repro` again")
    try:
        yield from train(files, code, title=files.title, on_epoch=on_epoch, in_group=True)
    except HeldElsewhere as error:
        raise Skipped(str(error)) from None


if __name__ == "__main__":
    stages.run(main)
