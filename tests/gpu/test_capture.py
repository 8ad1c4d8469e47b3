"""A training whose steps are captured as CUDA graphs ends in the bytes of one whose steps are launched one by one."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seglib import models
from seglib.configs import LossConfig, TrainConfig
from seglib.training.loop import Trainer
from seglib.training.setup import Setup
from tests.conftest import with_settings
from tests.gpu.conftest import DEVICE, Outputs, Replays
from tests.training.test_resume import FROZEN, KINDS, RESNET_UNET, train

pytestmark = pytest.mark.gpu

Make = Callable[..., TrainConfig]
Compare = Callable[..., Outputs]

# The prepared shapes do not fill the last batch of 16, so that each case has batches of two sizes.
CASES: dict[str, dict[str, Any]] = KINDS | {
    "clipped": {"optimizer": "adamw", "schedule": "one_cycle", "clip": 0.1},
    "radam": {"optimizer": "radam", "lr": 1e-3, "schedule": "cosine", "epochs": 4},
    "sgd": {"optimizer": "sgd", "lr": 0.05, "schedule": "one_cycle", "momentum": 0.9},
    "no momentum": {"optimizer": "sgd", "lr": 0.05, "schedule": "cosine", "momentum": 0.0},
    "flipped": {"optimizer": "adam", "schedule": "constant", "flip": 0.5, "vertical_flip": 0.5},
    "rotated": {"optimizer": "adamw", "schedule": "constant", "rotation": 30.0},
    "cropped": {"optimizer": "adamw", "schedule": "constant", "crop_min": 0.25, "crop_max": 0.5},
    "colored": {"optimizer": "adamw", "schedule": "constant", "color": 0.5},
    "snapshots": {"snapshots": [1, 3]},
    "label": {"targets": "label", "output": "raw", "pixels": "raw", "optimizer": "sgd", "lr": 1e-5,
              "schedule": "constant"},
    "one picture": {"batch_size": 1, "overfit": 3, "epochs": 4},
}


@pytest.mark.parametrize("case", CASES)
def test_captured_steps_end_in_the_bytes_of_eager_ones(case: str, gpu_config: Make, end_in_the_same_bytes: Compare):
    end_in_the_same_bytes(gpu_config(**CASES[case]))


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_each_precision_is_captured(precision: str, gpu_config: Make, end_in_the_same_bytes: Compare):
    end_in_the_same_bytes(gpu_config(precision=precision, clip=1.0))


@pytest.mark.parametrize("loss", ["mse", "dice", "bce_dice", "focal", "tversky", "iou"])
def test_each_loss_is_captured(loss: str, gpu_config: Make, end_in_the_same_bytes: Compare):
    end_in_the_same_bytes(gpu_config(loss, precision="bf16"))


@pytest.mark.parametrize("class_weights", ["none", "inverse_frequency"])
def test_ignored_pixels_are_captured(class_weights: str, gpu_config: Make, end_in_the_same_bytes: Compare,
                                     multiclass_shapes: Path):
    loss = LossConfig(terms={"ce": 1.0}, options={"class_weights": class_weights})
    end_in_the_same_bytes(dataclasses.replace(gpu_config(rotation=15.0), loss=loss), multiclass_shapes)


def test_the_phases_of_a_frozen_encoder_are_captured(gpu_config: Make, end_in_the_same_bytes: Compare):
    """Batches of two pictures of four, so that each phase has several steps."""
    config = gpu_config(**{key: value for key, value in FROZEN.items() if "freeze" not in key})
    end_in_the_same_bytes(dataclasses.replace(with_settings(config, **FROZEN), model=RESNET_UNET))


def test_an_extended_training_is_captured(gpu_config: Make, prepared_shapes: Path, tmp_path: Path):
    short, long = (gpu_config(epochs=epochs, **KINDS["constant"]) for epochs in (2, 4))
    train(short, prepared_shapes, tmp_path / "short", checkpoint_path=tmp_path / "last.pt")
    extended = train(long, prepared_shapes, tmp_path / "extended", checkpoint_path=tmp_path / "last.pt")
    assert extended == train(long, prepared_shapes, tmp_path / "eager", capture=False)


def test_validation_is_captured(gpu_config: Make, prepared_shapes: Path, replays: Replays):
    """Each further epoch replays a graph for each of its steps and for each batch of val."""
    def replayed(epochs: int) -> int:
        config = gpu_config(schedule="constant", epochs=epochs)
        before = replays.count
        Trainer(config, prepared_shapes).run(title="test")
        return replays.count - before

    training = Trainer(gpu_config(), prepared_shapes)
    graphs_an_epoch = training.train.steps + training.val.steps
    assert replayed(3) - replayed(2) == graphs_an_epoch * (DEVICE == "cuda")


def test_data_that_do_not_fit_on_the_device_give_the_same_bytes(
        gpu_config: Make, prepared_shapes: Path, tmp_path: Path, end_in_the_same_bytes: Compare,
        monkeypatch: pytest.MonkeyPatch):
    """A batch is then read from the files, and copied to the device in each step."""
    config = gpu_config(snapshots=[2], flip=0.5)
    resident = train(config, prepared_shapes, tmp_path / "resident")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (0, 0))
    assert end_in_the_same_bytes(config) == resident


@pytest.mark.parametrize(("loss", "settings", "said"), [
    ("bce_boundary", {}, "boundary computes on the CPU"),
    ("mse", {"schedule": "one_cycle", "one_cycle_momentum": "cycled"}, "one_cycle_momentum"),
    ("mse", {"optimizer": "sgd", "schedule": "one_cycle", "one_cycle_momentum": "cycled"}, "one_cycle_momentum"),
    ("mse", {"optimizer": "radam", "precision": "fp16"}, "RAdam"),
])
def test_what_cannot_be_captured_runs_eagerly_and_says_why(
        loss: str, settings: dict[str, Any], said: str, gpu_config: Make, prepared_shapes: Path, tmp_path: Path,
        replays: Replays, capsys: pytest.CaptureFixture):
    config = gpu_config(loss, epochs=2, **settings)
    found, replayed = replays.during(lambda: train(config, prepared_shapes, tmp_path / "found"))
    lines = [line for line in capsys.readouterr().out.splitlines() if said in line]
    assert replayed == 0
    assert len(lines) == (DEVICE == "cuda")
    assert found == train(config, prepared_shapes, tmp_path / "again")


def test_a_network_that_declares_that_it_cannot_be_captured_runs_eagerly_and_says_why(
        gpu_config: Make, prepared_shapes: Path, tmp_path: Path, replays: Replays, capsys: pytest.CaptureFixture,
        monkeypatch: pytest.MonkeyPatch):
    config = gpu_config(epochs=2)
    with monkeypatch.context() as patch:
        patch.setitem(models.KINDS, "munet", dataclasses.replace(models.KINDS["munet"], capturable=False))
        found, replayed = replays.during(lambda: train(config, prepared_shapes, tmp_path / "declared"))
    lines = [line for line in capsys.readouterr().out.splitlines() if "munet" in line]
    assert replayed == 0
    assert len(lines) == (DEVICE == "cuda")
    assert found == train(config, prepared_shapes, tmp_path / "captured")


def test_fp32_is_not_rounded_to_tf32(gpu_config: Make, prepared_shapes: Path):
    """Neither before a training in tf32 nor after it, in the same process. float64 on the CPU is what is compared."""
    exact = Setup(gpu_config(), prepared_shapes)
    images = torch.from_numpy(exact.val_split.images[:4].copy())
    network = exact.network.cpu().double().eval()
    with torch.no_grad():
        expected = network(exact.encoding.pictures(images).double()).float()
    for _ in range(2):
        setup = Setup(gpu_config(), prepared_shapes)
        setup.network.eval()
        with torch.no_grad():
            logits = setup.logits(images.to(setup.device)).cpu().contiguous()
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
        Trainer(gpu_config(precision="tf32", epochs=1), prepared_shapes).run(title="test")


@pytest.mark.parametrize("capture", [True, False])
def test_a_step_waits_for_no_value(capture: bool, gpu_config: Make, prepared_shapes: Path):
    """CUDA itself is told to raise if a value is read after the first steps of an epoch and before its last one."""
    training = Trainer(gpu_config(log_every=1, batch_size=4, flip=0.5, clip=1.0), prepared_shapes, capture=capture)
    steps = training.steps(training.progress("test"))
    for _ in range(3):
        next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(training.train.steps - 4):
            next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for _ in steps:
        pass
    assert training.finished
