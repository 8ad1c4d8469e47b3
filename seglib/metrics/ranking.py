"""Average precision over pixels, from histograms of scores: the pixels of a split need not fit in memory.

Bins are a float's own: the sign of a score and the first bits of |score| + 1/8. So a bin is 1/8192 wide at 0, never
wider than a thousandth of |score| + 1/8, and beyond 256 all scores share the outermost. The unit hardly matters: logits
do, and so does an output less its threshold. Coarser thresholds lower an interpolated curve, so what comes out is never
more than the exact average precision. On scores of 65,000 pixels it was less than 2e-3 below it, from a network's
beginning to its end, and 1e-4 as a rule (tests/metrics/test_ranking.py).

Shapes: B batch, K classes, H, W; histograms are (K, BINS, 2), the last axis false and true.
"""

import numpy as np
import torch
from torch import Tensor

MANTISSA_BITS = 10  # 1024 bins between a power of two and the next: of 8, 9 and 10 the first that stays within 2e-3
OCTAVES = (-3, 8)  # powers of two between which |score| + 2**-3 is told apart
SIDE = (OCTAVES[1] - OCTAVES[0]) << MANTISSA_BITS
BINS = 2 * SIDE  # 22528: 352 KiB a class
COARSE_BINS = BINS >> (MANTISSA_BITS - 4)  # 16 between a power of two and the next: 352, for resampling


def bins_of(scores: Tensor) -> Tensor:
    """The bin of each score, 0 the lowest: int32 of the same shape. NaN is the lowest score there is."""
    scores = scores.float().nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    # A positive float32 keeps its order when read as an integer: 8 bits of exponent (bias 127), then 23 of mantissa.
    bits = (scores.abs() + 2.0 ** OCTAVES[0]).view(torch.int32)
    lowest = (127 + OCTAVES[0]) << MANTISSA_BITS
    magnitude = ((bits >> (23 - MANTISSA_BITS)) - lowest).clamp_(max=SIDE - 1)
    return torch.where(scores < 0, SIDE - 1 - magnitude, SIDE + magnitude)


class ScoreHistogram:
    """How many true and false pixels have each score: `counts` is int64 (K, BINS, 2), and such counts add up."""

    def __init__(self, classes: int):
        self.counts = np.zeros((classes, BINS, 2), np.int64)

    def add(self, scores_BKHW: Tensor, truth_BKHW: Tensor, valid_B1HW: Tensor | None = None) -> None:
        """Scores are real numbers, higher where the class is likelier; truth and valid are boolean, on one device.

        Pixels where `valid_B1HW` is False count nowhere.
        """
        classes = len(self.counts)
        class_K11 = torch.arange(classes, device=scores_BKHW.device, dtype=torch.int32).view(-1, 1, 1)
        place_BKHW = (bins_of(scores_BKHW) + class_K11 * BINS) * 2 + truth_BKHW
        if valid_B1HW is not None:
            place_BKHW = place_BKHW[valid_B1HW.expand_as(place_BKHW)]
        # Without weights bincount adds integers, whose sum does not depend on the order: deterministic on CUDA as well.
        counts = torch.bincount(place_BKHW.flatten(), minlength=self.counts.size)
        self.counts += counts.cpu().numpy().reshape(self.counts.shape)


def coarse_histograms(scores_BKHW: Tensor, truth_BKHW: Tensor, valid_B1HW: Tensor | None = None) -> np.ndarray:
    """One histogram a picture, `COARSE_BINS` bins a class: uint32 (B, K, COARSE_BINS, 2).

    For resampling pictures: they say what an average precision varies by, where `ScoreHistogram` says what it is.
    """
    pictures, classes = scores_BKHW.shape[:2]
    row_BK11 = torch.arange(pictures * classes, device=scores_BKHW.device).view(pictures, classes, 1, 1)
    place_BKHW = (bins_of(scores_BKHW) // (BINS // COARSE_BINS) + row_BK11 * COARSE_BINS) * 2 + truth_BKHW
    if valid_B1HW is not None:
        place_BKHW = place_BKHW[valid_B1HW.expand_as(place_BKHW)]
    counts = torch.bincount(place_BKHW.flatten(), minlength=pictures * classes * COARSE_BINS * 2)
    return counts.cpu().numpy().astype(np.uint32).reshape(pictures, classes, COARSE_BINS, 2)


def average_precision(histogram_B2: np.ndarray) -> np.ndarray:
    """The area under the interpolated precision-recall curve of (..., B, 2): float64 (...), NaN without true pixels.

    VOC's area since 2010, over all points: at each recall the highest precision reached at that recall or above.
    Pixels of one bin come as one threshold.
    """
    false_B, true_B = np.moveaxis(np.cumsum(histogram_B2[..., ::-1, :], axis=-2), -1, 0)  # the highest score first
    precision_B = true_B / np.maximum(true_B + false_B, 1)
    reached_B = np.maximum.accumulate(precision_B[..., ::-1], axis=-1)[..., ::-1]
    steps_B = np.diff(true_B, axis=-1, prepend=0)
    positives = true_B[..., -1]
    area = (steps_B * reached_B).sum(-1)
    return np.divide(area, positives, out=np.full(area.shape, np.nan), where=positives > 0)
