"""What a network predicts on a GPU, beside what the same weights predict on the CPU."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seglib.configs import TrainConfig
from seglib.datasets.store import Split
from seglib.evaluation import evaluate
from seglib.prediction.network import NetworkPredictor
from seglib.training import weights
from seglib.training.loop import Trainer
from tests.gpu.conftest import DEVICE

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gpu_and_cpu_agree_on_nearly_all_pixels(precision: str, gpu_config: Callable[..., TrainConfig],
                                                prepared_shapes: Path, tmp_path: Path):
    outcome = Trainer(gpu_config(precision=precision, epochs=6), prepared_shapes).run(title="test")
    masks = {}
    for device in (DEVICE, "cpu"):
        path = tmp_path / f"{device}.safetensors"
        weights.save(path, outcome.state, dataclasses.replace(outcome.header, device=device))
        predictor = NetworkPredictor(path)
        assert predictor.device.type == device
        masks[device] = evaluate(predictor, Split.open(prepared_shapes, "test"), tolerance=2, boundary_band=None).masks
    assert masks["cpu"].any()
    assert np.mean(masks[DEVICE] != masks["cpu"]) < 0.01


def test_evaluation_repeats_its_bytes(gpu_config: Callable[..., TrainConfig], prepared_shapes: Path, tmp_path: Path):
    outcome = Trainer(gpu_config(), prepared_shapes).run(title="test")
    weights.save(tmp_path / "weights.safetensors", outcome.state, outcome.header)
    first, second = (evaluate(NetworkPredictor(tmp_path / "weights.safetensors"),
                              Split.open(prepared_shapes, "val"), tolerance=2, boundary_band=None) for _ in range(2))
    assert first.counts.equals(second.counts)
    assert np.array_equal(first.masks, second.masks)
    assert np.array_equal(first.ranking_NKB2, second.ranking_NKB2)
