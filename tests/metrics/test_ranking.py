"""Average precision against a plain loop over sorted scores and against scikit-learn's curve."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from seglib.metrics import ranking
from seglib.metrics.ranking import (
    BINS,
    COARSE_BINS,
    ScoreHistogram,
    SplitHistograms,
    average_precision,
    bins_of,
    coarse_histograms,
    places_of,
    write_histograms,
)


def ap_of(scores: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor | None = None) -> np.ndarray:
    histogram = ScoreHistogram(scores.shape[1])
    histogram.add(places_of(scores, truth), valid)
    return average_precision(histogram.counts)


def row(*values: float) -> torch.Tensor:
    """(1, 1, 1, W)."""
    return torch.tensor([[[values]]])


def loop_ap(scores: np.ndarray, truth: np.ndarray) -> float:
    """The area under the interpolated curve, a threshold at a time, as VOC's development kit adds it up."""
    recall, precision = [0.0], [0.0]
    for threshold in np.unique(scores)[::-1]:
        taken = scores >= threshold
        recall.append((taken & truth).sum() / truth.sum())
        precision.append((taken & truth).sum() / taken.sum())
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def sklearn_ap(scores: np.ndarray, truth: np.ndarray) -> float:
    precision, recall, _ = precision_recall_curve(truth, scores)  # from the lowest threshold up; recall falls
    return float((-np.diff(recall) * np.maximum.accumulate(precision)[:-1]).sum())


@pytest.mark.parametrize(("scores", "truth", "expected"), [
    ((3.0, 2.0, 1.0), (True, True, False), 1),
    ((1.0, 2.0, 3.0), (True, False, False), 1 / 3),
    ((1.0, 1.0, 1.0, 1.0), (True, False, False, False), 1 / 4),  # one threshold
    ((3.0, 2.0, 1.0), (True, True, True), 1),
    # Precision 1/2 at recall 1/2, then 2/3 at recall 1: the higher one holds for both.
    ((3.0, 2.0, 1.0), (False, True, True), 2 / 3),
    ((3.0, 2.0, 1.0), (True, False, True), 1 / 2 + 1 / 2 * 2 / 3),
    ((0.0, -0.0, -5.0), (True, False, False), 1 / 2),
    ((torch.inf, 300.0, -torch.inf), (True, False, False), 1 / 2),  # beyond 256 there is one bin
    ((torch.nan, -200.0), (True, False), 1 / 2),  # NaN is the lowest of scores
])
def test_by_hand(scores: tuple[float, ...], truth: tuple[bool, ...], expected: float):
    assert ap_of(row(*scores), row(*truth))[0] == pytest.approx(expected)


def test_a_class_that_the_truth_never_holds_has_no_score():
    assert np.isnan(ap_of(row(1.0, 2.0), row(False, False))).all()
    assert np.isnan(average_precision(ScoreHistogram(2).counts)).all()


def test_ignored_pixels_count_nowhere():
    scores, truth = row(3.0, 2.0, 1.0), row(False, True, False)
    assert ap_of(scores, truth)[0] == pytest.approx(1 / 2)
    assert ap_of(scores, truth, row(False, True, True))[0] == pytest.approx(1)


