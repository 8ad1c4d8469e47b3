"""The baselines, against counts made by hand and against the prepared masks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from seglib import prediction, tasks
from seglib.configs import ModelConfig
from seglib.datasets.store import DatasetInfo, Split
from seglib.tasks.task import Task

INFO = DatasetInfo(task=tasks.get("multiclass"), classes=["a", "b", "c"], label_values=[1.0, 2.0, 3.0],
                   image_size=[2, 2], resize="stretch", class_pixels=[3, 7, 7], valid_pixels=17,
                   train_val_sha256="")


def shares_of(folder: Path, kind: str) -> np.ndarray:
    """What a baseline says of one picture, (K, H, W)."""
    predictor = prediction.build(ModelConfig(kind=kind, arguments={}), folder)
    image = torch.zeros(1, *predictor.image_size, 3, dtype=torch.uint8)
    return predictor.predict_batch(image).shares_BKHW[0].numpy()


def write(folder: Path, ids: np.ndarray, valid: np.ndarray, task: Task) -> Path:
    """A prepared train split whose pixels have these classes, (N, H, W); not valid: to be ignored."""
    planes_NKHW = ids[:, None] == np.arange(3)[:, None, None]
    masks = np.stack([task.pack(planes, ~known) for planes, known in zip(planes_NKHW, valid, strict=True)])
    (folder / "train").mkdir(parents=True)
    np.save(folder / "train/images.npy", np.zeros((*masks.shape, 3), np.uint8))
    np.save(folder / "train/masks.npy", masks)
    dataclasses.replace(INFO, task=task).write(folder)
    return folder


@pytest.fixture(params=["multiclass", "multilabel"])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Five masks of three classes at 2×2 pixels, of which 5, 4, 1 and 0 pixels count."""
    ids = np.array([[[0, 1], [2, 0]], [[0, 1], [0, 0]], [[0, 1], [0, 0]], [[0, 2], [0, 0]], [[1, 0], [0, 0]]])
    valid = np.zeros((5, 2, 2), bool)
    valid[:, 0, 0] = valid[:4, 0, 1] = valid[:1, 1, 0] = True
    return write(tmp_path, ids, valid, tasks.get(request.param))


def test_frequencies_follow_laplaces_rule(counted: Path):
    shares = shares_of(counted, "frequency").transpose(1, 2, 0)
    expected = {"multiclass": [[[5 / 8, 2 / 8, 1 / 8], [1 / 7, 4 / 7, 2 / 7]], [[1 / 4, 1 / 4, 2 / 4], [1 / 3] * 3]],
                "multilabel": [[[5 / 7, 2 / 7, 1 / 7], [1 / 6, 4 / 6, 2 / 6]], [[1 / 3, 1 / 3, 2 / 3], [1 / 2] * 3]]}
    np.testing.assert_allclose(shares, expected[DatasetInfo.read(counted).task.name], rtol=1e-6)


def test_frequency_is_the_mean_of_the_training_masks(prepared_shapes: Path):
    planes = tasks.get("multilabel").unpack(np.asarray(Split.open(prepared_shapes, "train").masks), 5)
    expected = (planes.sum(0) + 1) / (len(planes) + 2)
    np.testing.assert_allclose(shares_of(prepared_shapes, "frequency"), expected, rtol=1e-5)


def test_background_and_foreground_paint_nothing_and_everything(prepared_shapes: Path):
    assert (shares_of(prepared_shapes, "background") == 0).all()
    assert (shares_of(prepared_shapes, "foreground") == 1).all()


def test_the_most_frequent_class_is_painted_everywhere(tmp_path: Path):
    """Of two equally frequent ones, the first."""
    INFO.write(tmp_path)
    shares_KHW = shares_of(tmp_path, "most_frequent")
    assert (shares_KHW[1] == 1).all() and (shares_KHW[[0, 2]] == 0).all()


def test_an_unknown_kind_is_an_error(prepared_shapes: Path):
    with pytest.raises(ValueError, match="frequency"):
        prediction.build(ModelConfig(kind="frequencies", arguments={}), prepared_shapes)
