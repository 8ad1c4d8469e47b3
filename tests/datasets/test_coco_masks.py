"""Masks of segmentations that nobody looked at; those that are whole against pycocotools itself."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from seglib.datasets.coco_masks import LONGEST_OUTLINE, Outside, Undrawable, decode, place_of

HEIGHT, WIDTH = 10, 12
TRIANGLE = [1.5, 1, 9, 2, 4, 8]


def assert_is(segmentation: Any, expected_HW: np.ndarray) -> None:
    if expected_HW.any():
        found_HW = decode(segmentation, HEIGHT, WIDTH).mask_HW
        assert found_HW.dtype == bool
        np.testing.assert_array_equal(found_HW, expected_HW)
    else:
        with pytest.raises(Outside, match="its mask is empty"):
            decode(segmentation, HEIGHT, WIDTH)


coordinates = st.floats(-HEIGHT, 2 * HEIGHT)
polygons = st.lists(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9), min_size=1, max_size=3)


@given(polygons)
def test_polygons_that_cross_themselves_or_leave_the_picture_are_drawn_as_pycocotools_does(corners: list):
    flat = [[float(number) for corner in polygon for number in corner] for polygon in corners]
    assert_is(flat, coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, HEIGHT, WIDTH))))


@given(st.binary(min_size=15, max_size=15))
def test_run_lengths_in_either_form_are_the_mask_they_were_made_from(bits: bytes):
    mask_HW = np.unpackbits(np.frombuffer(bits, np.uint8)).reshape(HEIGHT, WIDTH)
    compressed = coco_mask.encode(np.asfortranarray(mask_HW))
    runs = np.flatnonzero(np.diff(mask_HW.ravel("F"), prepend=0, append=2))
    for counts in (compressed["counts"], compressed["counts"].decode(), np.diff(runs, prepend=0).tolist()):
        assert_is({"size": [HEIGHT, WIDTH], "counts": counts}, mask_HW)


def nested(depth: int) -> list:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(("segmentation", "said"), [
    # Each of these first four ended the process, in pycocotools.
    ([[0, 0, 1e9, 0, 0, 1e9]], r"a corner at \(1e\+09, 0\), far off the picture of 12×10"),
    ([[0, 0, 1e300, 0, 0, 1e300]], "far off the picture"),
    ([[0, 0, math.nan, 0, 0, 9]], r"a corner at \(nan, 0\)"),
    ([[0, 0, math.inf, 0, 0, 9]], r"a corner at \(inf, 0\)"),
    ([[0, 0, -13, 0, 0, 9]], r"a corner at \(-13, 0\)"),
    ([[1, 2, 5, 5]], "a polygon of 4 numbers, expected x and y of three corners"),  # which it takes for a box
    ([[*TRIANGLE, 3]], "a polygon of 7 numbers"),
    ([[]], "a polygon that is no list of numbers"),
    ([], "holds no polygon"),
    ([TRIANGLE * 50_000], f"outlines of .* pixels, at most {LONGEST_OUTLINE}"),
    ([[TRIANGLE]], "a polygon that is no list of numbers"),
    ([["one", "1", "9", "2", "4", "8"]], "a polygon that is no list of numbers"),
    ([[True, False, True, True, False, True]], "a polygon that is no list of numbers"),
    ([[10**400] * 6], "a polygon that is no list of numbers"),
    ([[1, 1, None, 2, 4, 8]], r"a corner at \(nan, 2\)"),
    ([{"counts": [120], "size": [10, 12]}], "a polygon that is no list of numbers"),
    (nested(300), "a polygon that is no list of numbers"),
    (None, "neither polygons nor run lengths"),
    ("text", "neither polygons nor run lengths"),
    ([[13, 1, 20, 1, 20, 8], [1, 1]], "a polygon of 2 numbers"),  # what is left of it has no pixel
    ({"counts": [120]}, r"its mask is of size None, the picture of \[10, 12\]"),
    ({"counts": [120], "size": [12, 10]}, "its mask is of size"),
    ({"counts": [120], "size": [-10, -12]}, "its mask is of size"),
    ({"counts": [120], "size": ["10", "12"]}, "its mask is of size"),
    ({"counts": [120], "size": [9] * 10_000}, "its mask is of size .{,40}, the picture"),
    # What these three leave open, pycocotools takes from what memory held before.
    ({"counts": [5, 5], "size": [10, 12]}, "run lengths of 10 pixels, the picture has 120"),
    ({"counts": "11", "size": [10, 12]}, "run lengths of 2 pixels"),
    ({"counts": [], "size": [10, 12]}, "run lengths of 0 pixels"),
    ({"counts": [10**9, 5], "size": [10, 12]}, "run lengths of 1000000005 pixels"),
    ({"counts": [2**32 + 120], "size": [10, 12]}, "run lengths of 4294967416 pixels"),
    ({"counts": [10**30], "size": [10, 12]}, "no run lengths"),
    ({"counts": [-5, 125], "size": [10, 12]}, "no run lengths: Expected `int` >= 0"),
    ({"counts": [60.7, 59.3], "size": [10, 12]}, "no run lengths: Expected `int`, got `float`"),
    ({"counts": [math.nan, 120], "size": [10, 12]}, "no run lengths"),
    ({"counts": None, "size": [10, 12]}, "no run lengths"),
    ({"counts": "o" * 50, "size": [10, 12]}, "no run lengths"),
    ({"counts": "11oo", "size": [10, 12]}, "run lengths that end within a number"),  # it reads on behind the text
    ({"counts": "1 1", "size": [10, 12]}, "no run lengths"),
    ({"counts": "ÿ猫", "size": [10, 12]}, "no run lengths"),
])
def test_a_segmentation_that_cannot_be_drawn_says_why(segmentation: Any, said: str):
    with pytest.raises(Undrawable, match=f"^its (mask|segmentation cannot be decoded: ).*{said}|^{said}"):
        decode(segmentation, HEIGHT, WIDTH)


@pytest.mark.parametrize("segmentation", [[[13, 1, 20, 1, 20, 8]], {"counts": [120], "size": [10, 12]}])
def test_a_mask_without_a_pixel_is_refused(segmentation: Any):
    assert_is(segmentation, np.zeros((HEIGHT, WIDTH)))


@pytest.mark.parametrize("part", [[5, 5], [1, 1, 7, 7], [1, 1, 7, 7, 3], [0, 0, math.nan, 0, 0, 9],
                                  [0, 0, 1e9, 0, 0, 1e9], [], "text", None, {}, [TRIANGLE]])
@pytest.mark.parametrize("first", [True, False])
def test_a_part_that_cannot_be_drawn_leaves_the_others(part: Any, first: bool):
    found = decode([part, TRIANGLE] if first else [TRIANGLE, part], HEIGHT, WIDTH)
    np.testing.assert_array_equal(found.mask_HW, decode([TRIANGLE], HEIGHT, WIDTH).mask_HW)
    assert len(found.dropped) == 1 and not decode([TRIANGLE], HEIGHT, WIDTH).dropped


@pytest.mark.parametrize("segmentation", [TRIANGLE, [[str(number) for number in TRIANGLE]]])
def test_one_polygon_may_stand_alone_and_its_numbers_as_text(segmentation: Any):
    expected_HW = decode([TRIANGLE], HEIGHT, WIDTH).mask_HW
    np.testing.assert_array_equal(decode(segmentation, HEIGHT, WIDTH).mask_HW, expected_HW)


@pytest.mark.parametrize(("box", "segmentation", "rows", "columns"), [
    ([1.5, 2, 3, 4.5], None, range(2, 7), range(1, 5)),
    (["1.5", "2", "3", "4.5"], None, range(2, 7), range(1, 5)),
    ([-5, -5, 100, 100], None, range(HEIGHT), range(WIDTH)),
    ([1, 1, 1e300, 2], None, range(1, 3), range(1, WIDTH)),
    ([1, 1, 0, 5], [[2, 3, 4, 5]], range(3, 5), range(2, 4)),  # a box without area is no box
    ([50, 1, 5, 5], [[2, 3, 4, 5]], range(3, 5), range(2, 4)),  # nor is one off the picture
    (None, [[2, 3]], range(3, 4), range(2, 3)),
    (None, [["x"], [2, 3, math.nan, 9], [5, 8]], range(3, 8), range(2, 5)),
    (None, [2, 3, 4, 5, 6], range(3, 5), range(2, 4)),
])
def test_an_annotation_lies_in_its_box_or_around_its_corners(box: Any, segmentation: Any, rows: range, columns: range):
    expected_HW = np.zeros((HEIGHT, WIDTH), bool)
    expected_HW[np.ix_(rows, columns)] = True
    found_HW = np.zeros((HEIGHT, WIDTH), bool)
    found_HW[place_of(box, segmentation, HEIGHT, WIDTH)] = True
    np.testing.assert_array_equal(found_HW, expected_HW)


@pytest.mark.parametrize(("box", "segmentation"), [
    (None, None), ([1, 2, 3], {"counts": [1]}), ([math.nan, 1, 2, 3], [[]]), ("text", "text"),
    ([50, 1, 5, 5], [[50, 1]]),
])
def test_nobody_knows_where_an_annotation_without_box_and_corners_lies(box: Any, segmentation: Any):
    assert place_of(box, segmentation, HEIGHT, WIDTH) is None
