"""Objects: what a prediction's shapes look like, and what became of every true object.

An object is an 8-connected component of a class's true plane. Shapes: K classes, H, W, N objects.
"""

from typing import Any

import numpy as np
from scipy import ndimage

SHAPE = ("hole_pixels", "extent_pixels", "specks")

EIGHT = np.ones((3, 3), bool)  # ndimage's own default joins 4 neighbours
# An object is seen as a class that is predicted on this share of it. At one half, a network that writes one pixel in
# four (mUnet's, see docs/munet.md) would see none.
SEEN = 0.1


def shape_K3(predicted_KHW: np.ndarray, truth_KHW: np.ndarray) -> np.ndarray:
    """The values of `SHAPE` a class: boolean planes to int64 (K, 3).

    The extent of a predicted plane is its closing by a 3x3 square, which bridges gaps of at most 2 pixels, with the
    enclosed background (4-connected) filled in.
    hole_pixels: pixels of the extent that are not predicted. extent_pixels: all of them.
    specks: 8-connected components of the closing that overlap no true pixel of the class.
    """
    values_K3 = np.zeros((len(truth_KHW), len(SHAPE)), np.int64)
    for k in np.flatnonzero(predicted_KHW.any((1, 2))):
        # Two more pixels on every side: the closing is that of a larger picture with background beyond the border, and
        # what a mask and the border enclose together is no hole.
        closing_HW = ~_neighbours_any(~_neighbours_any(np.pad(predicted_KHW[k], 2)))
        background_HW, _ = ndimage.label(~closing_HW)
        extent = np.count_nonzero(background_HW != background_HW[0, 0])
        components_HW, components = ndimage.label(closing_HW, EIGHT)
        touching = np.count_nonzero(np.bincount(components_HW[2:-2, 2:-2][truth_KHW[k]])[1:])
        values_K3[k] = extent - np.count_nonzero(predicted_KHW[k]), extent, components - touching
    return values_K3


def _neighbours_any(plane_HW: np.ndarray) -> np.ndarray:
    """Dilation by a 3x3 square inside the array, as a column of three and a row of three: faster than ndimage's."""
    column_HW = plane_HW.copy()
    column_HW[1:] |= plane_HW[:-1]
    column_HW[:-1] |= plane_HW[1:]
    dilated_HW = column_HW.copy()
    dilated_HW[:, 1:] |= column_HW[:, :-1]
    dilated_HW[:, :-1] |= column_HW[:, 1:]
    return dilated_HW


def objects_of(predicted_KHW: np.ndarray, truth_KHW: np.ndarray) -> list[dict[str, Any]]:
    """A row a true object of boolean planes, by class and then by the object's first pixel; counts in pixels.

    class       int, k
    area        its pixels
    covered     of them, those that the truth of another class holds too
    found       of them, those predicted as k
    wrong       of them, those predicted as some class that the truth does not hold there
    taken_for   int: the class predicted on the most of them, if on a tenth of them (`SEEN`) or more, else -1. Other
                classes than k count only where the truth does not hold them. k wins ties, then the lowest class does.
    """
    rows = []
    false_KHW = predicted_KHW & ~truth_KHW
    for k in np.flatnonzero(truth_KHW.any((1, 2))):
        labels_HW, objects = ndimage.label(truth_KHW[k], EIGHT)  # numbered in the order of their first pixels
        labels_P = labels_HW[truth_KHW[k]]  # P pixels of the class

        def counts_N(pixels_HW: np.ndarray, k=k, labels_P=labels_P, objects=objects) -> np.ndarray:
            return np.bincount(labels_P[pixels_HW[truth_KHW[k]]], minlength=objects + 1)[1:]

        predicted_NK = np.stack([counts_N(plane_HW) for plane_HW in false_KHW], axis=1)
        predicted_NK[:, k] = found_N = counts_N(predicted_KHW[k])  # where the truth holds k, k is never false
        taken_N = np.where(found_N == predicted_NK.max(1), k, predicted_NK.argmax(1))
        area_N = np.bincount(labels_P, minlength=objects + 1)[1:]
        taken_N[predicted_NK.max(1) < SEEN * area_N] = -1
        columns = {"area": area_N, "covered": counts_N(truth_KHW.sum(0) > 1), "found": found_N,
                   "wrong": counts_N(false_KHW.any(0)), "taken_for": taken_N}
        rows += [{"class": int(k)} | {name: int(values_N[n]) for name, values_N in columns.items()}
                 for n in range(objects)]
    return rows
