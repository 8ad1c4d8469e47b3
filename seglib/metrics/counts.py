"""Pixel counts of each picture and class, on the device where the network runs.

Shapes: B batch, K classes, H, W. Counts are int64 and exact.
"""

import torch
from torch import Tensor

from seglib.metrics.overlap import COUNTS

OWN = tuple(f"own_{name}" for name in COUNTS)  # the same at the picture's own size


def count_BK4(predicted_BKHW: Tensor, truth_BKHW: Tensor, valid_B1HW: Tensor | None = None) -> Tensor:
    """True positives, false positives, false negatives, true negatives of boolean planes: int64 (B, K, 4).

    A pixel does not count if `valid_B1HW` is False there.
    """
    hit, miss = predicted_BKHW & truth_BKHW, ~predicted_BKHW & ~truth_BKHW
    if valid_B1HW is not None:
        hit, miss = hit & valid_B1HW, miss & valid_B1HW
        predicted_BKHW, truth_BKHW = predicted_BKHW & valid_B1HW, truth_BKHW & valid_B1HW
    tp, tn = hit.sum((2, 3)), miss.sum((2, 3))
    return torch.stack([tp, predicted_BKHW.sum((2, 3)) - tp, truth_BKHW.sum((2, 3)) - tp, tn], dim=-1)
