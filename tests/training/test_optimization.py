"""Optimizers, schedules and clipping: against torch's own schedulers and closed forms."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import lr_scheduler

from seglib.configs import TrainSettings
from seglib.training.optimization import Optimization, Schedule
from seglib.training.optimizers import OPTIMIZERS

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


def rates(optimization: Optimization, epochs: int) -> list[float]:
    """The learning rate of each step of the first epochs."""
    return [rate for epoch in range(epochs) for rate in optimization.start_epoch(epoch)]


def torch_rates(steps: int, make_scheduler: Any) -> list[float]:
    optimizer = torch.optim.SGD([weight()], lr=LR)
    scheduler, found = make_scheduler(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_constant_is_constant():
    assert rates(make(), 3) == [LR] * 30


def test_cosine_is_torchs():
    expected = torch_rates(30, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=30))
    assert rates(make(schedule="cosine", epochs=3), 3) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_one_cycle_is_torchs(epochs: int, steps: int):
    total = epochs * steps
    expected = torch_rates(total, lambda optimizer: lr_scheduler.OneCycleLR(
        optimizer, max_lr=LR, total_steps=total + 1, cycle_momentum=False))
    optimization = make(schedule="one_cycle", one_cycle_momentum="constant", epochs=epochs, steps_an_epoch=steps)
    assert rates(optimization, epochs) == expected
    assert optimization.schedule.rate(total) == pytest.approx(LR / 25 / 1e4)


@pytest.mark.parametrize("cycled", [False, True])
@pytest.mark.parametrize(("optimizer", "key", "constant"), [
    ("sgd", "momentum", 0.8), ("adamw", "betas", (0.9, 0.999)), ("adam", "betas", (0.9, 0.999)),
    ("radam", "betas", (0.9, 0.999))])
def test_one_cycle_cycles_the_momentum_if_asked(optimizer: str, key: str, constant: Any, cycled: bool):
    """Against torch's own cycle."""
    optimization = make(schedule="one_cycle", optimizer=optimizer, momentum=0.8,
                        one_cycle_momentum="cycled" if cycled else "constant")
    momentum = {"momentum": 0.8} if optimizer == "sgd" else {}
    reference = OPTIMIZERS[optimizer].load()([weight()], lr=LR, **momentum)
    scheduler = lr_scheduler.OneCycleLR(reference, max_lr=LR, total_steps=11, cycle_momentum=cycled)
    optimization.start_epoch(0)
    for iteration in range(10):
        step(optimization, iteration)
        assert optimization.optimizer.param_groups[0][key] == reference.param_groups[0][key]
        assert cycled or reference.param_groups[0][key] == constant
        reference.step()
        scheduler.step()


def step(optimization: Optimization, iteration: int = 0, loss: Tensor | None = None) -> None:
    """One step of an epoch that has started, down the sum of the first parameter if there is no other loss."""
    optimization.before_step(iteration)
    optimization.step(optimization.parameters[0].sum() if loss is None else loss, torch.tensor([iteration]))


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "adam", "radam"])
def test_a_state_that_starts_as_zeros_gives_torchs_own_steps(optimizer: str, decay: float):
    parameter, twin = nn.Parameter(torch.randn(50)), nn.Parameter(torch.empty(50))
    twin.data.copy_(parameter.data)
    optimization = make(parameter, optimizer=optimizer, momentum=0.9, weight_decay=decay, schedule="cosine")
    entry = OPTIMIZERS[optimizer]
    reference = entry.load()([twin], lr=LR, weight_decay=decay, **entry.arguments,
                             **({"momentum": 0.9} if entry.takes_momentum else {}))
    for iteration, rate in enumerate(optimization.start_epoch(0)):
        step(optimization, iteration, parameter.sin().sum())
        reference.param_groups[0]["lr"] = rate
        reference.zero_grad()
        twin.sin().sum().backward()
        reference.step()
        torch.testing.assert_close(parameter, twin, rtol=1e-6, atol=1e-7)


