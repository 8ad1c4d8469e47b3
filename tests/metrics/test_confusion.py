"""Confusions against scikit-learn, overlapping classes by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from seglib.metrics import confusion


def pixel_confusion(predicted: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Of one picture."""
    return confusion.pixel_confusion(predicted[None], truth[None], None if valid is None else valid[None, None])


def classes(*rows: str) -> np.ndarray:
    """(2, H, W) from rows of "0", "1", "." for neither and "*" for both."""
    return np.array([[[pixel in f"{k}*" for pixel in row] for row in rows] for k in range(2)])


def test_by_hand():
    truth = classes("0001*",
                    "..1*.")
    predicted = classes("01*.0",
                        "0.1**")
    found = pixel_confusion(predicted, truth)
    assert found.dtype == np.int64
    #                           as 0  1  .  several
    np.testing.assert_array_equal(found, [[1, 1, 0, 1],
                                          [0, 1, 1, 0],
                                          [1, 0, 1, 1]])


def test_empty_and_full_masks():
    nothing, zero, both = (classes(pixel * 6) for pixel in ".0*")
    for predicted, column in ((zero, 0), (nothing, 2), (both, 3)):
        for truth, row in ((zero, 0), (nothing, 2)):
            found = pixel_confusion(predicted, truth)
            assert found[row, column] == found.sum() == 6
        assert not pixel_confusion(predicted, both).any()  # which class to blame is not known


def test_ignored_pixels_count_nowhere():
    valid = np.array([[True, False, True]])
    found = pixel_confusion(classes("0.1"), classes("011"), valid)
    np.testing.assert_array_equal(found, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    assert not pixel_confusion(classes("0.1"), classes("011"), ~valid & False).any()


@given(st.integers(0, 2**32), st.integers(1, 4), st.floats(0, 1), st.permutations(range(4)))
def test_equals_scikit_learn_s_where_classes_exclude_each_other(seed: int, count: int, ignored: float,
                                                               order: list[int]):
    random = np.random.default_rng(seed)
    labels = random.integers(0, count + 1, (2, 5, 7))  # `count` itself is the background
    predicted, truth = (labels_HW == np.arange(count)[:, None, None] for labels_HW in labels)
    valid = random.random((5, 7)) >= ignored
    found = pixel_confusion(predicted, truth, valid)
    assert not found[:, -1].any()
    if valid.any():  # scikit-learn does without no labels at all
        expected = confusion_matrix(labels[1][valid], labels[0][valid], labels=range(count + 1))
        np.testing.assert_array_equal(found[:, :-1], expected)
    order = [k for k in order if k < count]
    permuted = pixel_confusion(predicted[order], truth[order], valid)
    np.testing.assert_array_equal(permuted, found[np.ix_([*order, count], [*order, count, count + 1])])


@given(st.integers(0, 2**32), st.floats(0, 1), st.booleans())
def test_a_batch_is_the_sum_of_its_pictures_and_a_plain_count(seed: int, density: float, ignores: bool):
    random = np.random.default_rng(seed)
    predicted, truth = random.random((2, 3, 4, 5, 6)) < density
    valid = random.random((3, 1, 5, 6)) < 0.7
    found = confusion.pixel_confusion(predicted, truth, valid if ignores else None)
    expected = np.zeros((5, 6), int)
    for picture, y, x in np.ndindex(3, 5, 6):
        said, true = ([k for k in range(4) if planes[picture, k, y, x]] for planes in (predicted, truth))
        if len(true) <= 1 and (valid[picture, 0, y, x] or not ignores):
            expected[true[0] if true else 4, 4 if not said else said[0] if len(said) == 1 else 5] += 1
    np.testing.assert_array_equal(found, expected)


def test_as_many_classes_as_a_mask_can_name():
    labels = np.arange(127).reshape(1, 1, 1, 127) == np.arange(127).reshape(1, 127, 1, 1)
    np.testing.assert_array_equal(confusion.pixel_confusion(labels, labels), np.eye(128, 129) * (np.arange(129) < 127))
    everywhere = np.ones_like(labels)
    assert confusion.pixel_confusion(everywhere, labels)[:127, 128].tolist() == [1] * 127


@pytest.mark.parametrize("classes", [254, 255, 300])
def test_classes_may_be_more_than_a_byte_counts(classes: int):
    numbers = np.arange(classes)
    labels = numbers.reshape(1, 1, 1, classes) == numbers.reshape(1, classes, 1, 1)
    found = confusion.pixel_confusion(labels, labels)
    assert found.shape == (classes + 1, classes + 2)
    np.testing.assert_array_equal(found, np.eye(classes + 1, classes + 2) * (np.arange(classes + 2) < classes))
