"""All counts of some pictures, from boolean planes, by NumPy and SciPy alone.

Shapes: B pictures, K classes, H, W, N objects.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from seglib.metrics.boundary import boundary_BK6
from seglib.metrics.confusion import pixel_confusion
from seglib.metrics.display import displayed_BK
from seglib.metrics.objects import OBJECT, objects_of, shape_BK3
from seglib.metrics.planes import pixels_P

PART_PIXELS = 1 << 19  # times classes: counted at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureCounts:
    """counts: float64 (B, K, C), in the order of `counts.COUNTS`, `boundary.BOUNDARY`, `objects.SHAPE`, displayed.

    objects: `objects_of`, int64 (N, 7). confusion: `pixel_confusion`, int64 (K + 1, K + 2).
    """

    counts_BKC: np.ndarray
    objects_N7: np.ndarray
    confusion: np.ndarray


def count_pictures(predicted_BKHW: np.ndarray, truth_BKHW: np.ndarray, valid_B1HW: np.ndarray | None,
                   outputs_BKHW: np.ndarray | None, *, tolerance: int, boundary_band: int | None,
                   label_values: Sequence[float] | None) -> PictureCounts:
    """Count boolean planes (B, K, H, W), B at least 1. Pixels where valid is False are in no count.

    outputs: float (B, K, H, W), in the unit of the label values; None if there are none. tolerance, boundary_band: in
    pixels, as in `boundary_BK6`.
    """
    size = max(1, PART_PIXELS // math.prod(truth_BKHW.shape[1:]))
    parts = []
    for start in range(0, len(truth_BKHW), size):
        planes = (None if planes is None else planes[start:start + size]
                  for planes in (predicted_BKHW, truth_BKHW, valid_B1HW, outputs_BKHW))
        part = _count_part(*planes, tolerance=tolerance, boundary_band=boundary_band, label_values=label_values)
        part.objects_N7[:, OBJECT.index("picture")] += start
        parts.append(part)
    return PictureCounts(counts_BKC=np.concatenate([part.counts_BKC for part in parts]),
                         objects_N7=np.concatenate([part.objects_N7 for part in parts]),
                         confusion=sum(part.confusion for part in parts))


def pixel_counts_BK4(predicted_BKHW: np.ndarray, truth_BKHW: np.ndarray, valid_B1HW: np.ndarray | None) -> np.ndarray:
    """As `metrics.counts.count_BK4`, in a tenth of its time: int64 (B, K, 4). No plane may hold an ignored pixel."""
    pictures, classes, height, width = truth_BKHW.shape
    pixels_B1 = height * width if valid_B1HW is None else pixels_P(valid_B1HW)[:, None]
    tp, predicted, true = (pixels_P(planes_BKHW.reshape(-1, height, width)).reshape(pictures, classes)
                           for planes_BKHW in (predicted_BKHW & truth_BKHW, predicted_BKHW, truth_BKHW))
    return np.stack([tp, predicted - tp, true - tp, pixels_B1 - predicted - true + tp], axis=-1)


def _count_part(predicted_BKHW: np.ndarray, truth_BKHW: np.ndarray, valid_B1HW: np.ndarray | None,
                outputs_BKHW: np.ndarray | None, *, tolerance: int, boundary_band: int | None,
                label_values: Sequence[float] | None) -> PictureCounts:
    if valid_B1HW is not None:
        predicted_BKHW, truth_BKHW = predicted_BKHW & valid_B1HW, truth_BKHW & valid_B1HW
    displayed = (np.full(truth_BKHW.shape[:2], np.nan) if label_values is None
                 else displayed_BK(outputs_BKHW, truth_BKHW, label_values))
    counts_BKC = np.concatenate([
        pixel_counts_BK4(predicted_BKHW, truth_BKHW, valid_B1HW),
        boundary_BK6(predicted_BKHW, truth_BKHW, tolerance=tolerance, band=boundary_band),
        shape_BK3(predicted_BKHW, truth_BKHW), displayed[..., None]], axis=-1)
    return PictureCounts(counts_BKC=counts_BKC, objects_N7=objects_of(predicted_BKHW, truth_BKHW),
                         confusion=pixel_confusion(predicted_BKHW, truth_BKHW, valid_B1HW))
