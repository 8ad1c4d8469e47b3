"""How weights follow gradients: optimizer, clipping and learning rate of one phase of a training."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from seglib.configs import TrainSettings
from seglib.registry import lookup
from seglib.training.optimizers import OPTIMIZERS

# Schedules whose first epochs do not depend on how many follow: a finished training can be extended.
OPEN_ENDED = ("constant", "plateau")


class Optimization:
    """One phase's optimizer and schedule: call `step` after each batch, `end_epoch` after each validation.

    parameters: those that learn. lr, epochs: those of the phase.
    Raises ValueError for an optimizer or a schedule that does not exist.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], train: TrainSettings, *, lr: float, epochs: int,
                 steps_an_epoch: int):
        self.parameters, self.clip = list(parameters), train.clip
        self.optimizer = _optimizer(self.parameters, train, lr)
        iterations = epochs * steps_an_epoch
        if train.schedule == "one_cycle":
            self.schedule: OneCycle | Schedule = OneCycle(
                self.optimizer, max_lr=lr, total_steps=iterations + 1, cycle_momentum=False)
        else:
            self.schedule = Schedule(self.optimizer, train, lr=lr, iterations=iterations,
                                     warmup=round(train.warmup_epochs * steps_an_epoch))

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    @property
    def is_finite(self) -> bool:
        """Whether all weights are finite. A finite loss does not guarantee finite weights."""
        return bool(torch.stack([parameter.isfinite().all() for parameter in self.parameters]).all())

    def step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        self.schedule.step()

    def end_epoch(self, value: float) -> None:
        """value: the score that the epoch is judged by, higher is better."""
        self.schedule.end_epoch(value)

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


class OneCycle(torch.optim.lr_scheduler.OneCycleLR):
    """PyTorch's: the rate rises to `lr` and falls to nothing (Smith and Topin 2017). The momentum stays constant.

    PyTorch's default cycles the momentum too, from 0.95 to 0.85. With it, a network trained by MSE alone stays all
    background with about half of the seeds.
    """

    def end_epoch(self, value: float) -> None:
        """No epoch changes a cycle."""


class Schedule:
    """The learning rate of each step: a share of `lr`, which rises to 1 during the warm-up and then is the schedule's.

    warmup: steps; step i of them, counted from 0, runs at (i + 1) / warmup. The share is then

    constant  1
    cosine    (1 + cos(π x)) / 2, x going from 0 to 1 over the steps that are left (Loshchilov and Hutter 2016, without
              restarts)
    plateau   1, multiplied by `plateau_factor` whenever `plateau_patience` epochs in a row had no value above the best
              so far; the patience of torch's ReduceLROnPlateau is one less
    """

    def __init__(self, optimizer: torch.optim.Optimizer, train: TrainSettings, *, lr: float, iterations: int,
                 warmup: int):
        if train.schedule not in ("constant", "cosine", "plateau"):
            raise ValueError(f"unknown schedule {train.schedule!r}; known: one_cycle, constant, cosine, plateau")
        self._optimizer, self._train, self._lr = optimizer, train, lr
        self._warmup, self._after = warmup, max(1, iterations - warmup)
        self._iteration, self._left, self._best, self._waited = 0, 1.0, -math.inf, 0
        self._apply()

    def _apply(self) -> None:
        past = self._iteration - self._warmup
        if past < 0:
            share = (self._iteration + 1) / self._warmup
        elif self._train.schedule == "cosine":
            share = (1 + math.cos(math.pi * past / self._after)) / 2
        else:
            share = self._left
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr * share

    def step(self) -> None:
        self._iteration += 1
        self._apply()

    def end_epoch(self, value: float) -> None:
        if self._train.schedule != "plateau":
            return
        if value > self._best:
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited >= self._train.plateau_patience:
            self._left, self._waited = self._left * self._train.plateau_factor, 0
            self._apply()

    def state_dict(self) -> dict[str, Any]:
        return {"iteration": self._iteration, "left": self._left, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._iteration, self._left = state["iteration"], state["left"]
        self._best, self._waited = state["best"], state["waited"]
        self._apply()


def _optimizer(parameters: list[nn.Parameter], train: TrainSettings, lr: float) -> torch.optim.Optimizer:
    entry = lookup(OPTIMIZERS, train.optimizer, "optimizer")
    momentum = {"momentum": train.momentum} if entry.takes_momentum else {}
    return entry.load()(parameters, lr=lr, weight_decay=train.weight_decay, **momentum, **entry.arguments)
