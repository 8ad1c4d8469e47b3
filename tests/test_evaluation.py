"""Evaluation of made-up outputs: what is counted equals what is written, and ignored pixels count nowhere."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from PIL import Image
from sklearn.metrics import average_precision_score, confusion_matrix

from seglib import evaluation, models, tasks
from seglib.configs import ModelConfig
from seglib.datasets.store import Split
from seglib.evaluation import SplitResult
from seglib.metrics import pictures
from seglib.metrics.counts import COUNTS
from seglib.metrics.ranking import average_precision
from seglib.pipeline.locks import SpareCores
from seglib.pipeline.workspace import PredictorFiles
from seglib.prediction.hints import Hint
from seglib.prediction.network import NetworkPredictor
from seglib.prediction.predictor import Prediction, Predictor
from seglib.training import weights
from seglib.training.header import Header
from tests.comparison.synthetic import CLASSES, MadeUp, exclusive, logits_of, objects, spoiled, write_dataset

PICTURES = 7


def evaluated(folder: Path, monkeypatch: pytest.MonkeyPatch, truth: np.ndarray, logits: np.ndarray,
              ignore: np.ndarray | None = None, *, targets: str = "unit", task: str = "multilabel",
              resize: str = "stretch", own: list[np.ndarray] | None = None) -> SplitResult:
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_dataset({"test": truth}, None if ignore is None else {"test": ignore}, task=task, resize=resize,
                  own=None if own is None else {"test": own})
    monkeypatch.setattr(evaluation, "LARGEST_BATCH", 3)  # batches that do not divide the pictures
    monkeypatch.setattr(pictures, "PART_PIXELS", 2 * truth[0].size)  # nor parts the batches
    split = Split.open(Path("data/prepared/shapes"), "test")
    predictor = MadeUp({"test": logits}, targets=targets, task=task, resize=resize)
    return evaluation.evaluate(predictor, split, tolerance=1, boundary_band=None)


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, logits, and pixels to ignore: those of three pictures, one of them wholly."""
    random = np.random.default_rng(4)
    truth = objects(random, PICTURES)
    ignore = random.random((PICTURES, *truth.shape[2:])) < np.array([0.3, 0, 0, 1, 0.5, 0, 0])[:, None, None]
    return truth, logits_of(random, spoiled(random, truth, 0.1)), ignore


def test_counts_equal_those_of_the_written_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 case: tuple[np.ndarray, ...]):
    truth, logits, _ = case
    found = evaluated(tmp_path / "x", monkeypatch, truth, logits)
    predicted = tasks.get("multilabel").unpack(found.masks, len(CLASSES))
    np.testing.assert_array_equal(predicted, logits > 0)
    assert found.counts["image"].tolist() == [f"test-{n}" for n in range(PICTURES) for _ in CLASSES]
    assert found.counts["class"].tolist() == CLASSES * PICTURES
    for row, t, p in zip(found.counts.itertuples(), truth.reshape(-1, truth[0, 0].size),
                         predicted.reshape(-1, truth[0, 0].size), strict=True):
        (tn, fp), (fn, tp) = confusion_matrix(t, p, labels=[False, True])
        assert (row.tp, row.fp, row.fn, row.tn) == (tp, fp, fn, tn)
    assert found.ranking.counts.sum() == found.ranking_NKB2.sum() == truth.size
    np.testing.assert_array_equal(found.ranking.counts.sum(1)[:, 1], truth.sum((0, 2, 3)))
    areas = found.objects.groupby(["image", "class"])["area"].sum().to_dict()
    assert areas == {(f"test-{n}", k): truth[n, k].sum() for n, k in np.argwhere(truth.any((2, 3))).tolist()}
    assert found.confusion.sum() == (truth.sum(1) <= 1).sum()