def test_a_loss_scale_changes_no_step_but_skips_one_that_is_not_finite():
    """Gradients in fp16: the scale is a power of 2, so that multiplying and dividing is exact."""
    found = []
    for precision in ("fp32", "fp16"):
        optimization = Optimization([weight()], settings_of(optimizer="adamw", clip=1.0), lr=LR, epochs=1,
                                    steps_an_epoch=3, precision=precision)
        optimization.start_epoch(0)
        step(optimization)
        found.append(optimization.parameters[0].item())
    assert found[0] == found[1]
    before = optimization.scaler.get_scale()
    step(optimization, 1, optimization.parameters[0].sum() * math.inf)
    assert (optimization.parameters[0].item(), optimization.scaler.get_scale()) == (found[1], before / 2)
    resumed = Optimization([weight(found[1])], settings_of(optimizer="adamw", clip=1.0), lr=LR, epochs=1,
                           steps_an_epoch=3, precision="fp16")
    resumed.load_state_dict(optimization.state_dict())
    for each in (optimization, resumed):
        each.start_epoch(0)
        step(each, 2)
    assert torch.equal(optimization.parameters[0], resumed.parameters[0])


@pytest.mark.parametrize("schedule", ["constant", "plateau", "cosine"])
def test_a_warm_up_is_torchs_and_leads_to_the_schedules_beginning(schedule: str):
    """A warm-up of half an epoch, then a schedule over the steps that are left."""
    plateau = {"plateau_factor": 0.5, "plateau_patience": 1} if schedule == "plateau" else {}
    found = rates(make(schedule=schedule, warmup_epochs=0.5, epochs=2, steps_an_epoch=20, **plateau), 2)
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
        assert optimization.schedule.rate(0) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_a_schedule_goes_on_from_its_state():
    settings = settings_of(schedule="plateau", plateau_factor=0.5, plateau_patience=2)

    schedule, resumed = (Schedule(settings, lr=LR, iterations=100, warmup=3) for _ in range(2))
    for value in (0.3, 0.2, 0.2, 0.1):
        schedule.end_epoch(value)
    resumed.load_state_dict(schedule.state_dict())
    for value in (0.1, 0.4, 0.0, 0.0):
        assert schedule.rate(50) == resumed.rate(50)
        for each in (schedule, resumed):
            each.end_epoch(value)
    assert schedule.rate(50) == resumed.rate(50) == LR / 8


@pytest.mark.parametrize(("clip", "moved"), [(None, 5.0), (10.0, 5.0), (0.5, 0.5)])
def test_clipping_bounds_the_norm_of_all_gradients_together(clip: float | None, moved: float):
    parameters = [weight(0.0), weight(0.0)]
    optimization = Optimization(parameters, settings_of(clip=clip), lr=1.0, epochs=1,
                                steps_an_epoch=1)
    optimization.start_epoch(0)
    step(optimization, 0, (3 * parameters[0] + 4 * parameters[1]).sum())
    assert torch.cat(parameters).norm().item() == pytest.approx(moved, rel=1e-5)
    assert (parameters[0] / parameters[1]).item() == pytest.approx(3 / 4)


@pytest.mark.parametrize(("optimizer", "expected"), [
    ("sgd", 2.0 - LR * 0.5 * 2.0),      # L2: the gradient is decay · weight
    ("adam", 2.0 - LR),                 # L2, and Adam's first step is lr, however large the gradient
    ("radam", 2.0 - LR * 0.5 * 2.0),    # L2; the first steps of RAdam are those of momentum
    ("adamw", 2.0 - LR * 0.5 * 2.0)])   # decoupled: of the weight itself
def test_the_first_step_where_only_decay_pulls(optimizer: str, expected: float):
    parameter = weight(2.0)
    optimization = make(parameter, optimizer=optimizer, weight_decay=0.5)
    optimization.start_epoch(0)
    step(optimization, 0, 0 * parameter.sum())
    assert parameter.item() == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [{"optimizer": "lion"}, {"schedule": "step"}])
def test_what_does_not_exist_is_said(wrong: dict[str, str]):
    with pytest.raises(ValueError, match="unknown (optimizer 'lion': known: |schedule 'step'; known: )"):
        make(**wrong)
