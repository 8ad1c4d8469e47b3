"""Counts by hand and against scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from seglib.metrics.counts import count_BK4


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