def test_ignored_pixels_count_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[np.ndarray, ...]):
    """Whatever truth and network say there, nothing that is counted moves."""
    truth, logits, ignore = case
    hidden = np.broadcast_to(ignore[:, None], truth.shape)
    first = evaluated(tmp_path / "first", monkeypatch, truth, logits, ignore)
    other = evaluated(tmp_path / "other", monkeypatch, truth ^ hidden, np.where(hidden, -logits, logits), ignore)
    pd.testing.assert_frame_equal(first.counts, other.counts)
    pd.testing.assert_frame_equal(first.objects, other.objects)
    np.testing.assert_array_equal(first.confusion, other.confusion)
    np.testing.assert_array_equal(first.ranking.counts, other.ranking.counts)
    np.testing.assert_array_equal(first.ranking_NKB2, other.ranking_NKB2)
    pixels = first.counts[["tp", "fp", "fn", "tn"]].sum(axis=1).to_numpy().reshape(PICTURES, -1)
    assert (pixels == (~ignore).sum((1, 2))[:, None]).all()
    assert first.ranking.counts.sum() == first.ranking_NKB2.sum() == (~hidden).sum()


def test_ignored_pixels_do_not_touch_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                case: tuple[np.ndarray, ...]):
    """Pictures with nothing to ignore have the counts that they have alone."""
    truth, logits, ignore = case
    first = evaluated(tmp_path / "first", monkeypatch, truth, logits, ignore).counts
    plain = evaluated(tmp_path / "plain", monkeypatch, truth, logits).counts
    untouched = np.repeat(~ignore.any((1, 2)), len(CLASSES))
    pd.testing.assert_frame_equal(first[untouched], plain[untouched])
    assert not first.equals(plain)


def test_a_wholly_ignored_picture_has_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              case: tuple[np.ndarray, ...]):
    truth, logits, ignore = case
    found = evaluated(tmp_path / "x", monkeypatch, truth, logits, ignore)
    rows = found.counts[found.counts["image"] == "test-3"]
    assert (rows.drop(columns=["split", "image", "class", "hd95", "displayed"]) == 0).all(axis=None)
    assert rows["hd95"].isna().all() and "test-3" not in set(found.objects["image"])


def test_a_perfect_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    truth = objects(np.random.default_rng(6), PICTURES)
    found = evaluated(tmp_path / "x", monkeypatch, truth, np.where(truth, 2, -2).astype(np.float32))
    counts = found.counts
    assert not counts[["fp", "fn", "boundary_fp", "boundary_fn", "specks"]].any(axis=None)
    assert (counts["surface_hits"] == counts["surface_total"]).all() and set(counts["hd95"].dropna()) == {0}
    assert (found.objects["found"] == found.objects["area"]).all()
    assert (found.objects["taken_for"] == found.objects["class"]).all()
    np.testing.assert_array_equal(average_precision(found.ranking.counts), [1, 1, 1, np.nan])


def test_label_values_are_displayed_and_others_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    truth = objects(np.random.default_rng(7), PICTURES)
    outputs = (truth * np.array([50, 100, 60, 200])[:, None, None]).astype(np.float32)  # 60 is no box's value
    found = evaluated(tmp_path / "label", monkeypatch, truth, outputs, targets="label").counts
    by_class = found.groupby("class")
    assert by_class["displayed"].sum()[["disk", "star", "box"]].tolist() == [*truth.sum((0, 2, 3))[:2], 0]
    assert by_class["tp"].sum()["box"] == 0  # 60 is below half of 150
    assert evaluated(tmp_path / "unit", monkeypatch, truth, outputs - 1).counts["displayed"].isna().all()


def test_ignored_pixels_are_not_displayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                          case: tuple[np.ndarray, ...]):
    truth, _, ignore = case
    outputs = (truth * np.array([50, 100, 150, 200])[:, None, None]).astype(np.float32)
    found = evaluated(tmp_path / "x", monkeypatch, truth, outputs, ignore, targets="label").counts
    np.testing.assert_array_equal(found["displayed"], (truth & ~ignore[:, None]).sum((2, 3)).ravel())


@pytest.fixture
def exclusive_case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    truth = exclusive(objects(random, PICTURES))
    ignore = random.random((PICTURES, *truth.shape[2:])) < 0.2
    return truth, random.normal(size=truth.shape).astype(np.float32) + truth, ignore


