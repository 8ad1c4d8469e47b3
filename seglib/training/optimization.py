"""How weights follow gradients: optimizer, clipping, loss scale and learning rate of one phase of a training."""

import math
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from seglib.configs import TrainSettings
from seglib.registry import lookup
from seglib.training.optimizers import OPTIMIZERS

# Schedules whose first epochs do not depend on how many follow: a finished training can be extended.
OPEN_ENDED = ("constant", "plateau")

# The defaults of torch's OneCycleLR, which is the schedule one_cycle (Smith and Topin 2017).
RISING = 0.3  # the part of the steps in which the rate rises
RISE, FALL = 25.0, 1e4  # the peak over the first rate, and the first rate over the last
LEAST_MOMENTUM, MOST_MOMENTUM = 0.85, 0.95  # of a cycled momentum: the least at the peak


class Optimization:
    """One phase's optimizer and schedule.

    Call `start_epoch` before the steps of an epoch and `end_epoch` after its validation. `step` is part of a training
    step: it only changes tensors, which stay where they are, so that a GPU can replay it.

    parameters: those that learn. lr, epochs: those of the phase. precision: the training's.
    Raises ValueError for an optimizer or a schedule that does not exist.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], train: TrainSettings, *, lr: float, epochs: int,
                 steps_an_epoch: int, precision: str = "fp32"):
        self.parameters, self.clip, self._steps = list(parameters), train.clip, steps_an_epoch
        device = self.parameters[0].device
        self._lr = torch.zeros((), device=device)  # the optimizer reads it at each step
        self._rates_S = torch.zeros(steps_an_epoch, device=device)
        self.optimizer = _optimizer(self.parameters, train, self._lr)
        # fp16 holds no gradient below 6e-8: the loss is multiplied before the backward pass, and gradients are divided.
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.scaler.scale(torch.zeros(1, device=device))  # makes its tensors
        self._make_state()
        self.schedule = Schedule(train, lr=lr, iterations=epochs * steps_an_epoch,
                                 warmup=round(train.warmup_epochs * steps_an_epoch))
        self._cycled = train.one_cycle_momentum == "cycled"

    @property
    def kept(self) -> list[Tensor]:
        """The tensors that a step changes, besides the network's buffers."""
        scale = [self.scaler._scale, self.scaler._growth_tracker] if self.scaler.is_enabled() else []
        return [*self.parameters, *(tensor for state in self._states() for tensor in state.values()), *scale]

    @property
    def eager_because(self) -> str:
        """Why no CUDA graph can replay a step; "" if one can."""
        if self._cycled:
            return "one_cycle_momentum: cycled changes a number inside the optimizer's kernels at each step"
        if self.scaler.is_enabled() and not getattr(self.optimizer, "_step_supports_amp_scaling", False):
            return f"in fp16, a step of {type(self.optimizer).__name__} waits for the loss scale"
        return ""

    @property
    def is_finite(self) -> bool:
        """Whether all weights are finite. A finite loss does not guarantee finite weights."""
        return bool(torch.stack([parameter.isfinite().all() for parameter in self.parameters]).all())

    def start_epoch(self, epoch: int) -> list[float]:
        """The learning rate of each step of an epoch of the phase, counted from 0. They go to the device."""
        rates = [self.schedule.rate(epoch * self._steps + step) for step in range(self._steps)]
        self._rates_S.copy_(torch.tensor(rates))
        return rates

    def before_step(self, iteration: int) -> None:
        """Set what a step cannot read from the device. iteration: of the phase, counted from 0."""
        if self._cycled:
            momentum, group = self.schedule.momentum(iteration), self.optimizer.param_groups[0]
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum

    def step(self, loss: Tensor, position: Tensor) -> None:
        """Follow the gradient of `loss`. position: int64 (1,) on the device, the number of the step in its epoch."""
        self._lr.copy_(self._rates_S.index_select(0, position).squeeze(0))
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def end_epoch(self, value: float) -> None:
        """value: the score that the epoch is judged by, higher is better."""
        self.schedule.end_epoch(value)

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self._states(), "scaler": self.scaler.state_dict(), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for own, read in zip(self._states(), state["optimizer"], strict=True):
                for name, tensor in own.items():
                    tensor.copy_(read[name])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.schedule.load_state_dict(state["schedule"])

    def _states(self) -> list[dict[str, Tensor]]:
        """What the optimizer keeps for each parameter."""
        return [self.optimizer.state[parameter] for parameter in self.parameters]

    def _make_state(self) -> None:
        """Make the optimizer's state now, all zeros, in place of within the first step.

        The first step is then like all others. A momentum that starts as zeros gives what torch's first step gives.
        """
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "capturable=True, but step() is running without CUDA graph capture"
            self.optimizer.step()  # at a rate of 0
        self.optimizer.zero_grad(set_to_none=True)
        for state in self._states():
            for tensor in state.values():
                tensor.zero_()


