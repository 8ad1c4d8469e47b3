"""Extents against SciPy's closing, components against a flood fill, small cases by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from seglib.metrics import objects
from seglib.metrics.objects import OBJECT, SHAPE, shape_BK3


def plane(*rows: str) -> np.ndarray:
    """(1, H, W) from rows of "#" and "."."""
    return np.array([[[pixel == "#" for pixel in row] for row in rows]])


def classes(*rows: str) -> np.ndarray:
    """(3, H, W) from rows of "0", "1", "2" and "."."""
    return np.array([[[pixel == str(k) for pixel in row] for row in rows] for k in range(3)])


def shape_K3(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of one picture."""
    return shape_BK3(predicted[None], truth[None])[0]


def objects_of(predicted: np.ndarray, truth: np.ndarray) -> list[dict[str, int]]:
    """Of one picture, a row each."""
    rows = [dict(zip(OBJECT, values, strict=True))
            for values in objects.objects_of(predicted[None], truth[None]).tolist()]
    assert all(row.pop("picture") == 0 for row in rows)
    return rows


def random_pair(seed: int, density: float) -> np.ndarray:
    """Predicted and true (3, H, W), classes overlapping."""
    random = np.random.default_rng(seed)
    return random.random((2, 3, *random.integers(1, 12, 2))) < density


def flood(plane_HW: np.ndarray) -> list[set[tuple[int, int]]]:
    """The 8-connected components, by their first pixels in row-major order."""
    left = [(int(y), int(x)) for y, x in np.argwhere(plane_HW)]
    components = []
    while left:
        component, edge = {left[0]}, [left[0]]
        while edge:
            y, x = edge.pop()
            new = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & set(left) - component
            component |= new
            edge += new
        components.append(component)
        left = [pixel for pixel in left if pixel not in component]
    return components


EMPTY = plane("....", "....", "....", "....")
RING = plane("######", "#....#", "#....#", "#....#", "######")


@pytest.mark.parametrize(("predicted", "truth", "expected"), [
    (EMPTY, EMPTY, [0, 0, 0]),
    (EMPTY, ~EMPTY, [0, 0, 0]),
    (~EMPTY, ~EMPTY, [0, 16, 0]),
    (~EMPTY, EMPTY, [0, 16, 1]),
    (RING, RING, [12, 30, 0]),  # enclosed background is part of the extent
    (RING, ~RING, [12, 30, 1]),  # the prediction misses every true pixel: it is one false component
    (RING[:, 1:], RING[:, 1:], [0, 12, 0]),  # the border encloses nothing
    (plane("#..#...#"), plane("#......."), [2, 5, 1]),  # a gap of two closes, a gap of three does not
    (plane("#...#", ".....", ".....", ".....", "....#"), plane("#....", ".....", ".....", ".....", "....."), [0, 3, 2]),
    (plane(".#...", ".....", ".....", "....#"), plane("#....", ".....", ".....", "....#"), [0, 2, 1]),
])
def test_shape_by_hand(predicted: np.ndarray, truth: np.ndarray, expected: list[int]):
    assert shape_K3(predicted, truth)[0].tolist() == expected


def test_a_dotted_prediction_is_three_quarters_holes():
    dotted = np.zeros((1, 64, 64), bool)
    dotted[:, ::2, ::2] = True
    holes, extent, specks = shape_K3(dotted, np.ones_like(dotted))[0].tolist()
    assert (holes, extent, specks) == (63 * 63 - 32 * 32, 63 * 63, 0)  # the last row and column lie outside
    assert holes / extent == pytest.approx(0.75, abs=0.01)


@given(st.integers(0, 2**32), st.sampled_from([0.02, 0.2, 0.5]))
def test_shape_equals_scipy_s_closing_and_a_flood_fill(seed: int, density: float):
    predicted, truth = random_pair(seed, density)
    for k in range(3):
        padded = np.pad(predicted[k], 10)
        closing = ndimage.binary_closing(padded, np.ones((3, 3)))
        extent = ndimage.binary_fill_holes(closing)
        hit = set(map(tuple, (np.argwhere(truth[k]) + 10).tolist()))
        expected = [(extent & ~padded).sum(), extent.sum(), sum(not piece & hit for piece in flood(closing))]
        assert shape_K3(predicted, truth)[k].tolist() == expected


