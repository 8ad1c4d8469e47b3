"""IoU and Dice by other conventions: against torchmetrics, against smp's documented definition, and by laws.

smp is not installed. Its documentation defines a reduction by what is summed before the ratio is taken: `micro` sums
over pictures and classes, `macro` over pictures, `*-imagewise` keeps pictures apart, and a ratio of 0 / 0 counts 1.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.segmentation import DiceScore, MeanIoU

from seglib.metrics.cases import Cases
from seglib.metrics.conventions import BASES, CONVENTIONS
from seglib.metrics.counts import count_BK4
from seglib.metrics.inference import Blocks
from seglib.metrics.scores.score import mean_score
from tests.metrics.scores.test_ratio import of_counts

ALL = [(name, base) for name, convention in CONVENTIONS.items() for base in convention.scores]
TORCHMETRICS = {("mean_iou", "iou"): lambda classes: MeanIoU(num_classes=classes),
                ("dice_score", "dice"): lambda classes: DiceScore(num_classes=classes)}
Counts = list[list[list[int]]]  # TP, FP, FN, TN of each picture and class


def blocks(name: str, base: str, *seeds: Cases) -> Blocks:
    return CONVENTIONS[name].scores[base].blocks(seeds, has_seeds=True)


def value(name: str, base: str, cases: Cases) -> float:
    found = float(blocks(name, base, cases).scores_S[0])
    np.testing.assert_allclose(mean_score(CONVENTIONS[name].scores[base].by_class(cases)), found)
    return found


def masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true planes, bool (7, 3, 5, 5): one picture empty in both, one only in the truth; no third class in
    the truth.
    """
    predicted, truth = np.random.default_rng(seed).random((2, 7, 3, 5, 5)) < 0.3
    predicted[0] = truth[:2] = truth[:, 2] = predicted[3:, 2] = False
    return predicted, truth


@pytest.mark.parametrize(("key", "seed"), list(itertools.product(TORCHMETRICS, range(3))))
def test_torchmetrics_scores_are_torchmetrics(key: tuple[str, str], seed: int):
    predicted, truth = map(torch.from_numpy, masks(seed))
    judge = TORCHMETRICS[key](3)
    for start in (0, 4):  # two batches
        judge.update(predicted[start:start + 4].int(), truth[start:start + 4].int())
    assert value(*key, of_counts(count_BK4(predicted, truth).numpy())) == pytest.approx(float(judge.compute()))


def smp(counts: Counts, factor: int, reduction: str) -> float:
    """smp's score by its documented definition, with loops and Python's numbers; factor 1: IoU, 2: Dice."""
    pictures, classes = range(len(counts)), range(len(counts[0]))
    kept = {"micro": [[(n, k) for n in pictures for k in classes]],
            "macro": [[(n, k) for n in pictures] for k in classes],
            "micro_imagewise": [[(n, k) for k in classes] for n in pictures],
            "macro_imagewise": [[(n, k)] for n in pictures for k in classes]}[reduction]
    ratios = []
    for group in kept:
        tp, fp, fn = (sum(int(counts[n][k][i]) for n, k in group) for i in range(3))
        ratios.append(factor * tp / (factor * tp + fp + fn) if tp + fp + fn else 1.0)
    return math.fsum(ratios) / len(ratios)


@pytest.mark.parametrize(("base", "reduction", "seed"), list(itertools.product(
    BASES, ("micro", "macro", "micro_imagewise", "macro_imagewise"), range(3))))
def test_smp_scores_follow_its_definition(base: str, reduction: str, seed: int):
    counts = count_BK4(*map(torch.from_numpy, masks(seed))).numpy()
    expected = smp(counts, 1 + BASES.index(base), reduction)
    assert value(f"smp_{reduction}", base, of_counts(counts)) == pytest.approx(expected)


def test_empty_masks_by_hand():
    # Two pictures. The first class is found, then there and missed; the second is nowhere.
    cases = of_counts([[[4, 0, 0, 5], [0, 0, 0, 9]], [[0, 0, 2, 7], [0, 0, 0, 9]]])
    assert {name: value(name, "iou", cases) for name, convention in CONVENTIONS.items()
            if "iou" in convention.scores} == pytest.approx({
                "dataset": 4 / 6, "image_mean": 1 / 2, "mean_iou": 1 / 2, "smp_micro": 4 / 6,
                "smp_macro": (4 / 6 + 1) / 2, "smp_micro_imagewise": 1 / 2,
                "smp_macro_imagewise": (1 + 0 + 1 + 1) / 4})


def test_where_nothing_is_some_score_1_and_others_nothing():
    nothing = of_counts([[[0, 0, 0, 9]] * 2] * 3)
    assert {name: value(name, base, nothing) for name, base in ALL} == pytest.approx({
        "dataset": math.nan, "image_mean": math.nan, "mean_iou": math.nan, "dice_score": math.nan,
        "smp_micro": math.nan, "smp_macro": 1, "smp_micro_imagewise": 1, "smp_macro_imagewise": 1}, nan_ok=True)


COUNT = st.integers(0, 1000)


@given(st.tuples(st.integers(1, 1000), COUNT, COUNT, COUNT))
def test_one_picture_of_one_class_scores_the_same_by_all_conventions(counts: tuple[int, ...]):
    for base in BASES:
        found = [value(name, base, of_counts([[counts]])) for name, of in ALL if of == base]
        np.testing.assert_allclose(found, found[0])


@st.composite
def counts_of(draw: st.DrawFn) -> np.ndarray:
    """(N, K, 4); often with empty masks."""
    pictures, classes = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    count = st.one_of(st.just(0), COUNT)
    return np.array(draw(st.lists(count, min_size=pictures * classes * 4, max_size=pictures * classes * 4))).reshape(
        pictures, classes, 4)


@given(counts_of())
def test_scores_lie_between_0_and_1_and_dice_is_no_lower_than_iou(counts_NK4: np.ndarray):
    cases = of_counts(counts_NK4)
    found = {key: value(*key, cases) for key in ALL}
    assert all(math.isnan(score) or 0 <= score <= 1 + 1e-12 for score in found.values())
    for name, base in ALL:
        if base == "dice" and "iou" in CONVENTIONS[name].scores and not math.isnan(found[name, "dice"]):
            assert found[name, "dice"] >= found[name, "iou"] - 1e-12


@given(counts_of(), st.randoms(use_true_random=False))
def test_the_order_of_pictures_and_classes_does_not_matter(counts_NK4: np.ndarray, random: st.DrawFn):
    pictures, classes, _ = counts_NK4.shape
    shuffled = counts_NK4[random.sample(range(pictures), pictures)][:, random.sample(range(classes), classes)]
    for key in ALL:
        np.testing.assert_allclose(value(*key, of_counts(shuffled)), value(*key, of_counts(counts_NK4)), rtol=1e-12)


def test_the_pictures_move_a_score_as_leaving_one_out_does():
    """The linearised variance from pictures equals the jackknife's, nearly, in a large enough sample."""
    counts = np.random.default_rng(0).integers(1, 100, (300, 3, 4))
    for key in ALL:
        deviations = blocks(*key, of_counts(counts)).deviations_SX
        left_out = [value(*key, of_counts(np.delete(counts, n, axis=0))) for n in range(300)]
        assert (deviations**2).sum() == pytest.approx(299 * np.var(left_out), rel=0.02), key