def test_exclusive_classes_are_the_largest_output_and_their_confusion_is_scikit_learns(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exclusive_case: tuple[np.ndarray, ...]):
    truth, logits, ignore = exclusive_case
    found = evaluated(tmp_path / "x", monkeypatch, truth, logits, ignore, task="multiclass")
    np.testing.assert_array_equal(found.masks, logits.argmax(1))
    expected = confusion_matrix(truth.argmax(1)[~ignore], logits.argmax(1)[~ignore], labels=range(4))
    np.testing.assert_array_equal(found.confusion[:4, :4], expected)
    assert found.confusion.sum() == expected.sum() == (~ignore).sum()
    sums = found.counts.groupby("class", sort=False)[["tp", "fp", "fn", "tn"]].sum().to_numpy()
    np.testing.assert_array_equal(sums[:, 0], expected.diagonal())
    np.testing.assert_array_equal(sums[:, 1], expected.sum(0) - expected.diagonal())
    np.testing.assert_array_equal(sums[:, 2], expected.sum(1) - expected.diagonal())
    probabilities = torch.from_numpy(logits).softmax(1).numpy()
    for k in range(4):
        exact = average_precision_score(truth[:, k][~ignore], probabilities[:, k][~ignore])
        assert average_precision(found.ranking.counts)[k] == pytest.approx(exact, abs=0.02)  # interpolated, in bins


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
def test_without_own_masks_own_counts_are_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     exclusive_case: tuple[np.ndarray, ...], task: str):
    truth, logits, ignore = exclusive_case
    counts = evaluated(tmp_path / "x", monkeypatch, truth, logits, ignore, task=task).counts
    for name in COUNTS:
        np.testing.assert_array_equal(counts[f"own_{name}"], counts[name])


SIZES = [(14, 14), (28, 21), (9, 30), (14, 40), (100, 7), (3, 3), (20, 20)]


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
def test_counts_at_own_size_are_those_of_resized_probabilities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                              exclusive_case: tuple[np.ndarray, ...], task: str):
    """Pillow resizes, scikit-learn counts."""
    truth, logits, _ = exclusive_case
    random = np.random.default_rng(8)
    tensor = torch.from_numpy(logits)
    probabilities = (tensor.softmax(1) if task == "multiclass" else tensor.sigmoid()).numpy()
    own = [tasks.get(task).pack(random.random((4, *size)) < 0.4, random.random(size) < 0.3) for size in SIZES]
    counts = evaluated(tmp_path / "x", monkeypatch, truth, logits, own=own, task=task).counts
    for n, (height, width) in enumerate(SIZES):
        resized = np.stack([np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))
                            for plane in probabilities[n]])
        said = resized.argmax(0) == np.arange(4)[:, None, None] if task == "multiclass" else resized > 0.5
        valid = ~tasks.get(task).ignored(own[n])
        found = counts.loc[counts["image"] == f"test-{n}", ["own_tp", "own_fp", "own_fn", "own_tn"]].to_numpy()
        for k, true in enumerate(tasks.get(task).unpack(own[n], 4)):
            (tn, fp), (fn, tp) = confusion_matrix(true[valid], said[k][valid], labels=[False, True])
            np.testing.assert_allclose(found[k], [tp, fp, fn, tn], atol=1)  # a probability may round to either side
    assert found.sum() == 4 * valid.sum() and (counts["tp"] != counts["own_tp"]).any()


