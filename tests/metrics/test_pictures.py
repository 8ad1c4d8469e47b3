"""Counts of pictures by NumPy against those by PyTorch, and of many pictures against those of each."""

import numpy as np
import pytest
import torch

from seglib.metrics import pictures
from seglib.metrics.counts import COUNTS, count_BK4
from seglib.metrics.pictures import count_pictures, pixel_counts_BK4


@pytest.fixture
def planes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Predicted, truth, valid and outputs of 7 pictures and 3 classes."""
    random = np.random.default_rng(3)
    predicted, truth = random.random((2, 7, 3, 12, 9)) < random.choice([0, 0.2, 0.8], (2, 7, 3, 1, 1))
    return predicted, truth, random.random((7, 1, 12, 9)) < 0.9, random.uniform(0, 120, truth.shape)


def test_pixel_counts_equal_those_of_pytorch(planes: tuple[np.ndarray, ...]):
    predicted, truth, valid, _ = planes
    expected = count_BK4(*map(torch.from_numpy, (predicted, truth, valid)))
    np.testing.assert_array_equal(pixel_counts_BK4(predicted & valid, truth & valid, valid), expected)


@pytest.mark.parametrize("pixels", [1, 1000, 1 << 19])
def test_counts_are_those_of_each_picture_whatever_is_counted_at_once(
        monkeypatch: pytest.MonkeyPatch, planes: tuple[np.ndarray, ...], pixels: int):
    monkeypatch.setattr(pictures, "PART_PIXELS", pixels)
    options = {"tolerance": 1, "boundary_band": None, "label_values": [50, 100, 60]}
    found = count_pictures(*planes, **options)
    alone = [count_pictures(*(one[n:n + 1] for one in planes), **options) for n in range(7)]
    np.testing.assert_array_equal(found.counts_BKC, np.concatenate([one.counts_BKC for one in alone]))
    np.testing.assert_array_equal(found.objects_N7[:, 1:], np.concatenate([one.objects_N7[:, 1:] for one in alone]))
    np.testing.assert_array_equal(found.objects_N7[:, 0], np.repeat(range(7), [len(one.objects_N7) for one in alone]))
    np.testing.assert_array_equal(found.confusion, sum(one.confusion for one in alone))
    predicted, truth, valid, _ = planes
    np.testing.assert_array_equal(found.counts_BKC[..., :len(COUNTS)].sum((0, 1)),
                                  count_BK4(*map(torch.from_numpy, (predicted, truth, valid))).sum((0, 1)))
