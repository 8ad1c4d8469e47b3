"""The training loop: a variant's configuration and a prepared dataset in, weights and a history out.

Deterministic: the same configuration on the same machine gives the same bytes, killed and resumed or not. Shapes:
B batch, K classes, H, W.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from seglib.datasets.store import DatasetInfo
from seglib.losses import TERMS, View, WeightedLoss, inverse_frequency
from seglib.losses import logits as logit_terms
from seglib.metrics.counts import count_BK4
from seglib.training import checkpoint, history, overfit, phases
from seglib.training.augment import Augment
from seglib.training.batches import Batch, batches, epoch_order
from seglib.training.history import Row, RunningMean
from seglib.training.optimization import Optimization
from seglib.training.overfit import Verdict
from seglib.training.phases import Phase
from seglib.training.selection import JUDGES, Selection
from seglib.training.setup import Outcome, Setup
from seglib.training.snapshots import Snapshots


class Training:
    """One training of one variant, by gradients.

    config: a variant's configuration (`conf/<dataset>/<variant>.json`).
    dataset: the prepared dataset's folder; `train/` and `val/` are read, `test/` never.
    checkpoint_path: where the state is kept between epochs; a training found there goes on where it stood.
    """

    def __init__(self, config: dict[str, Any], dataset: Path, *, checkpoint_path: Path | None = None):
        self.settings, self.seed, self.checkpoint_path = config["train"], config["seed"], checkpoint_path
        state = checkpoint.load(checkpoint_path) if checkpoint_path is not None else None
        if state is not None and state["epoch"] > self.settings["epochs"]:
            state = None  # of a longer training, whose beginning is not kept
        self.setup = Setup(config, dataset, pretrained=state is None)
        self.network, self.encoding, self.device = self.setup.network, self.setup.encoding, self.setup.device
        self.loss = _loss(config["loss"], self.settings["output"], self.setup.info)

        self.train_split, self.val_split = self.setup.train_split, self.setup.val_split
        self.snapshots = Snapshots(self.settings.get("snapshots", ()), self.val_split, self.setup.info.task)
        if "overfit" in self.settings:
            self.train_split = self.val_split = overfit.first_pictures(self.train_split, self.settings["overfit"])
        self.augment = Augment(self.settings["augment"], self.seed) if "augment" in self.settings else None

        self.steps_an_epoch = -(-len(self.train_split) // self.settings["batch_size"])
        self.window_ends = history.window_ends(self.steps_an_epoch, self.settings["log_every"])
        self.selection = Selection(self.settings.get("best_by"), keeps_best=self.settings["keep"] == "best")
        self.phases = phases.phases_of(self.settings)
        self.epoch, self.seconds, self._was_finished = 0, 0.0, False
        self.history: list[Row] = []
        self._enter(self.phases[0])
        if state is not None:
            self._restore(state)

    @property
    def finished(self) -> bool:
        return self.epoch == self.settings["epochs"] or self.stopped_early

    @property
    def stopped_early(self) -> bool:
        """Whether the last phase has gone `patience` epochs without a better val score."""
        better_at = max(self.selection.better_at, self.phase.first - 1)
        return self.phase is self.phases[-1] and self.epoch - better_at >= self.settings.get("patience", math.inf)

    def run(self, *, title: str, on_epoch: Callable[[list[Row]], None] = lambda rows: None) -> Outcome:
        """Train to the last epoch. `on_epoch` gets each epoch's rows of the history, once, as they come.

        Raises ValueError when the loss stops being a number.
        """
        epochs = self.settings["epochs"]
        with tqdm(total=epochs * self.steps_an_epoch, initial=self.epoch * self.steps_an_epoch, desc=title,
                  unit="it", disable=None, dynamic_ncols=True) as bar:
            def say(text: str) -> None:
                bar.write(f"{title} {text}")

            if self.epoch:
                say(self._how_it_goes_on())
            while not self.finished:
                started, rows_before = time.perf_counter(), len(self.history)
                self.epoch += 1
                if self.epoch > self.phase.last:
                    self._enter(self._phase_of(self.epoch))
                if len(self.phases) > 1 and self.epoch == self.phase.first:
                    say(str(self.phase))
                self._train_epoch(bar)
                self._validate()
                self.optimization.end_epoch(self.selection.value_of(self.history[-1]))
                self.seconds += time.perf_counter() - started
                if self.checkpoint_path is not None:
                    checkpoint.save(self.checkpoint_path, self._state())
                on_epoch(self.history[rows_before:])
                say(f"epoch {self.epoch}/{epochs}: {self._summary()}")
            outcome = self._outcome()
            for line in self._conclusions(outcome):
                say(line)
        return outcome

    def _phase_of(self, epoch: int) -> Phase:
        return next(phase for phase in self.phases if phase.first <= epoch <= phase.last)

    def _enter(self, phase: Phase) -> None:
        """A phase begins with an optimiser and a schedule of its own."""
        self.phase = phase
        phases.start(phase, self.network)
        learning = (parameter for parameter in self.network.parameters() if parameter.requires_grad)
        self.optimization = Optimization(learning, self.settings, lr=phase.lr, epochs=phase.epochs,
                                         steps_an_epoch=self.steps_an_epoch)

    def _train_epoch(self, bar: tqdm) -> None:
        phases.training_mode(self.phase, self.network)
        terms = len(self.loss.weights)
        window_mean, epoch_mean = RunningMean(terms, self.device), RunningMean(terms, self.device)
        counts_K4 = self._no_counts()
        order = epoch_order(len(self.train_split), seed=self.seed, epoch=self.epoch)
        for step, batch in enumerate(batches(self.train_split, self.settings["batch_size"], self.device, order), 1):
            iteration = (self.epoch - 1) * self.steps_an_epoch + step
            if self.augment is not None:
                batch = Batch(*self.augment.apply(batch.images_BHWC, batch.masks_BHW, task=self.encoding.task,
                                                  epoch=self.epoch, iteration=iteration))
            view = self._view(batch)
            values = self.loss(view)
            grad_norms = self._gradient_norms(values) if step in self.window_ends else None
            lr = self.optimization.lr
            self.optimization.step(self.loss.total(values))

            window_mean.add(values)
            epoch_mean.add(values)
            counts_K4 += self._counts_K4(view)
            bar.update()
            if step in self.window_ends:
                self._log("train", "window", window_mean, iteration, lr, grad_norms=grad_norms)
                bar.set_postfix(loss=f"{self.history[-1]['loss']:.4g}")
        self._log("train", "epoch", epoch_mean, iteration, lr, counts_K4=counts_K4)

    @torch.no_grad()
    def _validate(self) -> None:
        self.network.eval()
        mean, counts_K4 = RunningMean(len(self.loss.weights), self.device), self._no_counts()
        for batch in self.setup.batches(self.val_split):
            view = self._view(batch)
            mean.add(self.loss(view), pictures=len(batch.images_BHWC))
            counts_K4 += self._counts_K4(view)
        self._log("val", "epoch", mean, self.epoch * self.steps_an_epoch, self.history[-1]["lr"], counts_K4=counts_K4)
        self.selection.see(self.history[-1], self.network)
        self.snapshots.take(
            self.epoch, lambda images: self.encoding.present(self.setup.logits(images.to(self.device))))

    def _view(self, batch: Batch) -> View:
        """What the loss sees of a batch; everything but the network in float32."""
        planes, valid = self.encoding.planes(batch.masks_BHW)
        logits = self.setup.logits(batch.images_BHWC).float().contiguous()  # in the layout of the planes
        return View(logits_BKHW=logits, output_BKHW=self.encoding.seen_by_losses(logits),
                    target_BKHW=self.encoding.targets_of(planes), planes_BKHW=planes, valid_B1HW=valid,
                    exclusive=self.encoding.exclusive)

    def _counts_K4(self, view: View) -> Tensor:
        present = self.encoding.present(view.logits_BKHW.detach())
        return count_BK4(present, view.planes_BKHW, view.valid_B1HW).sum(0)

    def _no_counts(self) -> Tensor:
        return torch.zeros(self.encoding.classes, 4, dtype=torch.int64, device=self.device)

    def _gradient_norms(self, values: dict[str, Tensor]) -> list[float] | None:
        """The norm of each unweighted term's gradient in the output layer's weights; None without such a layer."""
        if self.network.output_layer is None:
            return None
        weight = self.network.output_layer.weight
        return [torch.autograd.grad(value, weight, retain_graph=True)[0].norm().item() for value in values.values()]

    def _log(self, split: str, span: str, mean: RunningMean, iteration: int, lr: float, **extra: Any) -> None:
        self.history.append(history.row(self.loss.weights, mean.take(), iteration=iteration, epoch=self.epoch,
                                        split=split, span=span, lr=lr, **extra))

    def _state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimization": self.optimization.state_dict(),
                "selection": self.selection.state_dict(), "snapshots": self.snapshots.state_dict(),
                "epoch": self.epoch, "history": self.history, "seconds": self.seconds, "finished": self.finished}

    def _restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.history, self.seconds = state["epoch"], state["history"], state["seconds"]
        self._was_finished = state["finished"]
        self._enter(self._phase_of(self.epoch))
        self.network.load_state_dict(state["network"])
        self.optimization.load_state_dict(state["optimization"])
        self.selection.load_state_dict(state["selection"])
        self.snapshots.load_state_dict(state["snapshots"])

    def _outcome(self) -> Outcome:
        kept = next(row for row in self.history if (row["split"], row["epoch"]) == ("val", self.selection.epoch))
        verdict = Verdict(len(self.train_split), kept["iou_score"]) if "overfit" in self.settings else None
        return Outcome(state=self.selection.weights(self.network), header=self.setup.header, history=self.history,
                       snapshots=self.snapshots, overfit=verdict,
                       images_per_second=self.epoch * len(self.train_split) / self.seconds)

    def _how_it_goes_on(self) -> str:
        if self.finished:
            return f"is trained already: nothing follows its epoch {self.epoch}"
        if self._was_finished:
            return f"extends a training that was finished with epoch {self.epoch}"
        return f"goes on after epoch {self.epoch}, the last that an earlier run ended"

    def _summary(self) -> str:
        train, val = self.history[-2:]
        by = self.selection.by
        judge = f", {JUDGES[by]} {val[f'{by}_score']:.3f}" if by in ("dice", "pixel_accuracy") else ""
        best = ", the best so far" if self.selection.keeps_best and self.selection.epoch == self.epoch else ""
        return (f"lr {train['lr']:.3g}, loss {train['loss']:.4g}, val loss {val['loss']:.4g}, "
                f"val IoU {val['iou_score']:.3f}{judge}{best}")

    def _conclusions(self, outcome: Outcome) -> list[str]:
        """What is to be said at the end."""
        said = []
        if self.stopped_early:
            said.append(f"stops early: no better {JUDGES[self.selection.by]} for {self.settings['patience']} epochs")
        if self.selection.keeps_best and self.selection.epoch < self.epoch:
            said.append(f"keeps the weights of epoch {self.selection.epoch}, the best by {JUDGES[self.selection.by]}")
        return said + ([str(outcome.overfit)] if outcome.overfit else [])


def _loss(config: dict[str, Any], output: str, info: DatasetInfo) -> WeightedLoss:
    """The `loss` section of a variant's configuration; weights by inverse frequency are the dataset's to say.

    Raises ValueError where a term takes logits and train.output says that there are none.
    """
    options = {key: value for key, value in config.items() if key not in ("terms", "class_weights")}
    match config.get("class_weights", "none"):
        case "none":
            pass
        case "inverse_frequency":
            options["class_weights"] = inverse_frequency(info.class_pixels, info.valid_pixels)
        case numbers:
            options["class_weights"] = numbers
    loss = WeightedLoss(config["terms"], **options)
    on_logits = [term for term in loss.weights if TERMS[term].__module__ == logit_terms.__name__]
    if on_logits and output == "raw":
        raise ValueError(f"train.output is raw, but these terms make probabilities of logits: {', '.join(on_logits)}; "
                         "choose train.output=sigmoid with train.targets=unit, or other terms")
    return loss