@given(st.integers(0, 2**32), st.permutations(range(3)))
def test_shape_laws(seed: int, order: list[int]):
    predicted, truth = random_pair(seed, 0.3)
    values = shape_K3(predicted, truth)
    np.testing.assert_array_equal(shape_K3(predicted[order], truth[order]), values[order])
    np.testing.assert_array_equal(shape_K3(predicted[:, ::-1], truth[:, ::-1]), values)
    np.testing.assert_array_equal(shape_K3(predicted, predicted)[:, SHAPE.index("specks")], 0)
    holes, extent, _ = values.T
    np.testing.assert_array_equal(extent - holes, predicted.sum((1, 2)))


def test_objects_by_hand():
    truth = classes("00..1",
                    "0...1",
                    "....1",
                    "22..1")
    predicted = classes("00..2",
                        "1...2",
                        "0...1",
                        "....0")
    assert objects_of(predicted, truth) == [
        {"class": 0, "area": 3, "covered": 0, "found": 2, "wrong": 1, "taken_for": 0},
        {"class": 1, "area": 4, "covered": 0, "found": 1, "wrong": 3, "taken_for": 2},
        {"class": 2, "area": 2, "covered": 0, "found": 0, "wrong": 0, "taken_for": -1},
    ]


def test_no_true_object_no_row():
    assert objects_of(np.ones((3, 4, 4), bool), np.zeros((3, 4, 4), bool)) == []


def test_half_each_its_own_class_wins():
    truth = classes("2222...00000")
    assert [row["taken_for"] for row in objects_of(classes("1122...00122"), truth)] == [0, 2]


def test_a_tenth_is_seen_and_less_is_nothing():
    truth = classes("0000000000.11111111111")
    assert [row["taken_for"] for row in objects_of(classes("2..........1.........."), truth)] == [2, -1]


def test_a_class_that_truly_covers_the_object_is_no_mistake():
    truth = classes("00000", ".....") | classes("...11", "...11")
    predicted = classes("...11", "...11")
    assert objects_of(predicted, truth) == [
        {"class": 0, "area": 5, "covered": 2, "found": 0, "wrong": 0, "taken_for": -1},
        {"class": 1, "area": 4, "covered": 2, "found": 4, "wrong": 0, "taken_for": 1},
    ]


def test_corners_join_and_one_pixel_is_an_object():
    rows = objects_of(plane("....", "....", "...."), plane("...#", "#...", ".#.."))
    assert [(row["area"], row["found"]) for row in rows] == [(1, 0), (2, 0)]


@given(st.integers(0, 2**32), st.sampled_from([0, 0.1, 0.3, 0.6, 1]))
def test_objects_equal_a_flood_fill_s(seed: int, density: float):
    predicted, truth = random_pair(seed, density)
    expected = []
    for k in range(3):
        for pixels in flood(truth[k]):
            said = [sum(bool(predicted[j, y, x]) and (j == k or not truth[j, y, x]) for y, x in pixels)
                    for j in range(3)]
            best = max(range(3), key=lambda j: (said[j], j == k, -j))
            expected.append({
                "class": k, "area": len(pixels), "found": said[k],
                "covered": sum(truth[:, y, x].sum() > 1 for y, x in pixels),
                "wrong": sum(any(predicted[j, y, x] and not truth[j, y, x] for j in range(3)) for y, x in pixels),
                "taken_for": best if 10 * said[best] >= len(pixels) else -1})
    assert objects_of(predicted, truth) == expected


@given(st.integers(0, 2**32))
def test_a_batch_has_the_values_of_its_pictures(seed: int):
    """What touches every border joins no other picture's; some planes are empty."""
    random = np.random.default_rng(seed)
    predicted, truth = (random.random((2, 5, 3, *random.integers(1, 12, 2)))
                        < random.choice([0, 0.1, 0.3, 0.7, 1], (2, 5, 3, 1, 1)))
    values, rows = shape_BK3(predicted, truth), objects.objects_of(predicted, truth)
    assert values.shape == (5, 3, len(SHAPE)) and rows.shape[1] == len(OBJECT)
    assert values.dtype == rows.dtype == np.int64
    for picture in range(5):
        alone = objects.objects_of(predicted[picture:picture + 1], truth[picture:picture + 1])
        np.testing.assert_array_equal(rows[rows[:, 0] == picture, 1:], alone[:, 1:])
        for k in range(3):
            plane_alone = shape_BK3(predicted[picture:picture + 1, k:k + 1], truth[picture:picture + 1, k:k + 1])
            np.testing.assert_array_equal(values[picture, k], plane_alone[0, 0])
    assert (np.diff(rows[:, 0]) >= 0).all()
