"""The training loop: from a configuration and a prepared dataset to weights and a history.

It is deterministic: the same configuration on the same machine gives the same bytes, killed and resumed or not. All
that is random in a step (a dropout, an augmentation, the order of the pictures) is a function of the seed and the
step's number, so no generator's state is kept. Within an epoch nothing waits for a GPU, except the boundary loss:
values are read at the epoch's end.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from seglib import models
from seglib.configs import LossConfig, TrainConfig
from seglib.datasets.store import DatasetInfo
from seglib.loss_floor import LossFloor
from seglib.losses import TERMS, absent_costs
from seglib.losses.logits import inverse_frequency
from seglib.losses.weighted import WeightedLoss, weighted_terms
from seglib.metrics.overlap import recorded
from seglib.registry import lookup
from seglib.training import checkpoint, history, overfit, phases, single
from seglib.training.augment import Augment
from seglib.training.checkpoint import Checkpoint
from seglib.training.device import Conditions, memory_of, on_stream, own_stream
from seglib.training.history import History, Row
from seglib.training.inputs import Inputs
from seglib.training.optimization import Optimization
from seglib.training.overfit import Verdict
from seglib.training.phases import Phase
from seglib.training.progress import Progress
from seglib.training.selection import LOSS, Selection
from seglib.training.setup import Outcome, Setup
from seglib.training.snapshots import Snapshots
from seglib.training.step import Steps
from seglib.training.throughput import Throughput

_OVER = object()


class Trainer:
    """One training by gradients.

    dataset: the prepared dataset's folder; `train/` and `val/` are read, `test/` never.
    checkpoint_path: where the state is kept, at each epoch's end, and within an epoch after `checkpoint_every` seconds.
    A training whose state is found there is resumed. `checkpoint.path` is the path in use: see `checkpoint.find`.
    capture: whether a GPU replays the steps as CUDA graphs. It changes no byte of the result.
    """

    def __init__(self, config: TrainConfig, dataset: Path, *, checkpoint_path: Path | None = None,
                 checkpoint_every: float = checkpoint.EVERY, capture: bool = True):
        self.settings, self.seed, self._capture = config.train, config.seed, capture
        self.conditions = Conditions.of(config.train)
        self._stream = own_stream(self.conditions.torch_device)
        with on_stream(self._stream):
            self._prepare(config, dataset, checkpoint_path, checkpoint_every)

    def _prepare(self, config: TrainConfig, dataset: Path, checkpoint_path: Path | None, checkpoint_every: float
                 ) -> None:
        found = checkpoint.find(checkpoint_path, epochs=self.settings.epochs, conditions=self.conditions)
        self._differs = found.differs
        self.checkpoint = Checkpoint(found.path, checkpoint_every)
        self.setup = Setup(config, dataset, pretrained=found.state is None)
        self.network, self.encoding, self.device = self.setup.network, self.setup.encoding, self.setup.device
        self.loss = loss_of(config, self.network, self.setup.info)

        train, val = self.setup.train_split, self.setup.val_split
        self.snapshots = Snapshots(self.settings.snapshots, val, self.setup.info.task)
        if self.settings.overfit is not None:
            train = val = overfit.first_pictures(train, self.settings.overfit)
            self._floor = LossFloor.of(overfit.classes_there(train, self.setup.info), config.loss.terms,
                                       absent_costs(config.loss), exclusive=self.encoding.exclusive)
        self.train = self.setup.feed(train, learns=True, ignores=self.setup.train_ignores)
        self.val = self.setup.feed(val, learns=False)
        single.check(self.setup, self.train.sizes)
        self._train_inputs, self._val_inputs = Inputs(self.train), Inputs(self.val)
        self.augment = None if self.settings.augment is None else Augment(
            self.settings.augment, self.seed, task=self.encoding.task, steps=self.train.steps,
            batch_size=max(self.train.sizes), device=self.device)

        self.history = History(self.loss.weights, has_norms=self.network.output_layer is not None,
                               scores=recorded(self.settings.best_by), classes=self.encoding.classes,
                               steps=self.train.steps, val_steps=self.val.steps, log_every=self.settings.log_every,
                               device=self.device)
        self.selection = Selection(self.settings.best_by, keeps_best=self.settings.keep == "best")
        self.throughput, self._was_finished = Throughput(), False
        self.phases = phases.phases_of(self.settings)
        self._enter(self.phases[0])
        if found.state is not None:
            self._restore(found.state)

    @property
    def epoch(self) -> int:
        """The number of epochs that are over, or the number of the epoch under way."""
        return self.history.epoch

    @property
    def finished(self) -> bool:
        return not self.history.step and (self.epoch == self.settings.epochs or self.stopped_early)

    @property
    def stopped_early(self) -> bool:
        """Whether the last phase has gone `patience` epochs without a better val score."""
        if self.settings.patience is None or self.phase is not self.phases[-1]:
            return False
        better_at = max(self.selection.better_at, self.phase.first - 1)
        return self.epoch - better_at >= self.settings.patience

    def progress(self, title: str) -> Progress:
        """The training's place in the terminal."""
        return Progress(title, images=self.settings.epochs * len(self.train),
                        done=self.history.pictures(self.train.sizes), device=self.device)

    def run(self, *, title: str, on_epoch: Callable[[list[Row]], None] = lambda rows: None) -> Outcome:
        """Train to the last epoch, as `steps` does."""
        with self.progress(title) as progress:
            for _ in self.steps(progress, on_epoch):
                pass
            return self.finish(progress)

    def steps(self, progress: Progress, on_epoch: Callable[[list[Row]], None] = lambda rows: None) -> Iterator[None]:
        """Train to the last epoch, and yield after each step. A GPU may still have to compute that step.

        Between two steps other trainings may go on: on a GPU each has a stream of its own. `on_epoch` is called with
        the history's rows of each epoch when it ends.

        Raises Diverged if the loss is not a number any more, OutOfMemory, and OSError if no checkpoint can be written.
        """
        work = self._work(progress, on_epoch)
        while True:
            with on_stream(self._stream), memory_of(self.device, self.settings.batch_size):
                if next(work, _OVER) is _OVER:
                    return
            yield

    def finish(self, progress: Progress) -> Outcome:
        """What the training left, after its last step."""
        with on_stream(self._stream):
            outcome = self._outcome()
        if self._stream is not None:
            self._stream.synchronize()  # others read the weights on other streams
        for line in self._conclusions(outcome):
            progress.say(line)
        return outcome

    def _work(self, progress: Progress, on_epoch: Callable[[list[Row]], None]) -> Iterator[None]:
        if self._differs:
            progress.say("starts anew: its checkpoint was made under other conditions "
                         f"({self._differs}), and is kept")
        if self.epoch:
            progress.say(self._how_it_goes_on())
        eager_because = ""
        while not self.finished:
            if not self.history.step:
                self.history.start_epoch()
                if self.epoch > self.phase.last:
                    self._enter(self._phase_of(self.epoch))
                if len(self.phases) > 1 and self.epoch == self.phase.first:
                    progress.say(str(self.phase))
            yield from self._train_epoch(progress)
            yield from self._validate()
            self.optimization.end_epoch(self.selection.value_of(self.history.rows[-1]))
            self.checkpoint.save(self._state())
            on_epoch(self.history.of_epoch())
            progress.say(f"epoch {self.epoch}/{self.settings.epochs}: {self._summary()}")
            if self.device.type == "cuda" and eager_because != (eager_because := self._steps.eager_because):
                progress.say(f"runs its steps without a CUDA graph: {eager_because}")

    def _phase_of(self, epoch: int) -> Phase:
        return next(phase for phase in self.phases if phase.first <= epoch <= phase.last)

    def _enter(self, phase: Phase) -> None:
        """Begin a phase, with an optimizer, a schedule and steps of its own."""
        self.phase = phase
        phases.start(phase, self.network)
        learning = (parameter for parameter in self.network.parameters() if parameter.requires_grad)
        self.optimization = Optimization(learning, self.settings, lr=phase.lr, epochs=phase.epochs,
                                         steps_an_epoch=self.train.steps, precision=self.setup.precision)
        self._steps = Steps(self.setup, self.loss, self.optimization, self.history, train=self._train_inputs,
                            val=self._val_inputs, augment=self.augment,
                            first=(phase.first - 1) * self.train.steps + 1, capture=self._capture)

    def _train_epoch(self, progress: Progress) -> Iterator[None]:
        """Train the rest of the epoch."""
        phases.training_mode(self.phase, self.network)
        first = self.history.step
        self.history.start_steps(self.optimization.start_epoch(self.epoch - self.phase.first))
        if self.augment is not None:
            self.augment.start_epoch(self.epoch)
        self.throughput.start()
        self._train_inputs.start(self.train.order(seed=self.seed, epoch=self.epoch), first=first)
        for step in range(first + 1, self.train.steps + 1):
            pictures = self._steps.train((self.epoch - 1) * self.train.steps + step,
                                         ends_window=step in self.history.window_ends)
            if self.history.learnt():
                progress.show(self.history.window_loss)
            progress.update(pictures)
            if self.checkpoint.is_due:
                self.history.check()  # a GPU was not asked yet
                if self.optimization.is_finite:  # no loss was computed yet with the weights that this step made
                    self.checkpoint.save(self._state())
            yield
        self.throughput.stop(sum(self.train.sizes[first:]), waited=self._train_inputs.waited)

    def _validate(self) -> Iterator[None]:
        self.network.eval()
        self.history.start_validation()
        self._val_inputs.start(np.arange(len(self.val)))
        for _ in range(self.val.steps):
            self.history.validated(self._steps.validate(self.epoch * self.train.steps))
            yield
        self.selection.see(self.history.end_validation(), self.network.state_dict)
        with torch.no_grad():
            self.snapshots.take(
                self.epoch, lambda images: self.encoding.present(self.setup.logits(images.to(self.device))))

    def _state(self) -> dict[str, Any]:
        return {"conditions": dataclasses.asdict(self.conditions), "history": self.history.state_dict(),
                "selection": self.selection.state_dict(), "snapshots": self.snapshots.state_dict(),
                "throughput": self.throughput.state_dict(),
                "finished": self.finished, "network": self.network.state_dict(),
                "optimization": self.optimization.state_dict()}

    def _restore(self, state: dict[str, Any]) -> None:
        self.history.load_state_dict(state["history"])
        self._was_finished = state["finished"]
        self._enter(self._phase_of(self.epoch))
        self.network.load_state_dict(state["network"])
        self.optimization.load_state_dict(state["optimization"])
        self.selection.load_state_dict(state["selection"])
        self.snapshots.load_state_dict(state["snapshots"])
        self.throughput.load_state_dict(state["throughput"])

    def _outcome(self) -> Outcome:
        rows = history.marked(self.history.rows, self.selection.epoch)
        kept = next(row for row in rows if row["kept"])
        verdict = None if self.settings.overfit is None else Verdict(
            pictures=len(self.train), iou=kept["iou_score"], loss=kept["loss"], floor=self._floor)
        return Outcome(state=self.selection.weights(self.network.state_dict()), header=self.setup.header, history=rows,
                       snapshots=self.snapshots, overfit=verdict, speed=self.throughput.speed)

    def _how_it_goes_on(self) -> str:
        if self.finished:
            return f"already trained for {self.epoch} epochs"
        if self._was_finished:
            return f"extends a training that was finished with epoch {self.epoch}"
        return self.history.how_it_goes_on()

    def _summary(self) -> str:
        selection, judge = self.selection, ""
        if selection.by not in (None, LOSS, "iou"):  # which the history's summary holds
            judge = f", {selection.title} {self.history.rows[-1][history.score_column(selection.by)]:.3f}"
        best = ", the best so far" if selection.keeps_best and selection.epoch == self.epoch else ""
        return f"{self.history.summary()}{judge}{best}; {self.throughput.speed}"

    def _conclusions(self, outcome: Outcome) -> list[str]:
        """The lines that are printed at the end."""
        said = []
        if self.stopped_early:
            said.append(f"stops early: no better {self.selection.title} for {self.settings.patience} epochs")
        if self.selection.keeps_best and self.selection.epoch < self.epoch:
            said.append(f"keeps the weights of epoch {self.selection.epoch}, the best by {self.selection.title}")
        return said + ([str(outcome.overfit)] if outcome.overfit else [])


