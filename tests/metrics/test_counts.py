"""Counts against brute force, scores against scikit-learn, the empty-mask rule by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from seglib.metrics import scores
from seglib.metrics.counts import COUNTS, SCORES, class_scores, count_BK4, image_scores, mean_score


def planes(*rows: str) -> torch.Tensor:
    """(1, 1, H, W) from rows of "#" and "."."""
    return torch.tensor([[[[pixel == "#" for pixel in row] for row in rows]]])


def counts(predicted: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor | None = None) -> list[int]:
    return count_BK4(predicted, truth, valid)[0, 0].tolist()


@pytest.mark.parametrize(("predicted", "truth", "expected"), [
    (planes("##.."), planes("##.."), [2, 0, 0, 2]),
    (planes("##.."), planes("..##"), [0, 2, 2, 0]),
    (planes("##.."), planes(".##."), [1, 1, 1, 1]),
    (planes("...."), planes("...."), [0, 0, 0, 4]),
    (planes("####"), planes("####"), [4, 0, 0, 0]),
    (planes("...."), planes("#..."), [0, 0, 1, 3]),
])
def test_counts_by_hand(predicted: torch.Tensor, truth: torch.Tensor, expected: list[int]):
    assert counts(predicted, truth) == expected


def test_ignored_pixels_are_in_no_count():
    assert counts(planes("##.."), planes("#..#"), planes("##..")) == [1, 1, 0, 0]


@given(st.integers(0, 2**31), st.floats(0, 1))
def test_counts_equal_scikit_learns_confusion_matrix(seed: int, density: float):
    random = np.random.default_rng(seed)
    predicted, truth = random.random((2, 3, 2, 5, 7)) < density
    found = count_BK4(torch.from_numpy(predicted), torch.from_numpy(truth))
    for b in range(3):
        for k in range(2):
            tn, fp, fn, tp = sk.confusion_matrix(truth[b, k].ravel(), predicted[b, k].ravel(), labels=[0, 1]).ravel()
            assert found[b, k].tolist() == [tp, fp, fn, tn]


SKLEARN = {"iou": sk.jaccard_score, "dice": sk.f1_score, "precision": sk.precision_score, "recall": sk.recall_score,
           "pixel_accuracy": sk.accuracy_score}


@pytest.mark.parametrize("name", SKLEARN)
def test_scores_equal_scikit_learns(name: str):
    random = np.random.default_rng(1)
    predicted, truth = random.random((2, 4, 3, 6, 6)) < 0.4
    found = count_BK4(torch.from_numpy(predicted), torch.from_numpy(truth)).numpy()
    by_class = class_scores(found)
    for k in range(3):
        an_image = [SKLEARN[name](truth[n, k].ravel(), predicted[n, k].ravel()) for n in range(4)]
        np.testing.assert_allclose(image_scores(found, name)[:, k], an_image)
        assert by_class[f"{name}_image_mean"][k] == pytest.approx(np.mean(an_image))
        pooled = SKLEARN[name](truth[:, k].ravel(), predicted[:, k].ravel())
        assert by_class[f"{name}_dataset"][k] == pytest.approx(pooled)
    assert set(SKLEARN) == {score.name for score in SCORES}


def test_the_empty_mask_rule():
    # Four images of one class: nothing there and nothing found; a false alarm; found; missed.
    counts_NK4 = np.array([[[0, 0, 0, 9]], [[0, 2, 0, 7]], [[4, 0, 0, 5]], [[0, 0, 3, 6]]])
    np.testing.assert_equal(image_scores(counts_NK4, "iou")[:, 0], [np.nan, 0, 1, 0])
    assert class_scores(counts_NK4)["iou_image_mean"][0] == pytest.approx(1 / 3)
    assert class_scores(counts_NK4)["iou_dataset"][0] == pytest.approx(4 / 9)


def test_a_class_that_is_never_predicted_has_precision_0():
    counts_NK4 = np.array([[[0, 0, 3, 6], [4, 0, 0, 5]]])
    np.testing.assert_array_equal(class_scores(counts_NK4)["precision_dataset"], [0, 1])
    np.testing.assert_array_equal(class_scores(counts_NK4)["precision_image_mean"], [0, 1])


def test_an_absent_class_has_no_score_and_no_part_in_the_mean():
    counts_NK4 = np.array([[[4, 0, 0, 5], [0, 2, 0, 7]]])
    by_class = class_scores(counts_NK4)["iou_dataset"]
    assert by_class[0] == 1 and math.isnan(by_class[1])
    assert mean_score(by_class) == 1
    assert math.isnan(mean_score(np.array([np.nan])))


@given(st.lists(st.tuples(*[st.integers(0, 1000)] * 4), min_size=1, max_size=5))
def test_laws(rows: list[tuple[int, int, int, int]]):
    counts_NK4 = np.array(rows)[:, None]
    iou, dice = image_scores(counts_NK4, "iou"), image_scores(counts_NK4, "dice")
    np.testing.assert_allclose(dice, 2 * iou / (1 + iou))
    scored = ~np.isnan(iou)
    assert ((iou[scored] >= 0) & (dice[scored] <= 1)).all()
    swapped = counts_NK4[..., [0, 2, 1, 3]]  # truth and prediction change places
    np.testing.assert_array_equal(image_scores(swapped, "iou"), iou)
    np.testing.assert_array_equal(image_scores(swapped, "precision"), image_scores(counts_NK4, "recall"))


def test_summary_reads_the_table_and_writes_none_for_what_is_not_there():
    table = pd.DataFrame([
        {"split": split, "image": image, "class": name, **dict(zip(COUNTS, values, strict=True))}
        for split in ("val", "test") for image in ("a", "b")
        for name, values in (("cat", (4, 0, 0, 5)), ("dog", (0, 0, 0, 9)))])
    summary = scores.summarize(table, ["cat", "dog"])["test"]
    assert summary["images"] == 2
    assert summary["images_with_class"] == {"cat": 2, "dog": 0}
    assert summary["classes"]["dog"]["iou_dataset"] is None
    assert summary["mean"]["iou_dataset"] == 1
