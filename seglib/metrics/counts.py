"""Pixel counts an image and class, and what a training says of itself while it runs.

Shapes: B batch, K classes, H, W. Counts are int64 and exact.
"""

import numpy as np
import torch
from torch import Tensor

COUNTS = ("tp", "fp", "fn", "tn")
OWN = tuple(f"own_{name}" for name in COUNTS)  # the same at the picture's own size


def count_BK4(predicted_BKHW: Tensor, truth_BKHW: Tensor, valid_B1HW: Tensor | None = None) -> Tensor:
    """True positives, false positives, false negatives, true negatives of boolean planes: int64 (B, K, 4).

    Pixels where `valid_B1HW` is False count nowhere.
    """
    hit, miss = predicted_BKHW & truth_BKHW, ~predicted_BKHW & ~truth_BKHW
    if valid_B1HW is not None:
        hit, miss = hit & valid_B1HW, miss & valid_B1HW
        predicted_BKHW, truth_BKHW = predicted_BKHW & valid_B1HW, truth_BKHW & valid_B1HW
    tp, tn = hit.sum((2, 3)), miss.sum((2, 3))
    return torch.stack([tp, predicted_BKHW.sum((2, 3)) - tp, truth_BKHW.sum((2, 3)) - tp, tn], dim=-1)


def pooled_scores(counts_K4: np.ndarray) -> dict[str, float]:
    """IoU, Dice and pixel accuracy of summed counts, the plain mean over the classes that the truth holds.

    TP / (TP + FP + FN), 2 TP / (2 TP + FP + FN) and (TP + TN) / all: the `iou_dataset`, `dice_dataset` and
    `pixel_accuracy_dataset` of `scores`, for the loop. NaN where the truth holds no class.
    """
    tp, fp, fn, tn = counts_K4[counts_K4[:, 0] + counts_K4[:, 2] > 0].T
    if not tp.size:
        return dict.fromkeys(("iou", "dice", "pixel_accuracy"), float("nan"))
    return {"iou": float((tp / (tp + fp + fn)).mean()), "dice": float((2 * tp / (2 * tp + fp + fn)).mean()),
            "pixel_accuracy": float(((tp + tn) / (tp + fp + fn + tn)).mean())}
