"""The training loop: a variant's configuration and a prepared dataset in, weights and a history out.

Deterministic: the same configuration on the same machine gives the same bytes, killed and resumed or not. Shapes:
B batch, C channels, K classes, H, W.
"""

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from seglib import models
from seglib.datasets.store import DatasetInfo, Split
from seglib.losses import WeightedLoss
from seglib.metrics.counts import count_BK4
from seglib.training import checkpoint, history
from seglib.training.batches import Batch, batches, epoch_order
from seglib.training.device import autocast, choose_device, choose_precision, prepare_process
from seglib.training.encoding import Encoding
from seglib.training.weights import Header

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A finished training. `state` are the weights to keep; `images_per_second` covers this process's epochs."""

    state: dict[str, Tensor]
    header: Header
    history: list[Row]
    images_per_second: float


class Training:
    """One training of one variant.

    config: a variant's configuration (`conf/<dataset>/<variant>.json`).
    dataset: the prepared dataset's folder; `train/` and `val/` are read, `test/` never.
    checkpoint_path: where the state is kept between epochs; a training found there goes on where it stood.
    """

    def __init__(self, config: dict[str, Any], dataset: Path, *, checkpoint_path: Path | None = None):
        train = config["train"]
        prepare_process(train["threads"])
        self.info = DatasetInfo.read(dataset)
        self.config, self.settings, self.seed = config, train, config["seed"]
        self.train_split, self.val_split = Split.open(dataset, "train"), Split.open(dataset, "val")
        self.device = choose_device(train["device"])
        self.precision = choose_precision(train["precision"], self.device)
        self.encoding = Encoding.of(train, self.info.label_values)
        self.loss = WeightedLoss(**config["loss"])

        # Initial weights are drawn on the CPU, so that a seed means the same network on every device.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = models.build(config["model"], classes=len(self.info.classes))
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.steps_an_epoch = -(-len(self.train_split) // train["batch_size"])
        self.optimizer, self.schedule = _optimization(self.network, train, train["epochs"] * self.steps_an_epoch)

        self.epoch = 0
        self.history: list[Row] = []
        self.window = history.RunningMean(len(self.loss.weights), self.device)
        self.best_score, self.best_state = -1.0, None
        self.checkpoint_path = checkpoint_path
        if checkpoint_path is not None and (state := checkpoint.load(checkpoint_path, self.device)) is not None:
            self._restore(state)

    @property
    def header(self) -> Header:
        return Header(model=self.config["model"], classes=self.info.classes, label_values=self.info.label_values,
                      image_size=self.info.image_size, pixels=self.encoding.pixels, targets=self.encoding.targets,
                      output=self.encoding.output, device=self.device.type, precision=self.precision,
                      threads=self.settings["threads"])

    def run(self, *, title: str, on_epoch: Callable[[list[Row]], None] = lambda rows: None) -> Outcome:
        """Train to the last epoch. `on_epoch` gets each epoch's rows of the history, once, as they come.

        Raises ValueError when the loss stops being a number.
        """
        epochs, started_at, started = self.settings["epochs"], self.epoch, time.perf_counter()
        with tqdm(total=epochs * self.steps_an_epoch, initial=self.epoch * self.steps_an_epoch, desc=title,
                  unit="it", disable=None, dynamic_ncols=True) as bar:
            while self.epoch < epochs:
                rows_before = len(self.history)
                self.epoch += 1
                self._train_epoch(bar)
                self._validate()
                if self.checkpoint_path is not None:
                    checkpoint.save(self.checkpoint_path, self._state())
                rows = self.history[rows_before:]
                on_epoch(rows)
                bar.write(f"{title} epoch {self.epoch}/{epochs}: " + _summary(rows))
        seconds = time.perf_counter() - started
        images = (self.epoch - started_at) * len(self.train_split)
        state = self.best_state if self.settings["keep"] == "best" else self.network.state_dict()
        return Outcome(state, self.header, self.history, images / seconds if images else 0.0)

    def _train_epoch(self, bar: tqdm) -> None:
        self.network.train()
        epoch_mean = history.RunningMean(len(self.loss.weights), self.device)
        counts_K4 = torch.zeros(len(self.info.classes), 4, dtype=torch.int64, device=self.device)
        order = epoch_order(len(self.train_split), seed=self.seed, epoch=self.epoch)
        first = (self.epoch - 1) * self.steps_an_epoch + 1
        last = self.settings["epochs"] * self.steps_an_epoch
        for iteration, batch in enumerate(
                batches(self.train_split, self.settings["batch_size"], self.device, order), start=first):
            logits, planes, valid, values = self._forward(batch)
            closes_window = iteration % self.settings["log_every"] == 0 or iteration == last
            grad_norms = self._gradient_norms(values) if closes_window else None

            self.optimizer.zero_grad(set_to_none=True)
            self.loss.total(values).backward()
            lr = self.optimizer.param_groups[0]["lr"]
            self.optimizer.step()
            self.schedule.step()

            self.window.add(values)
            epoch_mean.add(values)
            counts_K4 += count_BK4(self.encoding.present(logits.detach()), planes, valid).sum(0)
            bar.update()
            if closes_window:
                self._log("train", "window", self.window.take(), iteration, lr, grad_norms=grad_norms)
                bar.set_postfix(loss=f"{self.history[-1]['loss']:.4g}")
        self._log("train", "epoch", epoch_mean.take(), iteration, lr, counts_K4=counts_K4)

    @torch.no_grad()
    def _validate(self) -> None:
        self.network.eval()
        mean = history.RunningMean(len(self.loss.weights), self.device)
        counts_K4 = torch.zeros(len(self.info.classes), 4, dtype=torch.int64, device=self.device)
        for batch in batches(self.val_split, self.settings["batch_size"], self.device):
            logits, planes, valid, values = self._forward(batch)
            mean.add(values)
            counts_K4 += count_BK4(self.encoding.present(logits), planes, valid).sum(0)
        self._log("val", "epoch", mean.take(), self.epoch * self.steps_an_epoch, self.history[-1]["lr"],
                  counts_K4=counts_K4)
        score = self.history[-1]["iou_score"]
        score = -1.0 if math.isnan(score) else score  # a val split may hold none of the classes
        if self.settings["keep"] == "best" and score >= self.best_score:
            self.best_score, self.best_state = score, copy.deepcopy(self.network.state_dict())

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None, dict[str, Tensor]]:
        """Logits, true planes, valid pixels, loss terms of a batch; everything but the network in float32."""
        planes, valid = self.encoding.planes(batch.masks_BHW)
        with autocast(self.device, self.precision):
            logits = self.network(self.encoding.pictures(batch.images_BHWC))
        values = self.loss(self.encoding.seen_by_losses(logits), self.encoding.targets_of(planes), valid)
        return logits, planes, valid, values

    def _gradient_norms(self, values: dict[str, Tensor]) -> list[float]:
        """The norm of each unweighted term's gradient in the output layer's weights."""
        weight = self.network.output_layer.weight
        return [torch.autograd.grad(value, weight, retain_graph=True)[0].norm().item() for value in values.values()]

    def _log(self, split: str, span: str, means: list[float], iteration: int, lr: float, **extra: Any) -> None:
        self.history.append(history.row(self.loss, means, iteration=iteration, epoch=self.epoch, split=split,
                                        span=span, lr=lr, **extra))

    def _state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(), "epoch": self.epoch, "history": self.history,
                "window": (self.window.sums, self.window.count), "best": (self.best_score, self.best_state)}

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.history = state["epoch"], state["history"]
        self.window.sums, self.window.count = state["window"]
        self.best_score, self.best_state = state["best"]


def _optimization(network: nn.Module, train: dict[str, Any], iterations: int
                  ) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    match train["optimizer"]:
        case "adamw":
            optimizer: torch.optim.Optimizer = torch.optim.AdamW(
                network.parameters(), lr=train["lr"], weight_decay=train["weight_decay"], fused=True)
        case "sgd":
            optimizer = torch.optim.SGD(network.parameters(), lr=train["lr"], momentum=train["momentum"],
                                        weight_decay=train["weight_decay"], fused=True)
        case name:
            raise ValueError(f"unknown optimizer {name!r}; known: adamw, sgd")
    match train["schedule"]:
        case "one_cycle":
            schedule: torch.optim.lr_scheduler.LRScheduler = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=train["lr"], total_steps=iterations + 1)
        case "constant":
            schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
        case name:
            raise ValueError(f"unknown schedule {name!r}; known: one_cycle, constant")
    return optimizer, schedule


def _summary(rows: list[Row]) -> str:
    train, val = (next(row for row in rows if (row["split"], row["span"]) == (split, "epoch"))
                  for split in ("train", "val"))
    return f"loss {train['loss']:.4g}, val loss {val['loss']:.4g}, val IoU {val['iou_score']:.3f}"
