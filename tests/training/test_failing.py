"""Trainings that cannot go on: a loss that is no number, no memory, no room on the disk. What was good before stays."""

import contextlib
import math
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seglib.configs import TrainConfig
from seglib.prediction.network import NetworkPredictor
from seglib.training import checkpoint, weights
from seglib.training.device import OutOfMemory, memory_of
from seglib.training.history import Diverged
from seglib.training.last_good import last_good_kept
from seglib.training.loop import Trainer
from tests.conftest import ROOT, write_config

Make = Callable[..., TrainConfig]
DIVERGING = {"output": "raw", "optimizer": "sgd", "momentum": 0.9, "lr": 1e12, "schedule": "constant",
             "precision": "fp32"}


def poison(network: nn.Module, *, step: int, value: float) -> None:
    """Let the network put `value` into one output pixel of one training step, counted from 1."""
    steps = 0

    def spoil(module: nn.Module, x: Any, y_BKHW: Tensor) -> Tensor:
        nonlocal steps
        steps += module.training
        if not module.training or steps != step:
            return y_BKHW
        spoilt = torch.zeros_like(y_BKHW)
        spoilt[0, 0, 0, 0] = value
        return y_BKHW + spoilt

    network.register_forward_hook(spoil)


@pytest.mark.parametrize("log_every", [1, 50])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_first_step_whose_loss_is_no_number_is_named(training_config: Make, prepared_shapes: Path, log_every: int,
                                                         value: float):
    """However seldom it is looked at: the fifth, which is the second of the second epoch."""
    config = training_config("mse_dice", output="raw", log_every=log_every, precision="fp32")
    training = Trainer(config, prepared_shapes)
    poison(training.network, step=5, value=value)
    with pytest.raises(Diverged, match=r"^the train loss is (nan|inf) at iteration 5 \(epoch 2, lr [\d.e-]+; "
                                       r"mse (nan|inf), dice [^)]*\): lower train.lr"):
        training.run(title="test")


def test_where_a_device_is_not_waited_for_it_is_asked_when_a_checkpoint_is_due(
        training_config: Make, prepared_shapes: Path, tmp_path: Path):
    """As a GPU's losses are looked at at an epoch's end alone: here of three steps, of which the first is spoilt."""
    training = Trainer(training_config("mse", output="raw", precision="fp32"), prepared_shapes,
                        checkpoint_path=tmp_path / "last.pt", checkpoint_every=0)
    training.history._waits_for_device = False
    poison(training.network, step=1, value=math.nan)
    with pytest.raises(Diverged, match="at iteration 1 "):
        training.run(title="test")
    assert training.history.step == 1 and not list(tmp_path.iterdir())


def test_a_rate_that_is_much_too_high_is_said(training_config: Make, prepared_shapes: Path):
    with pytest.raises(Diverged, match=r"the train loss is (nan|inf) at iteration .*lr 1e\+12; mse .*lower train.lr"):
        Trainer(training_config("mse", **DIVERGING), prepared_shapes).run(title="test")


def test_the_last_good_weights_are_kept_and_predict(training_config: Make, prepared_shapes: Path, tmp_path: Path):
    """Saved after each step, of which the fifth spoils the weights and the sixth finds out."""
    path = tmp_path / "last.pt"
    training = Trainer(training_config("mse", output="raw", precision="fp32"), prepared_shapes, checkpoint_path=path,
                        checkpoint_every=0)
    step = training.optimization.step

    def spoil(loss: Tensor, position: Tensor) -> None:
        step(loss, position)
        if training.history.step == 1 and training.epoch == 2:  # of three; `learnt` counts it afterwards
            with torch.no_grad():
                training.optimization.parameters[0].fill_(math.nan)

    training.optimization.step = spoil
    with (pytest.raises(Diverged, match=f"at iteration 6 .*\n.*of epoch 2, are kept: seglib predict {tmp_path} "),
          last_good_kept(training.setup.header, tmp_path / "last.pt")):
        training.run(title="test")
    good = NetworkPredictor(tmp_path / "weights.safetensors")
    kept = checkpoint.load(path)
    assert (kept["history"]["epoch"], kept["history"]["step"]) == (2, 1)
    for name, value in good.network.state_dict().items():
        assert value.isfinite().all() and torch.equal(value, kept["network"][name])


def test_one_that_diverges_at_once_has_nothing_to_keep(training_config: Make, prepared_shapes: Path, tmp_path: Path):
    training = Trainer(training_config("mse", **DIVERGING), prepared_shapes, checkpoint_path=tmp_path / "last.pt")
    with (pytest.raises(Diverged, match="\nno weights were kept"),
          last_good_kept(training.setup.header, tmp_path / "last.pt")):
        training.run(title="test")
    assert not list(tmp_path.iterdir())


OUT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from seglib.configs import TrainConfig
from seglib.training.loop import Trainer
training = Trainer(TrainConfig.read(Path(sys.argv[1])), Path(sys.argv[2]))
used = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmSize" in line)
resource.setrlimit(resource.RLIMIT_AS, ((used << 10) + (200 << 20),) * 2)
try:
    training.run(title="test")
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is limited on Linux alone")
def test_where_memory_runs_out_the_batch_size_to_try_is_named(training_config: Make, prepared_shapes: Path,
                                                              tmp_path: Path):
    config = training_config(batch_size=32)
    config.model.arguments["width"] = 128
    write_config(tmp_path / "config.json", config.content())
    done = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY, tmp_path / "config.json", prepared_shapes],
                          cwd=ROOT, capture_output=True, text=True)
    assert "out of memory on cpu with train.batch_size=32: try train.batch_size=16" in done.stdout, done.stderr


def test_a_network_that_no_memory_holds_is_said(training_config: Make, prepared_shapes: Path):
    config = training_config()
    config.model.arguments["width"] = 10**6
    with pytest.raises(OutOfMemory, match="out of memory on cpu: try .* a smaller model"):
        Trainer(config, prepared_shapes)


def test_a_batch_of_one_cannot_be_halved_and_other_errors_are_none_of_memory():
    cpu = torch.device("cpu")
    with pytest.raises(OutOfMemory, match="train.batch_size=1: try smaller pictures"), memory_of(cpu, 1):
        torch.empty(10 ** 15)
    with pytest.raises(RuntimeError, match="size mismatch|must match") as caught, memory_of(cpu, 1):
        torch.ones(2) + torch.ones(3)
    assert not isinstance(caught.value, OutOfMemory)


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: writing then fails midway, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_checkpoint_that_cannot_be_written_leaves_the_ones_before(tmp_path: Path, share: float):
    path = tmp_path / "last.pt"
    for number in (1, 2):
        checkpoint.save(path, {"number": number, "weight": torch.full((10_000,), float(number))})
    with largest_file(int(share * path.stat().st_size)), pytest.raises(OSError, match=str(path)):
        checkpoint.save(path, {"number": 3, "weight": torch.full((10_000,), 3.0)})
    assert {one.name for one in tmp_path.iterdir()} == {"last.pt", "last.before.pt"}
    assert checkpoint.load(path)["number"] == 2
    path.unlink()
    assert checkpoint.load(path)["number"] == 1


def test_weights_that_cannot_be_written_leave_those_before(training_config: Make, prepared_shapes: Path,
                                                           tmp_path: Path):
    path, setup = tmp_path / "weights.safetensors", Trainer(training_config(), prepared_shapes).setup
    weights.save(path, setup.network.state_dict(), setup.header)
    before = path.read_bytes()
    with largest_file(len(before) // 2), pytest.raises(OSError, match=str(path)):
        weights.save(path, setup.network.state_dict(), setup.header)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]