def logits(positives: float, apart: float, spread: float, middle: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(2, 3, 128, 256): true pixels score `apart` more than false ones in the mean, `middle` lying between them."""
    random = torch.Generator().manual_seed(7)
    truth = torch.rand((2, 3, 128, 256), generator=random) < positives
    noise = torch.randn((2, 3, 128, 256), generator=random)
    return noise * spread + middle + (truth.float() - 0.5) * apart, truth


@pytest.mark.parametrize("positives", [0.002, 0.1, 0.6])
@pytest.mark.parametrize(("apart", "spread", "middle"), [
    (0.1, 0.1, -2), (2, 1, 0), (2, 1, -8), (6, 2, -3), (12, 3, 0), (30, 9, 0),  # a network's beginning to its end
    (1, 0.1, 0), (250, 30, 0),  # outputs of 0..1 and 0..255, less their thresholds
])
def test_bins_cost_at_most_2e_3(positives: float, apart: float, spread: float, middle: float):
    scores, truth = logits(positives, apart, spread, middle)
    exact = np.array([sklearn_ap(scores[:, k].flatten().numpy(), truth[:, k].flatten().numpy()) for k in range(3)])
    found = ap_of(scores, truth)
    np.testing.assert_allclose(found, exact, rtol=0, atol=2e-3)
    assert (found <= exact + 1e-12).all()


@given(st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=1), st.booleans())
def test_scores_that_bins_tell_apart_are_ranked_exactly(pixels: list[tuple[int, bool]], valid_only: bool):
    scores, truth = np.array([score for score, _ in pixels]), np.array([true for _, true in pixels])
    valid = row(*[i % 2 == 0 for i in range(len(pixels))]) if valid_only else None
    found = ap_of(row(*map(float, scores)), row(*truth.tolist()), valid)[0]
    if valid_only:
        scores, truth = scores[::2], truth[::2]
    if truth.any():
        assert found == pytest.approx(loop_ap(scores, truth)) == pytest.approx(sklearn_ap(scores, truth))
        assert truth.mean() <= found + 1e-12 and found <= 1 + 1e-12
    else:
        assert np.isnan(found)


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=40), st.integers(0, 2**32), st.floats(0.01, 12))
def test_only_the_order_of_scores_counts(values: list[int], seed: int, scale: float):
    truth = row(*(np.random.default_rng(seed).random(len(values)) < 0.5).tolist())
    scores = row(*map(float, values))
    np.testing.assert_allclose(ap_of(scores * scale, truth), ap_of(scores, truth), rtol=1e-12)
    np.testing.assert_allclose(ap_of(scores**3 / 50, truth), ap_of(scores, truth), rtol=1e-12)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_bins_keep_the_order(values: list[float]):
    bins = bins_of(torch.tensor(sorted(values)))
    assert (bins.diff() >= 0).all() and bins.min() >= 0 and bins.max() < BINS


def test_bins_know_every_memory_layout_and_precision():
    scores = torch.randn((2, 3, 4, 5), generator=torch.Generator().manual_seed(1)).half()
    bins = bins_of(scores)
    assert torch.equal(bins_of(scores.float().to(memory_format=torch.channels_last)), bins)
    assert torch.equal(bins_of(scores.double()), bins)


def test_places_say_bin_and_truth_however_many_pictures_go_at_once(monkeypatch: pytest.MonkeyPatch):
    scores, truth = torch.randn((5, 3, 4, 6), generator=torch.Generator().manual_seed(3)), torch.rand(5, 3, 4, 6) < 0.5
    expected = bins_of(scores) + BINS * truth
    for pictures in (1, 2, 9):
        monkeypatch.setattr(ranking, "PART_PIXELS", pictures * scores[0].numel())
        assert torch.equal(places_of(scores, truth), expected)


def test_histograms_add_up_and_classes_keep_apart():
    scores, truth = logits(0.3, 2, 1, 0)
    whole, first, second = (ScoreHistogram(3) for _ in range(3))
    whole.add(places_of(scores, truth))
    first.add(places_of(scores[:1], truth[:1]))
    second.add(places_of(scores[1:], truth[1:]))
    np.testing.assert_array_equal(first.counts + second.counts, whole.counts)
    assert whole.counts.sum() == scores.numel() and whole.counts[..., 1].sum() == truth.sum()
    first.add(places_of(scores[1:], truth[1:]))  # and one histogram takes batch after batch
    np.testing.assert_array_equal(first.counts, whole.counts)
    permuted = ScoreHistogram(3)
    permuted.add(places_of(scores[:, [2, 0, 1]], truth[:, [2, 0, 1]]))
    np.testing.assert_array_equal(permuted.counts, whole.counts[[2, 0, 1]])


def test_coarse_histograms_are_the_fine_ones_of_each_picture():
    scores, truth = logits(0.3, 2, 1, 0)
    valid = torch.rand(scores[:, :1].shape, generator=torch.Generator().manual_seed(2)) < 0.7
    coarse = coarse_histograms(places_of(scores, truth), valid)
    whole = ScoreHistogram(3)
    whole.add(places_of(scores, truth), valid)
    np.testing.assert_array_equal(coarse.sum(0), whole.counts.reshape(3, COARSE_BINS, -1, 2).sum(2))
    alone = ScoreHistogram(3)
    alone.add(places_of(scores[1:2], truth[1:2]), valid[1:2])
    np.testing.assert_array_equal(coarse[1], alone.counts.reshape(3, COARSE_BINS, -1, 2).sum(2))
    np.testing.assert_allclose(average_precision(coarse.sum(0)), average_precision(whole.counts), atol=0.02)


def test_histograms_are_read_as_they_were_written(tmp_path: Path):
    random, of_splits = np.random.default_rng(3), {}
    for split, pictures in (("val", 2), ("test", 5)):
        whole = ScoreHistogram(3)
        whole.counts += random.integers(0, 9, whole.counts.shape)
        by_picture_NKB2 = random.integers(0, 9, (pictures, 3, COARSE_BINS, 2), np.uint32)
        of_splits[split] = (whole, by_picture_NKB2)
    write_histograms(tmp_path / "ranking.npz", of_splits)
    for split, (whole, by_picture_NKB2) in of_splits.items():
        found = SplitHistograms(tmp_path / "ranking.npz", split)
        np.testing.assert_array_equal(found.whole_KB2(), whole.counts, strict=True)
        np.testing.assert_array_equal(found.by_picture_NKB2(), by_picture_NKB2, strict=True)
