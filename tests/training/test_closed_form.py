"""A model without gradients goes the same way as any other: weights, header, history, snapshots."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seglib import tasks
from seglib.datasets.store import Split
from seglib.training import closed_form, weights
from seglib.training.inference import Predictor

CONFIG: dict[str, Any] = {
    "model": {"kind": "frequency"}, "loss": {"terms": {}}, "seed": None,
    "train": {"pixels": "unit", "targets": "unit", "output": "sigmoid", "batch_size": 7, "device": "cpu",
              "precision": "fp32", "threads": 1}}


def truth(dataset: Path, split: str, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Planes (N, K, H, W) and valid pixels (N, 1, H, W)."""
    masks = np.asarray(Split.open(dataset, split).masks)
    return tasks.get(task).unpack(masks, 5), ~tasks.get(task).ignored(masks)[:, None]


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
def test_it_counts_how_often_each_class_is_there(request: pytest.FixtureRequest, tmp_path: Path, task: str):
    dataset = request.getfixturevalue("prepared_shapes" if task == "multilabel" else "multiclass_shapes")
    told = []
    outcome = closed_form.fit(CONFIG, dataset, title="test", on_epoch=told.append)
    weights.save(tmp_path / "weights.safetensors", outcome.state, outcome.header)
    predictor = Predictor(tmp_path / "weights.safetensors")

    planes, valid = truth(dataset, "train", task)
    times, seen = (planes & valid).sum(0), valid.sum(0)
    shares = (times + 1) / (seen + (5 if task == "multiclass" else 2))
    share = predictor.encoding.share_of_target(predictor.logits(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)))
    np.testing.assert_allclose(share[0].numpy(), shares, rtol=1e-5)

    assert told == [outcome.history] and [row["split"] for row in outcome.history] == ["train", "val"]
    said = predictor.encoding.present_of(torch.from_numpy(shares)).numpy()
    for row in outcome.history:
        planes, valid = truth(dataset, row["split"], task)
        hit, union = (said & planes & valid).sum((0, 2, 3)), ((said | planes) & valid).sum((0, 2, 3))
        held = (planes & valid).any((0, 2, 3))
        assert row["loss"] is None and row["span"] == "epoch"
        assert row["iou_score"] == pytest.approx((hit[held] / union[held]).mean())


def test_it_ends_in_the_same_bytes(prepared_shapes: Path, tmp_path: Path):
    first, second = (closed_form.fit(CONFIG, prepared_shapes, title="test") for _ in range(2))
    for name, outcome in (("first", first), ("second", second)):
        weights.save(tmp_path / name, outcome.state, outcome.header)
        outcome.snapshots.write(tmp_path / f"{name}.npz")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert np.load(tmp_path / "first.npz")["masks"].shape == (0, 4, 64, 64)
