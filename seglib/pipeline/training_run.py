"""One training of the pipeline, from its file in conf/ to its finished state: alone, or as one of a group."""

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path

import torch

from seglib.configs import TrainConfig
from seglib.pipeline.code import RunningCode
from seglib.pipeline.group import Finished, checkpoint_folder, lock_of
from seglib.pipeline.identity import identity_of, provenance_of
from seglib.pipeline.locks import HeldElsewhere, exclusive, wait_for_cores
from seglib.pipeline.workspace import TrainingFiles
from seglib.training import checkpoint
from seglib.training.device import peak_memory_mb, prepare_process
from seglib.training.job import OnEpoch, Skipped
from seglib.training.last_good import last_good_kept
from seglib.training.loop import Trainer
from seglib.training.setup import Outcome


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
