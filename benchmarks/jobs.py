"""Sets of trainings, run as `stages.train` runs those of a group: see `seglib.training.together`."""

import contextlib
import functools
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from seglib.configs import TrainConfig
from seglib.cores import physical_cores
from seglib.datasets.store import Split
from seglib.training.device import choose_device
from seglib.training.job import Job, OnEpoch
from seglib.training.loop import Trainer
from seglib.training.together import train_together


def train_all(configs: Sequence[TrainConfig], dataset: Path, *, checkpoints: Path | None = None) -> None:
    """Train all configurations, as many at once as the machine allows. Nothing is shown.

    checkpoints: a folder for their states; None: none are kept. Raises the error of a training that failed.
    """
    pictures = len(Split.open(dataset, "train"))
    jobs = [Job(title=f"training {n}", images=config.train.epochs * pictures,
                threads=config.train.threads or physical_cores(), on_epoch=lambda rows: None,
                steps=functools.partial(steps, config, dataset, checkpoints and checkpoints / f"{n}.pt"))
            for n, config in enumerate(configs)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        failed = train_together("benchmark", jobs, choose_device(configs[0].train.device), at_once=None)
    for error in failed.values():
        raise error


def steps(config: TrainConfig, dataset: Path, path: Path | None, on_epoch: OnEpoch) -> Iterator[None]:
    """One training, a step at a time."""
    training = Trainer(config, dataset, checkpoint_path=path)
    with training.progress("") as progress:
        yield from training.steps(progress, on_epoch)
        training.finish(progress)
