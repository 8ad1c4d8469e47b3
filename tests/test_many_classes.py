"""More classes than fit into one number per pixel, from a folder of pictures to scores; judged by NumPy alone."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglib import tasks
from seglib.configs import LossConfig, TrainConfig
from seglib.datasets import prepare, readers
from seglib.datasets.store import DatasetInfo, Split
from seglib.evaluation import evaluate
from seglib.files import write_json
from seglib.prediction.network import NetworkPredictor
from seglib.tools.showing import seen
from seglib.training import weights
from seglib.training.augment import Augment
from seglib.training.loop import Trainer
from tests.conftest import prepare_config
from tests.datasets.folders import CONFIG, save

SPLITS = {"train": 6, "val": 3, "test": 3}
SIDE, HEIGHT = 16, 12  # of the prepared pictures; of the pictures themselves, which are padded
VALID = slice(2, 14)  # rows
CASES = [("multilabel", 80), ("multilabel", 200), ("multiclass", 150)]


def truth_of(task: str, classes: int, name: str) -> np.ndarray:
    """Random planes: bool (K, H, W)."""
    random = np.random.default_rng(list(name.encode()))
    if task == "multilabel":
        return random.random((classes, HEIGHT, SIDE)) < 0.2
    numbers = random.permutation(HEIGHT * SIDE).reshape(HEIGHT, SIDE) % classes  # each of them occurs
    return numbers == np.arange(classes).reshape(-1, 1, 1)


def names_of(split: str) -> list[str]:
    return [f"{split}{i}" for i in range(SPLITS[split])]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int, Path]:
    """The task, the number of classes, and the prepared dataset."""
    task, classes = request.param
    root = tmp_path_factory.mktemp("mine")
    for split in SPLITS:
        (root / f"{split}.txt").write_text("\n".join(names_of(split)))
        for name in names_of(split):
            planes = truth_of(task, classes, name)
            save(root / f"images/{name}.png", np.random.default_rng(len(name)).integers(
                0, 256, (HEIGHT, SIDE, 3), np.uint8))
            if task == "multiclass":
                save(root / f"masks/{name}.png", planes.argmax(0).astype(np.uint8))
            for k, plane in enumerate(planes if task == "multilabel" else ()):
                save(root / f"masks/c{k}/{name}.png", plane * np.uint8(255))
    out = root / "prepared"
    out.mkdir()
    keys = CONFIG | {"path": str(root), "masks": "ids" if task == "multiclass" else "folders",
                     "classes": [f"c{k}" for k in range(classes)], "image_size": SIDE, "resize": "pad", "ignore": []}
    write_json(root / readers.SELECTION, {})
    prepare.prepare(root, prepare_config(keys), out)
    return task, classes, out


def config_of(training_config: Callable[..., TrainConfig], task: str, **settings: object) -> TrainConfig:
    config = training_config(batch_size=3, epochs=1, precision="fp32", snapshots=[1], output_bias="zero", lr=1e-5,
                             **settings)
    loss = (LossConfig(terms={"bce": 1.0}, options={}) if task == "multilabel" else
            LossConfig(terms={"ce": 1.0}, options={"class_weights": None}))
    return dataclasses.replace(config, loss=loss)


def test_prepared_masks_hold_all_classes(case: tuple[str, int, Path]):
    name, classes, dataset = case
    task, info = tasks.get(name), DatasetInfo.read(dataset)
    pixels = np.zeros(classes, int)
    for split in SPLITS:
        opened = Split.open(dataset, split)
        truth = np.stack([truth_of(name, classes, picture) for picture in opened.index()["id"]])
        assert sorted(opened.index()["id"]) == names_of(split) and opened.masks.shape == (SPLITS[split], SIDE, SIDE)
        np.testing.assert_array_equal(task.unpack(opened.masks, classes)[..., VALID, :], truth)
        ignored = np.ones((SIDE, SIDE), bool)
        ignored[VALID] = False
        assert (task.ignored(opened.masks) == ignored).all()
        if split == "train":
            pixels += truth.sum((0, 2, 3))
        else:
            np.testing.assert_array_equal([task.unpack(mask, classes) for mask in opened.own_masks()], truth)
    assert info.class_pixels == pixels.tolist() and info.task is task


def iou_of(predicted: np.ndarray, truth: np.ndarray) -> float:
    """The mean over classes of the split's intersection over its union; planes (N, K, H, W)."""
    both, either = ((of).sum((0, 2, 3)) for of in (predicted & truth, predicted | truth))
    return float((both[either > 0] / either[either > 0]).mean())


