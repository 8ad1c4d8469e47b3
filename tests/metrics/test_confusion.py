"""Confusions against scikit-learn, overlapping classes by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from seglib.metrics.confusion import pixel_confusion


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
