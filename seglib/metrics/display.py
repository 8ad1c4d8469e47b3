"""How DLStudio's code shows an output as a mask: a band of values a class. It assumes outputs at MSE's scale.

Shapes: K classes, H, W.
"""

from collections.abc import Sequence

import numpy as np

# Label value: the lowest and the highest output that its test code paints as that class (DLStudio 2.3.6 to 2.5.8).
BANDS = {50: (25, 85), 100: (65, 135), 150: (115, 185), 200: (165, 230), 250: (210, np.inf)}


def displayed_K(outputs_KHW: np.ndarray, truth_KHW: np.ndarray, label_values: Sequence[float]) -> np.ndarray:
    """True pixels of each class whose raw output lies in its band: float64 (K,), NaN for a label without one."""
    shown = [(output_HW >= BANDS[value][0]) & (output_HW <= BANDS[value][1]) & truth_HW if value in BANDS else None
             for output_HW, truth_HW, value in zip(outputs_KHW, truth_KHW, label_values, strict=True)]
    return np.array([np.nan if plane is None else plane.sum() for plane in shown], np.float64)
