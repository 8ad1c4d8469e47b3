"""How DLStudio's code shows an output as a mask: a band of values a class. It assumes outputs at MSE's scale.

Shapes: B batch, K classes, H, W.
"""

from collections.abc import Sequence

import numpy as np

# Label value: the lowest and the highest output that its test code paints as that class (DLStudio 2.3.6 to 2.5.8).
BANDS = {50: (25, 85), 100: (65, 135), 150: (115, 185), 200: (165, 230), 250: (210, np.inf)}


def displayed_BK(outputs_BKHW: np.ndarray, truth_BKHW: np.ndarray, label_values: Sequence[float]) -> np.ndarray:
    """True pixels of each class whose raw output lies in its band: float64 (B, K), NaN for a label without one."""
    assert len(label_values) == truth_BKHW.shape[1], label_values
    shown = np.full(truth_BKHW.shape[:2], np.nan)
    for k, value in enumerate(label_values):
        if value in BANDS:
            low, high = BANDS[value]
            output_BHW = outputs_BKHW[:, k]
            shown[:, k] = ((output_BHW >= low) & (output_BHW <= high) & truth_BKHW[:, k]).sum((1, 2))
    return shown
