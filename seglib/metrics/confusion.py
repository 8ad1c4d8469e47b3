"""Which class is taken for which, in pixels. Shapes: B batch, K classes, H, W."""

import numpy as np


def pixel_confusion(predicted_BKHW: np.ndarray, truth_BKHW: np.ndarray,
                    valid_B1HW: np.ndarray | None = None) -> np.ndarray:
    """Pixels by true and predicted class, from boolean planes: int64 (K + 1, K + 2).

    Rows are the truth: class 0 to K - 1, then background. A pixel that several classes truly hold is in no row.
    Columns are the prediction: class 0 to K - 1, background, then "several", more than one class predicted. Where
    classes exclude each other "several" is empty and the rest is the usual confusion matrix.
    Pixels where `valid_B1HW` is False count nowhere.
    """
    classes = truth_BKHW.shape[1]
    place_BHW = _single_class(truth_BKHW) * np.int32(classes + 2) + _single_class(predicted_BKHW)
    if valid_B1HW is not None:
        place_BHW = place_BHW[valid_B1HW[:, 0]]
    counts = np.bincount(place_BHW.ravel(), minlength=(classes + 2) ** 2)
    return counts.reshape(classes + 2, classes + 2)[:-1]


def _single_class(planes_BKHW: np.ndarray) -> np.ndarray:
    """The class that a pixel holds, K for none, K + 1 for several: (B, H, W) of the narrowest unsigned type."""
    classes = planes_BKHW.shape[1]
    dtype = np.min_scalar_type(classes + 1)
    class_BHW = np.full(planes_BKHW[:, 0].shape, classes, dtype)
    held_BHW, several_BHW = np.zeros((2, *class_BHW.shape), bool)
    for k in range(classes):
        plane_BHW = planes_BKHW[:, k]
        class_BHW -= plane_BHW * dtype.type(classes - k)
        several_BHW |= held_BHW & plane_BHW
        held_BHW |= plane_BHW
    class_BHW[several_BHW] = classes + 1
    return class_BHW