def test_what_was_cropped_away_is_predicted_as_no_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A picture twice as wide as high: of each side a quarter was never seen."""
    truth = np.zeros((PICTURES, 4, 14, 14), bool)
    truth[:, 0] = True
    for task in ("multilabel", "multiclass"):
        everywhere = np.zeros((4, 10, 20), bool)
        everywhere[0] = True
        own = [tasks.get(task).pack(everywhere)] * PICTURES
        counts = evaluated(tmp_path / task, monkeypatch, truth, np.where(truth, 5, -5).astype(np.float32), own=own,
                           task=task, resize="crop").counts
        disk = counts[counts["class"] == "disk"]
        assert (disk[["own_tp", "own_fp", "own_fn", "own_tn"]] == [100, 0, 100, 0]).all(axis=None)
        assert (counts[counts["class"] == "star"][["own_tp", "own_fp", "own_fn"]] == 0).all(axis=None)


class Boxes(Predictor):
    """Paints the boxes that it is told of."""

    hint = "boxes"

    def predict_batch(self, images_BHWC: torch.Tensor, hints: list[Hint] | None = None) -> Prediction:
        shares_BKHW = torch.zeros(len(images_BHWC), len(self.classes), *self.image_size)
        for shares_KHW, hint in zip(shares_BKHW, hints, strict=True):
            for k, (left, top, right, bottom) in zip(hint.classes_N, hint.boxes_N4, strict=True):
                shares_KHW[k, top:bottom, left:right] = 1
        return Prediction(shares_BKHW=shares_BKHW, certainty_BKHW=shares_BKHW - 0.5)


class Told(Boxes):
    """Declares no hint, and fails if it gets one."""

    hint = None

    def predict_batch(self, images_BHWC: torch.Tensor, hints: list[Hint] | None = None) -> Prediction:
        assert hints is None
        nothing = [Hint(classes_N=np.zeros(0, int), boxes_N4=np.zeros((0, 4), int))] * len(images_BHWC)
        return super().predict_batch(images_BHWC, nothing)


@pytest.mark.parametrize("kind", [Boxes, Told])
def test_only_a_predictor_that_declares_a_hint_is_told_of_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                     kind: type[Predictor]):
    """One rectangle of a class in each picture: its box is the object. An ignored part is in no hint."""
    monkeypatch.chdir(tmp_path)
    truth = np.zeros((PICTURES, 4, 14, 14), bool)
    for n in range(PICTURES):
        truth[n, n % 3, 2:6 + n, 3:9] = True
    ignore = np.zeros((PICTURES, 14, 14), bool)
    ignore[:, :4] = True
    write_dataset({"test": truth}, {"test": ignore})
    predictor = kind(classes=CLASSES, task=tasks.get("multilabel"), image_size=(14, 14), resize="stretch",
                     device=torch.device("cpu"))
    split = Split.open(Path("data/prepared/shapes"), "test")
    counts = evaluation.evaluate(predictor, split, tolerance=1, boundary_band=None).counts
    found = counts["tp" if kind is Boxes else "fn"].to_numpy().reshape(PICTURES, 4)
    np.testing.assert_array_equal(found, (truth & ~ignore[:, None]).sum((2, 3)))
    assert (counts[["fp", "fn" if kind is Boxes else "tp"]] == 0).all(axis=None)


@pytest.fixture
def splits_with_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prepared pictures with ignored pixels and masks at their own sizes; the file of a network with random weights."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(8)
    truth = {"val": objects(random, 5), "test": objects(random, PICTURES)}
    ignore = {name: random.random((len(planes), *planes.shape[2:])) < 0.1 for name, planes in truth.items()}
    own = {name: [tasks.get("multilabel").pack(random.random((4, *random.integers(8, 30, 2))) < 0.3) for _ in planes]
           for name, planes in truth.items()}
    write_dataset(truth, ignore, own=own)
    model = {"kind": "convnet", "width": 4, "layers": 2, "norm": "batch"}
    state = models.build(ModelConfig.of(model), classes=4, image_size=(14, 14)).state_dict()
    weights.save(tmp_path / "weights.safetensors", state, Header(
        model=model, classes=CLASSES, label_values=[1.0] * 4, task="multilabel", image_size=[14, 14], resize="stretch",
        pixels="unit", targets="unit", output="sigmoid", device="cpu", precision="fp32", threads=1))
    return tmp_path / "weights.safetensors"


@pytest.mark.parametrize("threads", [1, 2])
def test_the_files_have_the_same_bytes_whatever_the_number_of_processes(
        splits_with_a_network: Path, monkeypatch: pytest.MonkeyPatch, threads: int):
    """With one thread, each process predicts and counts. With two, this process predicts and the others count."""
    monkeypatch.setattr(evaluation, "LARGEST_BATCH", 2)
    predictor = NetworkPredictor(splits_with_a_network)
    torch.set_num_threads(threads)
    forked, fork = [], os.fork
    monkeypatch.setattr(os, "fork", lambda: forked.append(os.getpid()) or fork())
    written = {}
    for count in (0, 1, 3):
        spare = SpareCores([FileLock(f"core-{core}") for core in range(count)], FileLock("waiting"))
        found = evaluation.evaluate_splits(predictor, Path("data/prepared/shapes"), tolerance=2, boundary_band=None,
                                           spare=spare)
        files = PredictorFiles(Path(f"results-{count}"))
        evaluation.write(found, files, predictor={}, tolerance=2, boundary_band=None, weights_sha256=None)
        written[count] = {path.name: path.read_bytes() for path in files.results.iterdir()}
    assert len(written[0]) == 6 and written[0] == written[1] == written[3]
    assert len(forked) == (2 + 4 if threads == 1 else 1 + 3)
