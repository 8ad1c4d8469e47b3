"""Optimizers, schedules and clipping: against torch's own schedulers and closed forms."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler

from seglib.configs import TrainSettings
from seglib.training.optimization import Optimization, Schedule

LR = 0.1


def weight(value: float = 2.0) -> nn.Parameter:
    return nn.Parameter(torch.tensor([value]))


def settings_of(**train: Any) -> TrainSettings:
    """Plain gradient descent at a constant rate, but for `train`; what has no part in it is None."""
    given = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "warmup_epochs": 0.0}
    return TrainSettings(**dict.fromkeys(field.name for field in dataclasses.fields(TrainSettings)) | given | train)


def make(parameter: nn.Parameter | None = None, *, epochs: int = 1, steps_an_epoch: int = 10, lr: float = LR,
         **train: Any) -> Optimization:
    return Optimization([weight() if parameter is None else parameter], settings_of(**train), lr=lr, epochs=epochs,
                        steps_an_epoch=steps_an_epoch)


def rates(optimization: Optimization, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(optimization.lr)
        optimization.step(optimization.parameters[0].sum())
    return found


def torch_rates(steps: int, make_scheduler: Any) -> list[float]:
    optimizer = torch.optim.SGD([weight()], lr=LR)
    scheduler, found = make_scheduler(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_constant_is_constant():
    assert rates(make(), 30) == [LR] * 30


def test_cosine_is_torchs():
    expected = torch_rates(30, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=30))
    assert rates(make(schedule="cosine", epochs=3), 30) == pytest.approx(expected, rel=1e-6)


def test_one_cycle_is_torchs():
    expected = torch_rates(30, lambda optimizer: lr_scheduler.OneCycleLR(optimizer, max_lr=LR, total_steps=31))
    optimization = make(schedule="one_cycle", epochs=3, momentum=0.9)
    assert rates(optimization, 30) == expected
    optimization.end_epoch(1.0)
    assert optimization.lr == pytest.approx(LR / 25 / 1e4)


@pytest.mark.parametrize(("optimizer", "key", "constant"), [
    ("sgd", "momentum", 0.8), ("adamw", "betas", (0.9, 0.999)), ("adam", "betas", (0.9, 0.999)),
    ("radam", "betas", (0.9, 0.999))])
def test_one_cycle_leaves_the_momentum_constant(optimizer: str, key: str, constant: Any):
    optimization = make(schedule="one_cycle", optimizer=optimizer, momentum=0.8)
    for _ in range(10):
        assert optimization.optimizer.param_groups[0][key] == constant
        optimization.step(optimization.parameters[0].sum())


@pytest.mark.parametrize("schedule", ["constant", "plateau", "cosine"])
def test_a_warm_up_is_torchs_and_leads_to_the_schedules_beginning(schedule: str):
    """A warm-up of half an epoch, then a schedule over the steps that are left."""
    plateau = {"plateau_factor": 0.5, "plateau_patience": 1} if schedule == "plateau" else {}
    found = rates(make(schedule=schedule, warmup_epochs=0.5, epochs=2, steps_an_epoch=20, **plateau), 40)
    expected = torch_rates(10, lambda optimizer: lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=9))
    assert found[:10] == pytest.approx(expected)
    if schedule == "cosine":
        after = torch_rates(30, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=30))
        assert found[10:] == pytest.approx(after, rel=1e-6)
    else:
        assert found[10:] == [LR] * 30


@given(values=st.lists(st.sampled_from([-math.inf, -2.0, 0.0, 0.1, 0.2, 0.3, 0.5]), max_size=30),
       patience=st.integers(1, 4), factor=st.sampled_from([0.1, 0.5]))
def test_a_plateau_is_torchs(values: list[float], patience: int, factor: float):
    """torch counts the epochs that it waits, not the one after which it acts: its patience is one less."""
    optimizer = torch.optim.SGD([weight()], lr=LR)
    judge = lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=factor, patience=patience - 1, threshold=0,
                                           threshold_mode="abs", eps=0)
    optimization = make(schedule="plateau", plateau_factor=factor, plateau_patience=patience)
    for value in values:
        judge.step(value)
        optimization.end_epoch(value)
        assert optimization.lr == pytest.approx(optimizer.param_groups[0]["lr"])


def test_a_schedule_goes_on_from_its_state():
    settings = settings_of(schedule="plateau", plateau_factor=0.5, plateau_patience=2)

    def make_schedule() -> tuple[torch.optim.Optimizer, Schedule]:
        optimizer = torch.optim.SGD([weight()], lr=LR)
        return optimizer, Schedule(optimizer, settings, lr=LR, iterations=100, warmup=3)

    (first, schedule), (second, resumed) = make_schedule(), make_schedule()
    for value in (0.3, 0.2, 0.2, 0.1):
        schedule.step()
        schedule.end_epoch(value)
    resumed.load_state_dict(schedule.state_dict())
    for value in (0.1, 0.4, 0.0, 0.0):
        assert first.param_groups[0]["lr"] == second.param_groups[0]["lr"]
        for each in (schedule, resumed):
            each.step()
            each.end_epoch(value)
    assert first.param_groups[0]["lr"] == second.param_groups[0]["lr"] == LR / 8


@pytest.mark.parametrize(("clip", "moved"), [(None, 5.0), (10.0, 5.0), (0.5, 0.5)])
def test_clipping_bounds_the_norm_of_all_gradients_together(clip: float | None, moved: float):
    parameters = [weight(0.0), weight(0.0)]
    optimization = Optimization(parameters, settings_of(clip=clip), lr=1.0, epochs=1,
                                steps_an_epoch=1)
    optimization.step((3 * parameters[0] + 4 * parameters[1]).sum())
    assert torch.cat(parameters).norm().item() == pytest.approx(moved, rel=1e-5)
    assert (parameters[0] / parameters[1]).item() == pytest.approx(3 / 4)


@pytest.mark.parametrize(("optimizer", "expected"), [
    ("sgd", 2.0 - LR * 0.5 * 2.0),      # L2: the gradient is decay · weight
    ("adam", 2.0 - LR),                 # L2, and Adam's first step is lr, however large the gradient
    ("radam", 2.0 - LR * 0.5 * 2.0),    # L2; the first steps of RAdam are those of momentum
    ("adamw", 2.0 - LR * 0.5 * 2.0)])   # decoupled: of the weight itself
def test_the_first_step_where_only_decay_pulls(optimizer: str, expected: float):
    parameter = weight(2.0)
    make(parameter, optimizer=optimizer, weight_decay=0.5).step(0 * parameter.sum())
    assert parameter.item() == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [{"optimizer": "lion"}, {"schedule": "step"}])
def test_what_does_not_exist_is_said(wrong: dict[str, str]):
    with pytest.raises(ValueError, match="unknown (optimizer 'lion': known: |schedule 'step'; known: )"):
        make(**wrong)
