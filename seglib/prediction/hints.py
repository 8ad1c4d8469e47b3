"""What the truth tells a predictor that must be told: where each object is. Shapes: N objects, K classes, H, W."""

import dataclasses

import numpy as np

EIGHT = np.ones((3, 3), bool)  # objects are 8-connected, as in `metrics.objects`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hint:
    """The objects of one picture at the prepared size, in the order of their classes, then of their first pixels.

    classes: int64 (N,), the class of each.
    boxes: int64 (N, 4), left, top, right and bottom in pixels, right and bottom excluded; None unless asked for.
    points: int64 (N, 2), x and y of a pixel of the object, of those farthest from its outline the first; or None.
    """

    classes_N: np.ndarray
    boxes_N4: np.ndarray | None = None
    points_N2: np.ndarray | None = None


def hint_of(truth_KHW: np.ndarray, kind: str) -> Hint:
    """The hint of a picture from its true planes, bool (K, H, W); kind: "boxes" or "points"."""
    from scipy import ndimage  # most predictors need no hint, and the import takes a quarter of a second

    classes, boxes, points = [], [], []
    for k, plane_HW in enumerate(truth_KHW):
        numbers_HW, count = ndimage.label(plane_HW, EIGHT)
        for number, (rows, columns) in enumerate(ndimage.find_objects(numbers_HW, count), 1):
            classes.append(k)
            boxes.append((columns.start, rows.start, columns.stop, rows.stop))
            if kind == "points":
                points.append(_innermost(numbers_HW[rows, columns] == number, left=columns.start, top=rows.start))
    classes_N = np.array(classes, np.int64)
    if kind == "points":
        return Hint(classes_N=classes_N, points_N2=np.array(points, np.int64).reshape(-1, 2))
    return Hint(classes_N=classes_N, boxes_N4=np.array(boxes, np.int64).reshape(-1, 4))


def _innermost(object_HW: np.ndarray, *, left: int, top: int) -> tuple[int, int]:
    from scipy import ndimage

    depth_HW = ndimage.distance_transform_edt(np.pad(object_HW, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(depth_HW.argmax(), depth_HW.shape)
    return left + int(x), top + int(y)
