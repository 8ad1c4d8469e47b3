"""Which class is taken for which, in pixels. Shapes: K classes, H, W."""

import numpy as np


def pixel_confusion(predicted_KHW: np.ndarray, truth_KHW: np.ndarray, valid_HW: np.ndarray | None = None) -> np.ndarray:
    """Pixels by true and predicted class, from boolean planes: int64 (K + 1, K + 2).

    Rows are the truth: class 0 to K - 1, then background. A pixel that several classes truly hold is in no row.
    Columns are the prediction: class 0 to K - 1, background, then "several", more than one class predicted. Where
    classes exclude each other "several" is empty and the rest is the usual confusion matrix.
    Pixels where `valid_HW` is False count nowhere.
    """
    classes = len(truth_KHW)
    true_HW, predicted_HW = _single_class(truth_KHW), _single_class(predicted_KHW)
    counted_HW = true_HW <= classes
    if valid_HW is not None:
        counted_HW &= valid_HW
    places = true_HW[counted_HW] * (classes + 2) + predicted_HW[counted_HW]
    return np.bincount(places, minlength=(classes + 1) * (classes + 2)).reshape(classes + 1, classes + 2)


def _single_class(planes_KHW: np.ndarray) -> np.ndarray:
    """The class that a pixel holds, K for none, K + 1 for several: int64 (H, W)."""
    classes = len(planes_KHW)
    class_HW = np.full(planes_KHW.shape[1:], classes)
    for k, plane_HW in enumerate(planes_KHW):
        class_HW[plane_HW] = k
    class_HW[planes_KHW.sum(0) > 1] = classes + 1
    return class_HW
