"""Tests that need a CUDA device: `make test-gpu`. They are skipped on a machine that has none."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from seglib.configs import TrainConfig
from seglib.training.loop import Trainer
from tests.training.conftest import multiclass_shapes as multiclass_shapes  # a fixture
from tests.training.test_resume import written

DEVICE = "cuda"

Outputs = tuple[str, str, str]


@pytest.fixture(autouse=True)
def cuda_device() -> torch.device:
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip(f"PyTorch {torch.__version__} finds no CUDA device here")
    return torch.device(DEVICE)


@pytest.fixture
def gpu_config(training_config: Callable[..., TrainConfig]) -> Callable[..., TrainConfig]:
    """As `training_config`, on the GPU, in fp32 unless a keyword argument says otherwise."""
    def make(loss: str = "mse_dice", **train: Any) -> TrainConfig:
        return training_config(loss, **{"device": DEVICE, "precision": "fp32", "epochs": 3} | train)
    return make


@dataclasses.dataclass
class Replays:
    """How many CUDA graphs were replayed in a test so far."""

    count: int = 0

    def during(self, work: Callable[[], Outputs]) -> tuple[Outputs, int]:
        """Do some work. Returns what it returns, and how many graphs it replayed."""
        before = self.count
        returned = work()
        return returned, self.count - before


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replays]:
    counted, replay = Replays(), torch.cuda.CUDAGraph.replay

    def counting(graph: torch.cuda.CUDAGraph) -> None:
        counted.count += 1
        replay(graph)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", counting)
    return counted


@pytest.fixture
def end_in_the_same_bytes(replays: Replays, prepared_shapes: Path, tmp_path: Path) -> Callable[..., Outputs]:
    """Train a configuration by eager steps and by captured ones; assert that both write the same three files.

    Returns their sha256. dataset: another prepared dataset than `prepared_shapes`.
    """
    def compare(config: TrainConfig, dataset: Path = prepared_shapes) -> Outputs:
        eager, replayed = replays.during(
            lambda: written(Trainer(config, dataset, capture=False).run(title="eager"), tmp_path / "eager"))
        assert replayed == 0
        captured, replayed = replays.during(
            lambda: written(Trainer(config, dataset).run(title="captured"), tmp_path / "captured"))
        if DEVICE == "cuda":  # else the two would be equal because nothing was captured
            assert replayed > 0
        assert captured == eager
        return captured
    return compare
