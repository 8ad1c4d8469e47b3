"""Trainings side by side end where each would have ended alone."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from seglib.training import checkpoint, weights
from seglib.training.history import Diverged, Row
from seglib.training.loop import Training
from seglib.training.together import Together, _mappable
from tests.training.test_resume import Hoard

Make = Callable[..., dict[str, Any]]

# At a rate that lets a rounding stay one: where a network learns fast, the last bit of a sum soon decides much.
GENTLE = {"lr": 1e-3, "precision": "fp32", "epochs": 3, "log_every": 1}
KINDS: dict[str, dict[str, Any]] = {
    "adamw": {"optimizer": "adamw", "schedule": "one_cycle"},
    "sgd": {"optimizer": "sgd", "schedule": "cosine", "warmup_epochs": 0.5, "keep": "last"},
    "radam": {"optimizer": "radam", "schedule": "constant", "flip": 0.5, "rotation": 20.0, "best_by": "loss",
              "snapshots": [1, 3]},
}
NETWORKS = {
    "munet": {"kind": "munet", "depth": 4, "width": 4, "upsampling": "learned", "aspp_rates": [2]},
    "unet": {"kind": "unet", "width": 4, "upsampling": "bilinear", "norm": "batch"},
    "convnet": {"kind": "convnet", "width": 4, "layers": 3, "norm": "batch"},
}


def members(make: Make, **train: Any) -> list[dict[str, Any]]:
    """Two losses, two seeds."""
    losses = {"terms": {"mse": 1.0}}, {"terms": {"mse": 1.0, "dice": 1.0}, "epsilon": 1e-6, "dice_reduction": "image"}
    config = make(**GENTLE | train)
    return [copy.deepcopy(config) | {"loss": loss, "seed": seed} for loss in losses for seed in (1, 2)]


def run(configs: list[dict[str, Any]], dataset: Path, path: Path, on_epoch: Any = None) -> list[dict[str, Any]]:
    told = on_epoch or [lambda rows: None] * len(configs)
    return Together(configs, dataset, checkpoint_path=path).run(title="test", on_epoch=told)


def assert_alike(found: list[Row], expected: list[Row], tolerance: float) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for key, value in other.items():
            # A score is of pixels above a threshold: some of those at it fall to the other side.
            near = {"abs": 5e-3} if key.endswith("_score") else {"rel": tolerance, "abs": 1e-6}
            assert one[key] == (value if isinstance(value, str | None) else pytest.approx(value, **near)), (key, other)


@pytest.mark.parametrize("kind", KINDS)
def test_each_ends_where_it_would_have_ended_alone(variant_config: Make, prepared_shapes: Path, tmp_path: Path,
                                                   kind: str):
    configs = members(variant_config, **KINDS[kind])
    for config, state in zip(configs, run(configs, prepared_shapes, tmp_path / "all.pt"), strict=True):
        alone = Training(config, prepared_shapes).run(title="alone")
        assert_alike(state["ledger"]["rows"], alone.history, 5e-3)
        checkpoint.save(tmp_path / "own.pt", state)
        found = Training(config, prepared_shapes, checkpoint_path=tmp_path / "own.pt").run(title="found")
        assert found.history == state["ledger"]["rows"]
        for name, value in alone.state.items():
            torch.testing.assert_close(found.state[name], value, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_architecture_can_be_stacked(variant_config: Make, multiclass_shapes: Path, tmp_path: Path, name: str):
    """With pixels to ignore, and classes that exclude each other."""
    configs = [config | {"model": NETWORKS[name], "loss": {"terms": {"ce": 1.0}}}
               for config in members(variant_config, epochs=1)[:2]]
    for config, state in zip(configs, run(configs, multiclass_shapes, tmp_path / "all.pt"), strict=True):
        assert_alike(state["ledger"]["rows"], Training(config, multiclass_shapes).run(title="alone").history, 5e-3)


def test_a_killed_group_goes_on_to_the_same_bytes(variant_config: Make, prepared_shapes: Path, tmp_path: Path):
    """What a kill leaves is the state that was saved last: here, of two steps and of the first epoch."""
    configs = members(variant_config, **KINDS["adamw"])[:2]
    group = Together(configs, prepared_shapes, checkpoint_path=tmp_path / "all.pt")
    group.checkpoint = hoard = Hoard(tmp_path / "all.pt")
    whole = group.run(title="test", on_epoch=[lambda rows: None] * 2)
    assert len(hoard.kept) == 3 * (3 + 1)  # epochs of three steps
    for place, epochs in ((1, [1, 2, 3]), (3, [2, 3]), (8, [3])):
        told: list[list[Row]] = []
        resumed = run(configs, prepared_shapes, hoard.kept[place], [told.append, lambda rows: None])
        assert [rows[-1]["epoch"] for rows in told] == epochs
        for one, other in zip(whole, resumed, strict=True):
            assert one["ledger"]["rows"] == other["ledger"]["rows"]
            assert all(torch.equal(one["network"][name], other["network"][name]) for name in one["network"])


def test_a_finished_group_is_not_trained_again(variant_config: Make, prepared_shapes: Path, tmp_path: Path):
    """A kill may come between the last epoch and what becomes of it."""
    configs = members(variant_config, epochs=1)[:2]
    first = run(configs, prepared_shapes, tmp_path / "all.pt")
    again = run(configs, prepared_shapes, tmp_path / "all.pt")
    for one, other in zip(first, again, strict=True):
        assert one["ledger"]["rows"] == other["ledger"]["rows"]
        assert all(torch.equal(one["network"][name], other["network"][name]) for name in one["network"])
    checkpoint.save(tmp_path / "one.pt", first[0])
    assert (tmp_path / "one.pt").stat().st_size < 0.6 * (tmp_path / "all.pt").stat().st_size  # no part of the other's


def test_a_loss_that_is_no_number_says_whose_it_is(variant_config: Make, prepared_shapes: Path, tmp_path: Path):
    configs = members(variant_config, output="raw", optimizer="sgd", lr=1e12, schedule="constant")[:2]
    with pytest.raises(ValueError, match="^seed [12], mse: the train loss is (nan|inf) .*train it alone"):
        run(configs, prepared_shapes, tmp_path / "all.pt")


def test_where_one_diverges_the_last_good_weights_of_all_are_kept(variant_config: Make, prepared_shapes: Path,
                                                                  tmp_path: Path):
    configs = members(variant_config, precision="fp32")[:2]
    group = Together(configs, prepared_shapes, checkpoint_path=tmp_path / "all.pt", checkpoint_every=0)
    step = group.optimization.step

    def spoil(loss: torch.Tensor) -> None:
        step(loss)
        if (group.epoch, group.ledger.step) == (2, 1):  # of three; counted afterwards
            with torch.no_grad():
                next(iter(group.parameters.values()))[1].fill_(math.nan)

    group.optimization.step = spoil
    said = f"^seed 2, mse: .*at iteration 6 .*\n.* predict {tmp_path}/0 .*\n.* predict {tmp_path}/1 "
    with (pytest.raises(Diverged, match=said),
          weights.last_good_kept(group.header, group.last_states)):
        group.run(title="test", on_epoch=[lambda rows: None] * 2)
    for m in range(2):
        network, _ = weights.load(tmp_path / f"{m}/weights.safetensors", torch.device("cpu"))
        kept = checkpoint.load(tmp_path / "all.pt")["members"][m]
        assert (kept["ledger"]["epoch"], kept["ledger"]["step"]) == (2, 1)
        for name, value in network.state_dict().items():
            assert value.isfinite().all() and torch.equal(value, kept["network"][name])


def test_a_stack_of_batch_norms_takes_bf16():
    """As autocast leaves it on a GPU; torch.func's own rule refuses it."""
    torch.manual_seed(0)
    norms = [nn.BatchNorm2d(3) for _ in range(2)]
    x_MBCHW = torch.randn(2, 4, 3, 5, 5).bfloat16()
    alone = [norm(x_BCHW.float()) for norm, x_BCHW in zip(copy.deepcopy(norms), x_MBCHW, strict=True)]
    stacked = torch.func.stack_module_state(norms)
    mapped = _mappable(norms[0])

    def of_one(parameters: dict, buffers: dict, x_BCHW: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(mapped, (parameters, buffers), (x_BCHW,))

    found = torch.vmap(of_one)(*stacked, x_MBCHW)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), torch.stack(alone), rtol=1e-2, atol=1e-2)
    found.float().square().mean().backward()
    assert all(value.grad is not None for value in stacked[0].values())
    torch.testing.assert_close(stacked[1]["running_mean"], 0.1 * x_MBCHW.float().mean((1, 3, 4)))


def test_what_was_trained_together_can_go_on_alone(variant_config: Make, prepared_shapes: Path, tmp_path: Path):
    """Its optimiser's state is its own: more epochs alone are those that the group would have had."""
    short, long = (members(variant_config, **KINDS["radam"] | {"epochs": epochs, "snapshots": []}) for epochs in (2, 3))
    brief = run(short, prepared_shapes, tmp_path / "short.pt")
    for config, state, expected in zip(long, brief, run(long, prepared_shapes, tmp_path / "long.pt"), strict=True):
        checkpoint.save(tmp_path / "own.pt", state)
        extended = Training(config, prepared_shapes, checkpoint_path=tmp_path / "own.pt").run(title="extended")
        assert_alike(extended.history, expected["ledger"]["rows"], 5e-3)
