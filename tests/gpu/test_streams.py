"""Several trainings at once in one process, each on a stream of its own, end in the bytes that each has alone."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from seglib import models
from seglib.configs import TrainConfig
from seglib.training.loop import Trainer
from tests.gpu.test_resume import with_dropout
from tests.training.test_resume import KINDS, train, written

pytestmark = pytest.mark.gpu

Make = Callable[..., TrainConfig]
Files = tuple[str, str, str]


def together(configs: list[TrainConfig], dataset: Path, out: Path) -> list[Files]:
    """Train all configurations at once, one step of each in turn. Returns the sha256 of what each writes."""
    trainings = [Trainer(config, dataset) for config in configs]
    progresses = [training.progress("test") for training in trainings]
    running = [training.steps(progress) for training, progress in zip(trainings, progresses, strict=True)]
    while running:
        running = [steps for steps in running if next(steps, "ended") is None]
    return [written(training.finish(progress), out / str(n))
            for n, (training, progress) in enumerate(zip(trainings, progresses, strict=True))]


def alone(configs: list[TrainConfig], dataset: Path, out: Path) -> list[Files]:
    return [train(config, dataset, out / str(n)) for n, config in enumerate(configs)]


def test_trainings_at_once_end_in_their_own_bytes(gpu_config: Make, prepared_shapes: Path, tmp_path: Path):
    """Trainings with other seeds, losses, lengths and recipes."""
    configs = [dataclasses.replace(gpu_config(loss, precision="bf16"), seed=seed)
               for loss in ("mse", "dice", "mse_dice") for seed in (1, 2)]
    configs += [gpu_config(precision="bf16", **KINDS[kind]) for kind in ("constant", "plateau", "cosine")]
    configs.append(gpu_config(precision="bf16", epochs=2, batch_size=8))
    assert together(configs, prepared_shapes, tmp_path / "together") == alone(
        configs, prepared_shapes, tmp_path / "alone")


def test_trainings_at_once_keep_their_own_precision(gpu_config: Make, prepared_shapes: Path, tmp_path: Path):
    """What PyTorch has once in a process (whether TF32 is allowed, say) is that of the training whose turn it is."""
    configs = [gpu_config(precision=precision) for precision in ("fp32", "tf32", "bf16", "fp16")]
    assert together(configs, prepared_shapes, tmp_path / "together") == alone(
        configs, prepared_shapes, tmp_path / "alone")


def test_networks_that_draw_numbers_at_once_draw_their_own(gpu_config: Make, prepared_shapes: Path, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models, "build", with_dropout(models.build))
    configs = [dataclasses.replace(gpu_config(), seed=seed) for seed in range(4)]
    assert together(configs, prepared_shapes, tmp_path / "together") == alone(
        configs, prepared_shapes, tmp_path / "alone")