def test_a_training_and_its_scores(case: tuple[str, int, Path], training_config: Callable[..., TrainConfig],
                                   tmp_path: Path):
    name, classes, dataset = case
    task = tasks.get(name)
    outcome = Trainer(config_of(training_config, name, flip=0.5, rotation=10.0), dataset).run(title="test")
    weights.save(tmp_path / "weights.safetensors", outcome.state, outcome.header)
    predictor = NetworkPredictor(tmp_path / "weights.safetensors")
    for name_of_split in ("val", "test"):
        split = Split.open(dataset, name_of_split)
        truth = np.stack([truth_of(name, classes, picture) for picture in split.index()["id"]])
        shares = np.stack([predictor.shares(Image.fromarray(image)).cpu().numpy() for image in split.images])
        predicted = shares > 0.5 if name == "multilabel" else (
            shares.argmax(1)[:, None] == np.arange(classes).reshape(-1, 1, 1))
        assert 0.001 < predicted.mean() < 0.9
        found = evaluate(predictor, split, tolerance=1, boundary_band=None)
        np.testing.assert_array_equal(task.unpack(found.masks, classes), predicted)
        inside = predicted[..., VALID, :]
        for column, of in {"tp": inside & truth, "fp": inside & ~truth, "fn": ~inside & truth,
                           "tn": ~inside & ~truth}.items():
            assert found.counts[column].tolist() == of.sum((2, 3)).ravel().tolist()
            assert found.counts[f"own_{column}"].tolist() == of.sum((2, 3)).ravel().tolist()
        single = (truth.sum(1) == 1) & (inside.sum(1) == 1)
        expected = np.zeros((classes, classes), int)
        np.add.at(expected, (truth.argmax(1)[single], inside.argmax(1)[single]), 1)
        np.testing.assert_array_equal(found.confusion[:classes, :classes], expected)
        if name_of_split == "val":
            assert outcome.history[-1]["iou_score"] == pytest.approx(iou_of(inside, truth))
            outcome.snapshots.write(tmp_path / "snapshots.npz")
            with np.load(tmp_path / "snapshots.npz") as content:
                np.testing.assert_array_equal(task.unpack(content["masks"][0], classes),
                                              predicted[content["pictures"]])


def test_what_a_network_sees_is_shown_as_it_is_stored(case: tuple[str, int, Path],
                                                       training_config: Callable[..., TrainConfig]):
    """Mirrored for certain, nothing else."""
    name, classes, dataset = case
    train, config = Split.open(dataset, "train"), config_of(training_config, name, flip=1.0)
    augment = Augment(config.train.augment, config.seed, task=tasks.get(name), steps=2, batch_size=3,
                      device=torch.device("cpu"))
    for i in range(len(train)):
        image, mask = seen(train, i, augment, config, epoch=1)
        np.testing.assert_array_equal(image, train.images[i][:, ::-1])
        assert mask.dtype == train.masks.dtype and (mask == train.masks[i][:, ::-1]).all()


def test_a_killed_training_keeps_its_snapshots(case: tuple[str, int, Path], tmp_path: Path,
                                               training_config: Callable[..., TrainConfig]):
    name, _, dataset = case
    config, path = config_of(training_config, name), tmp_path / "last.pt"
    first = Trainer(config, dataset, checkpoint_path=path)
    first.run(title="test").snapshots.write(tmp_path / "first.npz")
    resumed = Trainer(config, dataset, checkpoint_path=path)
    assert resumed.epoch == 1
    resumed.run(title="test").snapshots.write(tmp_path / "resumed.npz")
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "resumed.npz").read_bytes()