class Schedule:
    """The learning rate of each step: a share of `lr`, which rises to 1 during the warm-up and then is the schedule's.

    warmup: steps; step i of them, counted from 0, runs at (i + 1) / warmup. The share is then

    constant   1
    cosine     (1 + cos(π x)) / 2, x going from 0 to 1 over the steps that are left (Loshchilov and Hutter 2016,
               without restarts)
    plateau    1, multiplied by `plateau_factor` whenever `plateau_patience` epochs in a row had no value above the best
               so far; the patience of torch's ReduceLROnPlateau is one less
    one_cycle  from 1/25 to 1 over the first 30 % of the steps and then down to nothing, both as half a cosine (Smith
               and Topin 2017); torch's OneCycleLR with one step more
    """

    def __init__(self, train: TrainSettings, *, lr: float, iterations: int, warmup: int):
        if train.schedule not in ("one_cycle", "constant", "cosine", "plateau"):
            raise ValueError(f"unknown schedule {train.schedule!r}; known: one_cycle, constant, cosine, plateau")
        self._train, self._lr, self._iterations, self._warmup = train, lr, iterations, warmup
        self._left, self._best, self._waited = 1.0, -math.inf, 0

    def rate(self, iteration: int) -> float:
        """The learning rate of a step of the phase, counted from 0."""
        past = iteration - self._warmup
        if past < 0:
            return self._lr * ((iteration + 1) / self._warmup)
        match self._train.schedule:
            case "cosine":
                return self._lr * ((1 + math.cos(math.pi * past / max(1, self._iterations - self._warmup))) / 2)
            case "one_cycle":
                return self._cycle(iteration, self._lr / RISE, self._lr, self._lr / RISE / FALL)
        return self._lr * self._left

    def momentum(self, iteration: int) -> float:
        """The momentum of a step under one_cycle, if it is cycled: it falls while the rate rises."""
        return self._cycle(iteration, MOST_MOMENTUM, LEAST_MOMENTUM, MOST_MOMENTUM)

    def _cycle(self, iteration: int, first: float, middle: float, last: float) -> float:
        """From `first` to `middle` to `last`, each as half a cosine."""
        total = self._iterations + 1
        turn = RISING * total - 1
        if iteration <= turn:
            start, end, part = first, middle, iteration / turn
        else:
            start, end, part = middle, last, (iteration - turn) / (total - 1 - turn)
        return end + (start - end) / 2 * (1 + math.cos(math.pi * part))

    def end_epoch(self, value: float) -> None:
        """value: the score that the epoch is judged by, higher is better."""
        if self._train.schedule != "plateau":
            return
        if value > self._best:
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited >= self._train.plateau_patience:
            self._left, self._waited = self._left * self._train.plateau_factor, 0

    def state_dict(self) -> dict[str, Any]:
        return {"left": self._left, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._left, self._best, self._waited = state["left"], state["best"], state["waited"]


def _optimizer(parameters: list[nn.Parameter], train: TrainSettings, lr: Tensor) -> torch.optim.Optimizer:
    entry = lookup(OPTIMIZERS, train.optimizer, "optimizer")
    momentum = {"momentum": train.momentum} if entry.takes_momentum else {}
    capturable = {"capturable": True} if entry.takes_capturable and parameters[0].device.type == "cuda" else {}
    return entry.load()(parameters, lr=lr, weight_decay=train.weight_decay, **momentum, **capturable, **entry.arguments)
