"""Snapshots: the masks of a few val pictures after chosen epochs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from seglib import tasks
from seglib.configs import TrainConfig
from seglib.datasets.store import Split
from seglib.prediction.network import NetworkPredictor
from seglib.training import checkpoint, weights
from seglib.training.loop import Trainer
from seglib.training.snapshots import Snapshots

Make = Callable[..., TrainConfig]


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
def test_a_snapshot_is_what_the_weights_of_its_epoch_predict(
        request: pytest.FixtureRequest, training_config: Make, tmp_path: Path, task: str):
    dataset = request.getfixturevalue("prepared_shapes" if task == "multilabel" else "multiclass_shapes")
    training = Trainer(training_config("mse", epochs=3, snapshots=[1, 3, 9], precision="fp32"), dataset)
    predicted = []

    def predict(rows: list) -> None:
        weights.save(tmp_path / "weights", training.network.state_dict(), training.setup.header)
        predictor, val = NetworkPredictor(tmp_path / "weights"), Split.open(dataset, "val")
        logits = predictor.logits(torch.from_numpy(np.array(val.images))).numpy()
        bits_NKHW = (logits > 0) << np.arange(5).reshape(5, 1, 1)
        predicted.append(logits.argmax(1) if task == "multiclass" else bits_NKHW.sum(1))

    training.run(title="test", on_epoch=predict).snapshots.write(tmp_path / "snapshots.npz")
    content = np.load(tmp_path / "snapshots.npz")
    assert content["epochs"].tolist() == [1, 3]
    assert content["pictures"].tolist() == [0, 3, 6, 9]
    assert content["masks"].dtype == np.uint8
    for masks, of_epoch in zip(content["masks"], (predicted[0], predicted[2]), strict=True):
        np.testing.assert_array_equal(masks, of_epoch[[0, 3, 6, 9]])


def test_masks_of_many_classes_outlive_a_checkpoint(tmp_path: Path):
    """20 classes take 32 bits a pixel."""
    planes = np.random.default_rng(0).random((3, 20, 5, 6)) < 0.5
    masks = np.stack([tasks.get("multilabel").pack(each) for each in planes])
    split = Split(np.zeros((3, 5, 6, 3), np.uint8), masks, tmp_path)
    first, second = (Snapshots([2], split, tasks.get("multilabel")) for _ in range(2))
    first.take(1, lambda images: torch.zeros(3, 20, 5, 6, dtype=torch.bool))
    first.take(2, lambda images: torch.from_numpy(planes))
    checkpoint.save(tmp_path / "last.pt", first.state_dict())
    second.load_state_dict(checkpoint.load(tmp_path / "last.pt"))
    for name, snapshots in (("first", first), ("second", second)):
        snapshots.write(tmp_path / f"{name}.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "first.npz")["masks"], masks[None])
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


def test_none_wanted_is_an_empty_file_and_few_pictures_are_all(prepared_shapes: Path, tmp_path: Path):
    val = Split.open(prepared_shapes, "val")
    few = Split(val.images[:3], val.masks[:3], val.folder)
    Snapshots([], few, tasks.get("multilabel")).write(tmp_path / "snapshots.npz")
    content = np.load(tmp_path / "snapshots.npz")
    assert content["masks"].shape == (0, 3, 64, 64) and content["masks"].dtype == few.masks.dtype
    assert content["pictures"].tolist() == [0, 1, 2]
