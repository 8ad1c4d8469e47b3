"""Hints against shapes whose boxes and middles are known."""

import numpy as np
import pytest

from seglib.prediction.hints import hint_of


def disk(height: int, width: int, y: int, x: int, radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


@pytest.fixture
def truth() -> np.ndarray:
    """Class 0: two rectangles; class 1: nothing; class 2: a disk and two pixels that touch at a corner."""
    planes = np.zeros((3, 20, 30), bool)
    planes[0, 2:7, 3:12] = planes[0, 10:12, 20:30] = True
    planes[2] = disk(20, 30, 9, 14, 4)
    planes[2, 18, 28] = planes[2, 19, 29] = True
    return planes


def test_boxes_enclose_each_object(truth: np.ndarray):
    hint = hint_of(truth, "boxes")
    assert hint.classes_N.tolist() == [0, 0, 2, 2] and hint.points_N2 is None
    assert hint.boxes_N4.tolist() == [[3, 2, 12, 7], [20, 10, 30, 12], [10, 5, 19, 14], [28, 18, 30, 20]]


def test_points_lie_in_the_middle_of_each_object(truth: np.ndarray):
    hint = hint_of(truth, "points")
    assert hint.boxes_N4 is None and hint.points_N2.dtype == np.int64
    for k, (x, y) in zip(hint.classes_N, hint.points_N2, strict=True):
        assert truth[k, y, x]
    assert hint.points_N2[2].tolist() == [14, 9]  # the disk's centre
    assert hint.points_N2[0].tolist()[1] == 4  # the middle row of five


@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_a_picture_without_objects_has_an_empty_hint(kind: str):
    hint = hint_of(np.zeros((2, 5, 5), bool), kind)
    places = hint.boxes_N4 if kind == "boxes" else hint.points_N2
    assert len(hint.classes_N) == 0 and places.shape == (0, 4 if kind == "boxes" else 2)
