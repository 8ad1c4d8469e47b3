"""Objects: what a prediction's shapes look like, and what became of every true object.

An object is an 8-connected component of a class's true plane. Shapes: B batch, K classes, H, W, P planes,
N objects.
"""

import numpy as np

from seglib.metrics.planes import components, enclosed, framed, pixels_P, square

SHAPE = ("hole_pixels", "extent_pixels", "specks")
OBJECT = ("picture", "class", "area", "covered", "found", "wrong", "taken_for")

# An object is seen as a class that is predicted on this share of it. At one half, a network that writes one pixel in
# four (mUnet's, see docs/munet.md) would see none.
SEEN = 0.1


def shape_BK3(predicted_BKHW: np.ndarray, truth_BKHW: np.ndarray) -> np.ndarray:
    """The values of `SHAPE` a picture and class: boolean planes to int64 (B, K, 3).

    The extent of a predicted plane is its closing by a 3x3 square, which bridges gaps of at most 2 pixels, with the
    enclosed background (4-connected) filled in.
    hole_pixels: pixels of the extent that are not predicted. extent_pixels: all of them.
    specks: 8-connected components of the closing that overlap no true pixel of the class.
    """
    pictures, classes, height, width = truth_BKHW.shape
    values = np.zeros((pictures * classes, len(SHAPE)), np.int64)
    predicted_PHW = predicted_BKHW.reshape(-1, height, width)
    some = np.flatnonzero(predicted_PHW.any((1, 2)))
    predicted_PHW, truth_PHW = predicted_PHW[some], truth_BKHW.reshape(-1, height, width)[some]
    # Two more pixels on every side: the closing is that of a larger picture with background beyond the border, and
    # what a mask and the border enclose together is no hole.
    closing_PHW = square(square(framed(predicted_PHW, 2), np.logical_or), np.logical_and)
    extent_P = pixels_P(closing_PHW) + pixels_P(enclosed(closing_PHW))
    numbers_PHW, found = components(closing_PHW)
    is_speck = np.ones(found + 1, bool)
    is_speck[0] = False
    is_speck[numbers_PHW[:, 2:-2, 2:-2][truth_PHW]] = False
    specks_P = np.diff(np.cumsum(is_speck)[numbers_PHW.max((1, 2), initial=0)], prepend=0)  # numbered plane after plane
    values[some] = np.stack([extent_P - pixels_P(predicted_PHW), extent_P, specks_P], axis=1)
    return values.reshape(pictures, classes, -1)


def objects_of(predicted_BKHW: np.ndarray, truth_BKHW: np.ndarray) -> np.ndarray:
    """The values of `OBJECT` a true object of boolean planes: int64 (N, 7), counts in pixels.

    In the order of pictures, then classes, then the objects' first pixels.

    picture     b
    class       k
    area        its pixels
    covered     of them, those that the truth of another class holds too
    found       of them, those predicted as k
    wrong       of them, those predicted as some class that the truth does not hold there
    taken_for   the class predicted on the most of them, if on a tenth of them (`SEEN`) or more, else -1. Other
                classes than k count only where the truth does not hold them. k wins ties, then the lowest class does.
    """
    pictures, classes, height, width = truth_BKHW.shape
    framed_PHW = framed(truth_BKHW.reshape(-1, height, width), 1)
    numbers_PHW, objects = components(framed_PHW)
    # Every pixel of every object, Q in all: its object, its place among those of all planes, and of all pictures.
    object_Q = numbers_PHW.ravel()[np.flatnonzero(framed_PHW)] - 1
    true_Q = np.flatnonzero(truth_BKHW)
    plane_Q, place_Q = np.divmod(true_Q, height * width)
    place_Q += plane_Q // classes * (height * width)
    plane_N = np.zeros(objects, np.int64)
    plane_N[object_Q] = plane_Q
    picture_N, class_N = np.divmod(plane_N, classes)

    def counts_N(is_counted_Q: np.ndarray) -> np.ndarray:
        return np.bincount(object_Q[is_counted_Q], minlength=objects)

    false_BKHW = predicted_BKHW & ~truth_BKHW
    predicted_NK = np.stack([counts_N(false_BKHW[:, k].ravel()[place_Q]) for k in range(classes)], axis=1)
    found_N = counts_N(predicted_BKHW.ravel()[true_Q])
    predicted_NK[np.arange(objects), class_N] = found_N  # where the truth holds k, k is never false
    most_N = predicted_NK.max(1)
    area_N = np.bincount(object_Q, minlength=objects)
    taken_N = np.where(found_N == most_N, class_N, predicted_NK.argmax(1))
    taken_N[most_N < SEEN * area_N] = -1
    covered_N = counts_N((truth_BKHW.sum(1, dtype=np.uint16) > 1).ravel()[place_Q])
    wrong_N = counts_N(false_BKHW.any(1).ravel()[place_Q])
    return np.stack([picture_N, class_N, area_N, covered_N, found_N, wrong_N, taken_N], axis=1)
