"""On a GPU, too, a training that was killed ends in the same bytes, and so does one whose network draws numbers."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from seglib import models
from seglib.configs import TrainConfig
from seglib.training import checkpoint
from seglib.training.checkpoint import Checkpoint
from seglib.training.loop import Trainer
from tests.gpu.conftest import DEVICE, Replays
from tests.training.test_resume import KINDS, hoarded, train

pytestmark = pytest.mark.gpu

Make = Callable[..., TrainConfig]


class Deadly(Checkpoint):
    """Kills its process once it has saved a state within the second epoch."""

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        if state["history"]["epoch"] == 2 and state["history"]["step"]:
            os.kill(os.getpid(), signal.SIGKILL)


def train_until_killed(config: TrainConfig, dataset: Path, path: Path) -> None:
    training = Trainer(config, dataset)
    training.checkpoint = Deadly(path, every=0)
    training.run(title="killed")


@pytest.mark.parametrize("kind", ["one_cycle", "plateau", "cosine"])
def test_a_killed_process_ends_in_the_same_bytes(kind: str, gpu_config: Make, prepared_shapes: Path, tmp_path: Path):
    config = gpu_config(**KINDS[kind])
    whole = train(config, prepared_shapes, tmp_path / "whole")
    # A fresh interpreter, because a CUDA context does not survive a fork.
    process = multiprocessing.get_context("spawn").Process(
        target=train_until_killed, args=(config, prepared_shapes, tmp_path / "last.pt"))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert checkpoint.load(tmp_path / "last.pt")["history"]["step"] > 0
    assert train(config, prepared_shapes, tmp_path / "resumed", checkpoint_path=tmp_path / "last.pt") == whole


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_training_resumed_after_any_step_ends_in_the_same_bytes(precision: str, gpu_config: Make,
                                                                  prepared_shapes: Path, tmp_path: Path):
    """Whatever follows the state that is resumed runs captured, or eagerly."""
    config = gpu_config(precision=precision, **KINDS["plateau"])
    whole, kept = hoarded(config, prepared_shapes, tmp_path / "whole")
    for path in kept[:5]:
        resumed = train(config, prepared_shapes, tmp_path / "resumed", checkpoint_path=path)
        assert resumed == whole
    eager = train(config, prepared_shapes, tmp_path / "eager", checkpoint_path=kept[1], capture=False)
    assert eager == whole


def test_a_network_that_draws_numbers_is_repeated_and_resumed(
        gpu_config: Make, prepared_shapes: Path, tmp_path: Path, replays: Replays, capsys: pytest.CaptureFixture,
        monkeypatch: pytest.MonkeyPatch):
    """A dropout, which no model of seglib has. Its steps are not captured."""
    config = gpu_config(epochs=2)
    plain = train(config, prepared_shapes, tmp_path / "plain")
    monkeypatch.setattr(models, "build", with_dropout(models.build))
    capsys.readouterr()
    torch.manual_seed(1)
    (whole, kept), replayed = replays.during(lambda: hoarded(config, prepared_shapes, tmp_path / "whole"))
    assert whole != plain
    assert replayed == 0
    assert capsys.readouterr().out.count("the network draws random numbers") == (DEVICE == "cuda")
    torch.manual_seed(2)
    assert train(config, prepared_shapes, tmp_path / "eager", capture=False) == whole
    for path in kept[:4]:
        torch.manual_seed(3)
        assert train(config, prepared_shapes, tmp_path / "resumed", checkpoint_path=path) == whole


def with_dropout(build: Callable[..., torch.nn.Module]) -> Callable[..., torch.nn.Module]:
    """`models.build`, of networks that lose a fifth of their input while they train."""
    def build_with_dropout(*arguments: Any, **options: Any) -> torch.nn.Module:
        network = build(*arguments, **options)
        network.register_forward_pre_hook(lambda module, x: functional.dropout(x[0], 0.2, training=module.training))
        return network
    return build_with_dropout
