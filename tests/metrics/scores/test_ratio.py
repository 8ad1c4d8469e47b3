"""Ratios against scikit-learn; rules and groups of objects by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from seglib.metrics.cases import COLUMNS, GROUPS, Cases, cases_of, size_edges
from seglib.metrics.counts import count_BK4
from seglib.metrics.overlap import COUNTS
from seglib.metrics.scores import BY_NAME, class_scores
from seglib.metrics.scores.score import mean_score
from tests.metrics.test_cases import OBJECTS, tables

SKLEARN = {"iou": sk.jaccard_score, "dice": sk.f1_score, "precision": sk.precision_score, "recall": sk.recall_score,
           "specificity": lambda truth, predicted: sk.recall_score(~truth, ~predicted),
           "pixel_accuracy": sk.accuracy_score}
SHARES = [[1, 0, 0, 1 / 4], [1 / 2, 1, 1 / 20, 1, 0]]  # by class, the share of each object that is found


def cases(**columns: Any) -> Cases:
    """Cases (N, K) of the columns that a test is about; nothing in the others."""
    shape = np.shape(next(iter(columns.values())))
    empty = dict.fromkeys(COLUMNS, np.zeros(shape)) | {name: np.full(shape, np.nan) for name in ("hd95", "displayed")}
    empty |= {name + suffix: np.zeros(shape) for name in ("objects", "found", "missed", "wrong")
              for suffix in ("", *(f" {kind} {which}" for kind, which in GROUPS))}
    return Cases(empty | {name: np.asarray(values, np.float64) for name, values in columns.items()})


def of_counts(counts_NK4: Any) -> Cases:
    return cases(**{name: np.asarray(counts_NK4)[..., i] for i, name in enumerate(COUNTS)})


def by_picture(found: Cases, base: str) -> np.ndarray:
    """The scores of pictures, which do not depend on how they are aggregated."""
    pooled, mean = (BY_NAME[f"{base}_{aggregation}"].by_picture(found) for aggregation in ("dataset", "image_mean"))
    np.testing.assert_array_equal(pooled, mean)
    return pooled


@pytest.mark.parametrize("name", SKLEARN)
def test_pixel_scores_equal_scikit_learns(name: str):
    random = np.random.default_rng(1)
    predicted, truth = random.random((2, 4, 3, 6, 6)) < 0.4
    counts = count_BK4(torch.from_numpy(predicted), torch.from_numpy(truth)).numpy()
    found, pictures = class_scores(of_counts(counts)), by_picture(of_counts(counts), name)
    for k in range(3):
        an_image = [SKLEARN[name](truth[n, k].ravel(), predicted[n, k].ravel()) for n in range(4)]
        np.testing.assert_allclose(pictures[:, k], an_image)
        assert found[f"{name}_image_mean"][k] == pytest.approx(np.mean(an_image))
        pooled = SKLEARN[name](truth[:, k].ravel(), predicted[:, k].ravel())
        assert found[f"{name}_dataset"][k] == pytest.approx(pooled)


def test_scores_at_own_size_are_those_of_own_counts():
    random = np.random.default_rng(5)
    counts, own = random.integers(0, 50, (2, 6, 3, 4))
    own[:, 1, [0, 2]] = 0  # a class that is there at the network's size alone
    at_own_size = {f"own_{name}": of_counts(own)[name] for name in COUNTS}
    found, expected = class_scores(cases(**of_counts(counts).columns | at_own_size)), class_scores(of_counts(own))
    for name in ("iou", "dice"):
        for kind in ("dataset", "image_mean"):
            np.testing.assert_array_equal(found[f"{name}_own_{kind}"], expected[f"{name}_{kind}"])
            assert math.isnan(found[f"{name}_own_{kind}"][1]) and not math.isnan(found[f"{name}_{kind}"][1])


def test_overall_accuracy_of_exclusive_classes_is_scikit_learns():
    random = np.random.default_rng(6)
    truth, said = random.integers(0, 4, (2, 5, 8, 8))
    truth[truth == 3] = 2  # the last class is in no truth
    planes = [torch.from_numpy(labels[:, None] == np.arange(4)[:, None, None]) for labels in (said, truth)]
    found = class_scores(of_counts(count_BK4(*planes).numpy()))["overall_accuracy"]
    assert mean_score(found) == pytest.approx(sk.accuracy_score(truth.ravel(), said.ravel()))
    assert math.isnan(found[3])


def test_the_empty_mask_rule():
    # Four images of one class: nothing there and nothing found; a false alarm; found; missed.
    found = of_counts([[[0, 0, 0, 9]], [[0, 2, 0, 7]], [[4, 0, 0, 5]], [[0, 0, 3, 6]]])
    np.testing.assert_equal(by_picture(found, "iou")[:, 0], [np.nan, 0, 1, 0])
    np.testing.assert_equal(by_picture(found, "dice")[:, 0], [np.nan, 0, 1, 0])
    assert class_scores(found)["iou_image_mean"][0] == pytest.approx(1 / 3)
    assert class_scores(found)["iou_dataset"][0] == pytest.approx(4 / 9)


def test_a_class_that_is_never_predicted_has_precision_0():
    found = class_scores(of_counts([[[0, 0, 3, 6], [4, 0, 0, 5]], [[0, 0, 0, 9], [4, 4, 0, 1]]]))
    np.testing.assert_allclose(found["precision_dataset"], [0, 8 / 12])
    np.testing.assert_allclose(found["precision_image_mean"], [0, 3 / 4])


def test_an_absent_class_has_no_score_and_no_part_in_the_mean():
    found = class_scores(of_counts([[[4, 0, 0, 5], [0, 2, 0, 7]]]))
    for name in ("iou_dataset", "iou_image_mean", "specificity_dataset", "pixel_accuracy_dataset", "specks"):
        assert not math.isnan(found[name][0]) and math.isnan(found[name][1]), name
    assert mean_score(found["iou_dataset"]) == 1
    assert math.isnan(mean_score(np.array([np.nan])))


COUNTS_NK4 = st.lists(st.tuples(*[st.integers(0, 1000)] * 4), min_size=1, max_size=5).map(
    lambda rows: np.array(rows)[:, None])


@given(COUNTS_NK4)
def test_dice_follows_from_iou_on_the_same_counts(counts_NK4: np.ndarray):
    found = of_counts(counts_NK4)
    iou, dice = by_picture(found, "iou"), by_picture(found, "dice")
    np.testing.assert_allclose(dice, 2 * iou / (1 + iou))
    scored = ~np.isnan(iou)
    assert ((iou[scored] >= 0) & (iou[scored] <= dice[scored]) & (dice[scored] <= 1)).all()
    by_class = class_scores(found)
    np.testing.assert_allclose(by_class["dice_dataset"], 2 * by_class["iou_dataset"] / (1 + by_class["iou_dataset"]))


@given(COUNTS_NK4)
def test_when_truth_and_prediction_change_places_precision_and_recall_do(counts_NK4: np.ndarray):
    found, swapped = (class_scores(of_counts(counts)) for counts in (counts_NK4, counts_NK4[..., [0, 2, 1, 3]]))
    tp, fp, fn, _ = counts_NK4.sum((0, 1))
    if tp + fp and tp + fn:  # there in both
        for aggregation in ("dataset", "image_mean"):
            np.testing.assert_array_equal(swapped[f"precision_{aggregation}"], found[f"recall_{aggregation}"])
            np.testing.assert_array_equal(swapped[f"iou_{aggregation}"], found[f"iou_{aggregation}"])


@given(COUNTS_NK4, st.randoms(use_true_random=False))
def test_the_order_of_pictures_does_not_matter(counts_NK4: np.ndarray, random: Any):
    order = random.sample(range(len(counts_NK4)), len(counts_NK4))
    found, shuffled = (class_scores(of_counts(counts)) for counts in (counts_NK4, counts_NK4[order]))
    for name in found:
        np.testing.assert_allclose(shuffled[name], found[name], rtol=1e-12)


def test_boundary_scores_are_ratios_of_sums_or_means_of_ratios():
    found = class_scores(cases(
        tp=[[5], [5], [5]], boundary_tp=[[6], [1], [0]], boundary_fp=[[2], [0], [0]], boundary_fn=[[0], [3], [0]],
        surface_hits=[[10], [5], [0]], surface_total=[[20], [5], [0]]))
    assert found["boundary_iou_dataset"] == pytest.approx(7 / 12)
    assert found["boundary_iou_image_mean"] == pytest.approx((6 / 8 + 1 / 4) / 2)  # the last picture has no boundary
    assert found["nsd_dataset"] == pytest.approx(15 / 25)
    assert found["nsd_image_mean"] == pytest.approx((1 / 2 + 1) / 2)


def test_hd95_is_the_mean_over_pictures_that_have_one():
    hd95 = [[1.5, np.nan], [np.nan, np.nan], [4.5, 3.0]]
    found = class_scores(cases(tp=[[5, 0], [0, 0], [5, 0]], hd95=hd95))
    np.testing.assert_equal(found["hd95_image_mean"], [3.0, np.nan])  # the second class is in no truth
    np.testing.assert_equal(BY_NAME["hd95_image_mean"].by_picture(cases(hd95=hd95)), hd95)


def test_what_people_see_by_hand():
    found = class_scores(cases(tp=[[9], [9]], hole_pixels=[[3], [1]], extent_pixels=[[30], [10]], specks=[[0], [5]]))
    assert found["hole_share"] == pytest.approx(4 / 40)
    assert found["specks"] == pytest.approx(5 / 2)
    nothing = class_scores(cases(fn=[[9]]))
    assert math.isnan(nothing["hole_share"][0]) and nothing["specks"][0] == 0  # nothing predicted, nothing to be holed


def test_displayed_is_a_share_of_what_is_found_and_missing_without_label_values():
    found = cases(tp=[[8, 8], [2, 2]], fn=[[6, 6], [8, 8]], displayed=[[5, np.nan], [0, np.nan]])
    np.testing.assert_equal(class_scores(found)["displayed"], [5 / 10, np.nan])
    assert math.isnan(class_scores(cases(tp=[[0]], fn=[[6]], displayed=[[0]]))["displayed"][0])  # nothing found


def object_scores(*names: str) -> list[list[float]]:
    found = class_scores(cases_of(*tables(), "test", ["cat", "dog"], [4, 9]))
    return [found[name].tolist() for name in names]


def test_objects_by_hand():
    completeness, missed, wrong = object_scores("completeness", "missed", "wrong_class")
    assert completeness == pytest.approx([np.mean(SHARES[0]), np.mean(SHARES[1])])
    assert missed == pytest.approx([2 / 4, 2 / 5])  # less than a tenth is found: b and c's first; c's 20 and 3
    assert wrong == pytest.approx([1 / 4, 1 / 5])  # taken for nothing is not wrong


@pytest.mark.parametrize(("group", "completeness", "missed"), [
    ("small", [1, (1 + 0) / 2], [0, 1 / 2]),
    ("medium", [(0 + 1 / 4) / 2, 1], [1 / 2, 0]),
    ("large", [0, (1 / 2 + 1 / 20) / 2], [1, 1 / 2]),
    ("1_objects", [0, math.nan], [1, math.nan]),
    ("2_objects", [1, 1 / 2], [0, 0]),
    ("3_objects", [math.nan] * 2, [math.nan] * 2),
    ("5_objects", [(0 + 1 / 4) / 2, (1 + 1 / 20 + 1 + 0) / 4], [1 / 2, 2 / 4]),
    ("free", [(1 + 0 + 1 / 4) / 3, (1 + 1 / 20 + 1 + 0) / 4], [1 / 3, 2 / 4]),
    ("covered", [0, 1 / 2], [1, 0]),
])
def test_groups_of_objects_by_hand(group: str, completeness: list[float], missed: list[float]):
    np.testing.assert_allclose(object_scores(f"completeness_{group}", f"missed_{group}"), [completeness, missed])


def test_no_objects_no_score():
    found = cases_of(*tables(OBJECTS[:0]), "test", ["cat", "dog"], size_edges(OBJECTS[:0].assign(split="test")))
    assert np.isnan(class_scores(found)["completeness"]).all()


EMPTY = {"both masks are empty": (0, 0, 0, 9), "only the true mask is": (0, 4, 0, 5),
         "only the predicted mask is": (0, 0, 4, 5)}  # TP, FP, FN, TN


@pytest.mark.parametrize("base", [*SKLEARN, "iou_own", "boundary_iou", "nsd"])
def test_what_is_said_of_empty_masks_is_what_is_done(base: str):
    said = BY_NAME[f"{base}_image_mean"].empty.removeprefix("in the image mean, ")
    said = said.replace("only one is", "only the true mask is or only the predicted mask is")
    parts = (part.split(" if ") for part in said.split("; "))
    found = {which: what for what, of in parts for which in of.split(" or ")}
    assert set(found) == set(EMPTY)
    for which, (tp, fp, fn, tn) in EMPTY.items():
        pixels = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
        columns = pixels | {f"own_{name}": of for name, of in pixels.items()} | {
            "boundary_tp": tp, "boundary_fp": fp, "boundary_fn": fn, "surface_hits": 0, "surface_total": fp + fn}
        with_another = {name: [[of], [9 * (name.endswith("tp") or name.startswith("surface"))]]
                        for name, of in columns.items()}  # in which the class is found
        value = by_picture(cases(**with_another), base)[0, 0]
        assert {"left out": math.isnan(value), "0": value == 0, "1": value == 1, "below 1": 0 < value < 1}[found[which]]


def test_n_counts_what_a_score_is_computed_from():
    # Three pictures of two classes; the first class is found, falsely found, and nowhere; the second is in no truth.
    found = cases(tp=[[4, 0], [0, 0], [0, 0]], fp=[[0, 0], [2, 3], [0, 0]], hd95=[[1, np.nan], [7, 7], [np.nan] * 2],
                  objects=[[2, 0], [0, 0], [0, 0]], **{"objects size small": [[1, 0], [0, 0], [0, 0]]})
    expected = {"iou_dataset": 3, "iou_image_mean": 2, "recall_image_mean": 1, "hd95_image_mean": 2,
                "hd95_one_empty": 2, "specks": 3, "missed": 2, "missed_small": 1, "hole_share": 3, "pixel_ap": 3}
    assert {name: BY_NAME[name].n(found) for name in expected} == expected


def test_the_part_of_hd95_that_is_penalty():
    # Four pictures: a distance, an empty prediction, a false alarm, nothing. A diagonal has 20 pixels.
    found = class_scores(cases(tp=[[5], [0], [0], [0]], fn=[[0], [5], [0], [0]], fp=[[0], [0], [3], [0]],
                               hd95=[[10], [20], [20], [np.nan]]))
    assert found["hd95_image_mean"] == pytest.approx(50 / 3)
    assert found["hd95_one_empty"] == pytest.approx(2 / 3)
    assert found["hd95_penalty"] == pytest.approx(found["hd95_image_mean"] * 40 / 50)


def test_a_distance_between_masks_is_no_penalty_however_large():
    found = class_scores(cases(tp=[[5]], hd95=[[1000]]))
    assert found["hd95_penalty"] == found["hd95_one_empty"] == 0
