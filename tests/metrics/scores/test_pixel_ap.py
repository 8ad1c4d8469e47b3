"""Average precision as a score: its value from the fine histogram, its variation from the coarse ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from seglib.metrics.cases import Cases
from seglib.metrics.inference import of_difference, of_score
from seglib.metrics.ranking import (
    ScoreHistogram,
    SplitHistograms,
    coarse_histograms,
    places_of,
    write_histograms,
)
from seglib.metrics.scores import BY_NAME
from seglib.metrics.scores.pixel_ap import RESAMPLES

PIXEL_AP = BY_NAME["pixel_ap"]
PICTURES, SIDE = 40, 12
ABSENT = 2


def made_up(folder: Path, seed: int) -> tuple[Cases, np.ndarray, np.ndarray]:
    """Cases, and the outputs and the truth (N, K, H, W) they come from. The truth never holds the last class."""
    random = np.random.default_rng(seed)
    truth = random.random((PICTURES, 3, SIDE, SIDE)) < 0.3
    truth[:, ABSENT] = False
    outputs = (random.normal(size=truth.shape) + truth * random.uniform(0, 3, (PICTURES, 1, 1, 1))).astype(np.float32)
    whole, places = ScoreHistogram(3), places_of(torch.from_numpy(outputs), torch.from_numpy(truth))
    whole.add(places)
    write_histograms(folder / f"{seed}.npz", {"test": (whole, coarse_histograms(places))})
    columns = {"tp": truth.sum((2, 3)).astype(float), "fn": np.zeros((PICTURES, 3))}
    return Cases(columns, SplitHistograms(folder / f"{seed}.npz", "test")), outputs, truth


def test_a_class_has_scikit_learns_value_and_an_absent_one_has_none(tmp_path: Path):
    cases, outputs, truth = made_up(tmp_path, 0)
    found = PIXEL_AP.by_class(cases)
    for k in range(ABSENT):
        exact = average_precision_score(truth[:, k].ravel(), outputs[:, k].ravel())
        assert found[k] == pytest.approx(exact, abs=0.01)  # interpolated, in bins
    assert np.isnan(found[ABSENT])


def test_the_variance_is_as_large_as_pictures_differ(tmp_path: Path):
    """scikit-learn's average precision of resampled pictures varies as much."""
    cases, outputs, truth = made_up(tmp_path, 0)
    found = of_score(PIXEL_AP.blocks([cases], has_seeds=True))
    assert found.value == pytest.approx(np.nanmean(PIXEL_AP.by_class(cases)))
    random, expected = np.random.default_rng(1), []
    for _ in range(300):
        chosen = random.integers(PICTURES, size=PICTURES)
        expected.append(np.mean([average_precision_score(truth[chosen, k].ravel(), outputs[chosen, k].ravel())
                                 for k in range(ABSENT)]))
    assert np.sqrt(found.variance) == pytest.approx(np.std(expected), rel=0.15)


def test_variants_share_the_drawn_pictures(tmp_path: Path):
    cases = made_up(tmp_path, 0)[0]
    blocks = PIXEL_AP.blocks([cases], has_seeds=False)
    assert blocks.deviations_SX.shape == (1, RESAMPLES)
    assert of_difference(blocks, PIXEL_AP.blocks([cases], has_seeds=False)).variance == 0


def test_masks_without_outputs_have_no_average_precision(tmp_path: Path):
    cases = Cases(made_up(tmp_path, 0)[0].columns)
    assert np.isnan(PIXEL_AP.by_class(cases)).all()
    assert np.isnan(of_score(PIXEL_AP.blocks([cases], has_seeds=True)).interval()).all()
