"""Stacks of planes against SciPy, a plane at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from seglib.metrics.planes import components, enclosed, framed, pixels_P, square, surface

SQUARE = np.ones((3, 3))


@st.composite
def stacks(draw: st.DrawFn) -> np.ndarray:
    """(P, H, W) of any density, with empty and full planes among them, and with empty rows."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(0, 5)), draw(st.integers(1, 15)), draw(st.integers(1, 15)))
    density = random.choice([0, 0.05, 0.3, 0.6, 1], (shape[0], 1, 1)) * random.choice([0, 1, 1], (*shape[:2], 1))
    return random.random(shape) < density


@given(stacks(), st.sampled_from([1, 2]))
def test_squares_and_surfaces_equal_scipy_s_erosion_and_dilation(planes: np.ndarray, frame: int):
    stack = framed(planes, frame)
    assert stack.shape == (len(planes), planes.shape[1] + 2 * frame, planes.shape[2] + 2 * frame)
    eroded, outline = square(stack, np.logical_and), surface(stack)
    closing = square(square(framed(planes, 2), np.logical_or), np.logical_and)
    inner = np.s_[frame:-frame, frame:-frame]
    for p, plane in enumerate(planes):
        np.testing.assert_array_equal(stack[p][inner], plane)
        np.testing.assert_array_equal(eroded[p][inner], ndimage.binary_erosion(plane, SQUARE))
        np.testing.assert_array_equal(outline[p][inner], plane & ~ndimage.binary_erosion(plane))
        np.testing.assert_array_equal(closing[p], ndimage.binary_closing(np.pad(plane, 4), SQUARE)[2:-2, 2:-2])
    assert stack.sum() == planes.sum() and pixels_P(stack).tolist() == planes.sum((1, 2)).tolist()


@pytest.mark.parametrize("frame", [1, 2])
@given(stacks())
def test_components_and_what_they_enclose_equal_scipy_s_of_each_plane(frame: int, planes: np.ndarray):
    stack = framed(planes, frame)
    numbers, found = components(stack)
    holes = enclosed(stack)
    before = 0
    for p, plane in enumerate(stack):
        expected, count = ndimage.label(plane, SQUARE)
        np.testing.assert_array_equal(numbers[p], np.where(expected, expected + before, 0))
        np.testing.assert_array_equal(holes[p], ndimage.binary_fill_holes(plane) & ~plane)
        before += count
    assert found == before
    firsts = [np.flatnonzero(numbers == number)[0] for number in range(1, found + 1)]
    assert firsts == sorted(firsts)


@pytest.mark.parametrize("turns", [1, 2, 6])
def test_a_spiral_is_one_component_and_encloses_nothing(turns: int):
    """Its rows are joined one after the other, in the end through its middle."""
    side = 4 * turns + 3
    spiral = np.zeros((side, side), bool)
    y, x, dy, dx = 0, 0, 0, 1
    spiral[0, 0] = True
    for length in [side - 1, *np.repeat(range(side - 1, 1, -2), 2)]:
        for _ in range(length):
            y, x = y + dy, x + dx
            spiral[y, x] = True
        dy, dx = dx, -dy
    stack = framed(np.stack([spiral, spiral.T, ~spiral]), 1)
    numbers, found = components(stack)
    assert found == ndimage.label(~spiral, SQUARE)[1] + 2
    np.testing.assert_array_equal(numbers[:2], stack[:2] * np.array([1, 2])[:, None, None])
    for plane, holes in zip(stack, enclosed(stack), strict=True):
        np.testing.assert_array_equal(holes, ndimage.binary_fill_holes(plane) & ~plane)


@given(st.integers(0, 2**32))
def test_large_noise_has_scipy_s_components(seed: int):
    random = np.random.default_rng(seed)
    planes = random.random((3, 90, 70)) < random.uniform(0, 1, (3, 1, 1))
    numbers, found = components(framed(planes, 1))
    expected, count = ndimage.label(np.concatenate(framed(planes, 1)), SQUARE)
    np.testing.assert_array_equal(np.concatenate(numbers), expected)
    assert found == count
