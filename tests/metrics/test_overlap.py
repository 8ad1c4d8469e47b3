"""Pooled scores against scikit-learn, and that they are the scores of the dataset."""

import math
import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics as sk

from seglib.metrics.cases import Cases
from seglib.metrics.overlap import COUNTS, OVERLAP, pooled
from seglib.metrics.scores import BY_NAME
from seglib.metrics.scores.score import mean_score

SKLEARN = {
    "iou": sk.jaccard_score,
    "dice": sk.f1_score,
    "precision": sk.precision_score,
    "recall": sk.recall_score,
    "specificity": lambda truth, predicted: sk.recall_score(~truth, ~predicted),
    "pixel_accuracy": sk.accuracy_score,
}


def counts_K4(predicted_KP: np.ndarray, truth_KP: np.ndarray) -> np.ndarray:
    matrices = [sk.confusion_matrix(truth_P, predicted_P, labels=[True, False])
                for truth_P, predicted_P in zip(truth_KP, predicted_KP, strict=True)]
    return np.reshape(matrices, (-1, 4))[:, [0, 2, 1, 3]]  # scikit-learn gives tp, fn, fp, tn


@pytest.mark.parametrize("name", OVERLAP)
def test_pooled_scores_equal_scikit_learns_over_the_classes_that_are_there(name: str):
    predicted_KP, truth_KP = np.random.default_rng(1).random((2, 3, 144)) < 0.4
    truth_KP[1] = False  # absent: its false alarms are in no score
    expected = np.mean([SKLEARN[name](truth_KP[k], predicted_KP[k]) for k in (0, 2)])
    assert pooled(name, counts_K4(predicted_KP, truth_KP)) == pytest.approx(expected)


@pytest.mark.parametrize("name", OVERLAP)
def test_pooled_scores_are_the_scores_of_the_dataset(name: str):
    counts_NK4 = np.random.default_rng(2).integers(0, 50, (5, 4, 4))
    counts_NK4[:, 1, [0, 2]] = 0  # absent
    counts_NK4[:, 2, :2] = 0  # never predicted: precision divides by nothing
    cases = Cases({count: counts_NK4[..., i].astype(float) for i, count in enumerate(COUNTS)})
    by_class = BY_NAME[f"{name}_dataset"].by_class(cases)
    assert pooled(name, counts_NK4.sum(0)) == pytest.approx(mean_score(by_class))


def test_a_class_that_is_never_predicted_has_precision_0():
    assert pooled("precision", np.array([[0, 0, 3, 6], [4, 4, 0, 1]])) == 0.25


def test_without_a_class_nothing_is_scored():
    assert all(math.isnan(pooled(name, np.array([[0, 3, 0, 6], [0, 0, 0, 9]]))) for name in OVERLAP)


def test_it_needs_no_torch():
    """params.yaml is validated by it, in a second."""
    subprocess.run([sys.executable, "-c", "import sys, seglib.metrics.overlap; assert 'torch' not in sys.modules"],
                   check=True)