def loss_of(config: TrainConfig, network: nn.Module, info: DatasetInfo) -> WeightedLoss:
    """The loss that a training's configuration names: the network's own if the model owns its loss.

    Raises ValueError if terms of seglib are combined with such a model, and if a term takes logits while `train.output`
    is raw.
    """
    kind, terms = lookup(models.KINDS, config.model.kind, "model kind"), config.loss.terms
    if kind.owns_loss:
        if set(terms) != set(kind.loss_terms):
            raise ValueError(f"a {config.model.kind} computes its loss itself, of {', '.join(kind.loss_terms)}; the "
                             f"configuration names {', '.join(terms)}")
        return WeightedLoss(terms, network.loss_terms)
    on_logits = [term for term in terms if lookup(TERMS, term, "loss term").takes == "logits"]
    if on_logits and config.train.output == "raw":
        raise ValueError(f"train.output is raw, but these terms make probabilities of logits: {', '.join(on_logits)}; "
                         "choose train.output=sigmoid with train.targets=unit, or other terms")
    return weighted_terms(terms, **_term_options(config.loss, info))


def _term_options(loss: LossConfig, info: DatasetInfo) -> dict[str, Any]:
    """The options of a loss's terms. The dataset knows the class weights by inverse frequency; "none" is None."""
    options = dict(loss.options)
    if "class_weights" not in options:
        return options
    if options["class_weights"] == "none":
        options["class_weights"] = None
    elif options["class_weights"] == "inverse_frequency":
        options["class_weights"] = inverse_frequency(info.class_pixels, info.valid_pixels)
    return options
