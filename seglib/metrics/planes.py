"""Whole stacks of boolean planes in few array operations: a call a stack costs a fraction of a call a plane.

Planes are framed by background, so that in memory no pixel's neighbour belongs to another plane or row.

Components are found by NumPy. `scipy.ndimage.label` is little faster for the masks of a trained network, and three
times as fast for noise, but its import takes a quarter of a second, as long as all counts of a thousand small pictures.

Shapes: P planes, H, W, R rows, N runs (pixels of one row that are neighbours), E pairs of runs that touch.
"""

import numpy as np


def framed(planes_PHW: np.ndarray, frame: int) -> np.ndarray:
    """Boolean planes with `frame` more pixels of background on each side, contiguous."""
    planes, height, width = planes_PHW.shape
    framed_PHW = np.zeros((planes, height + 2 * frame, width + 2 * frame), bool)
    framed_PHW[:, frame:-frame, frame:-frame] = planes_PHW
    return framed_PHW


def square(framed_PHW: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """`combine` over the 3x3 square around each pixel: np.logical_and erodes, np.logical_or dilates.

    A column of three, then a row of three. Planes may not reach into their frames' outermost pixels.
    """
    square_PHW = framed_PHW
    for step in (framed_PHW.shape[2], 1):
        square_PHW = _with_neighbours(square_PHW, square_PHW, step, combine)
    return square_PHW


def surface(framed_PHW: np.ndarray) -> np.ndarray:
    """The pixels that have one of their 4 neighbours outside their plane: boolean, framed like the planes."""
    inside_PHW = framed_PHW
    for step in (framed_PHW.shape[2], 1):
        inside_PHW = _with_neighbours(inside_PHW, framed_PHW, step, np.logical_and)
    return framed_PHW & ~inside_PHW


def _with_neighbours(start_PHW: np.ndarray, planes_PHW: np.ndarray, step: int, combine: np.ufunc) -> np.ndarray:
    """`start_PHW` combined with the pixels of `planes_PHW` that lie `step` before and behind in memory."""
    combined, flat = start_PHW.flatten(), planes_PHW.ravel()
    combine(combined[step:], flat[:-step], out=combined[step:])
    combine(combined[:-step], flat[step:], out=combined[:-step])
    return combined.reshape(planes_PHW.shape)


def pixels_P(planes_PHW: np.ndarray) -> np.ndarray:
    """How many pixels each plane holds: int64 (P,). One call a plane is three times as fast as NumPy's own `axis`."""
    return np.array([np.count_nonzero(plane_HW) for plane_HW in planes_PHW], np.int64)


def components(framed_PHW: np.ndarray) -> tuple[np.ndarray, int]:
    """The 8-connected components of all planes: their numbers, int32 framed like the planes, and how many there are.

    They are numbered from 1, plane after plane, and in a plane in the order of their first pixels. 0 is background.
    """
    tall_RW, kept_R = _tall(framed_PHW)
    numbers_RW = np.zeros(tall_RW.shape, np.int32)
    numbers_RW[kept_R], found = _numbered(tall_RW[kept_R], diagonal=True)
    return numbers_RW.reshape(framed_PHW.shape), found


def enclosed(framed_PHW: np.ndarray) -> np.ndarray:
    """Background that is not 4-connected with the frame: boolean, framed like the planes."""
    tall_RW, kept_R = _tall(framed_PHW)
    enclosed_RW = np.zeros(tall_RW.shape, bool)
    background_RW, _ = _numbered(~tall_RW[kept_R], diagonal=False)
    enclosed_RW[kept_R] = background_RW > 1  # the first pixel is one of the frame's, which hangs together
    return enclosed_RW.reshape(framed_PHW.shape)


def _numbered(plane_RW: np.ndarray, *, diagonal: bool) -> tuple[np.ndarray, int]:
    """The components of one plane, in the order of their first pixels: int32 (R, W), 0 outside, and how many there are.

    diagonal: whether pixels that share only a corner are neighbours.
    """
    rows, width = plane_RW.shape
    stride = width + 1  # a pixel of background ends each row
    padded = np.zeros((rows + 2, stride), np.int8)
    padded[1:-1, :-1] = plane_RW
    step = np.diff(padded.ravel(), prepend=np.int8(0))
    start_N, stop_N = np.flatnonzero(step == 1), np.flatnonzero(step == -1)
    # The runs of the next row that touch a run follow each other. The first is the first that does not end too early,
    # the last is the last that does not begin too late.
    first_N = np.cumsum(step == -1, dtype=np.int32)[start_N + (stride - diagonal)]
    behind_N = np.cumsum(step == 1, dtype=np.int32)[stop_N + (stride + diagonal - 1)]
    root_N = _joined(first_N, behind_N - first_N)
    is_root_N = root_N == np.arange(len(root_N))
    numbers_RW = np.zeros(padded.shape, np.int32)
    numbers_RW[padded.view(bool)] = np.repeat(np.cumsum(is_root_N, dtype=np.int32)[root_N], stop_N - start_N)
    return numbers_RW[1:-1, :-1], int(is_root_N.sum())


def _joined(first_N: np.ndarray, count_N: np.ndarray) -> np.ndarray:
    """The lowest run with which each run is connected: int32 (N,).

    Run n touches `count` runs that follow each other, beginning with run `first`.
    """
    root_N = np.arange(len(first_N), dtype=np.int32)
    upper_E = np.repeat(root_N, count_N)
    lower_E = np.arange(len(upper_E), dtype=np.int32) - np.repeat(np.cumsum(count_N) - count_N - first_N, count_N)
    while True:
        one_E, other_E = root_N[upper_E], root_N[lower_E]
        differs_E = one_E != other_E
        if not differs_E.any():
            return root_N
        upper_E, lower_E = upper_E[differs_E], lower_E[differs_E]
        np.minimum.at(root_N, np.maximum(one_E, other_E)[differs_E], np.minimum(one_E, other_E)[differs_E])
        while not np.array_equal(further_N := root_N[root_N], root_N):
            root_N = further_N


def _tall(framed_PHW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The planes below each other (R, W), and which rows to keep: most are empty, and one between others is enough."""
    tall_RW = framed_PHW.reshape(-1, framed_PHW.shape[2])
    kept_R = tall_RW.any(1)
    kept_R[1:] |= kept_R[:-1].copy()
    kept_R[:1] = True  # and one above them all
    return tall_RW, kept_R
