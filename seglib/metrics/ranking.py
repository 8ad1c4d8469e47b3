"""Average precision over pixels, from histograms of scores: the pixels of a split need not fit in memory.

Bins are a float's own: the sign of a score and the first bits of |score| + 1/8. So a bin is 1/8192 wide at 0, never
wider than a thousandth of |score| + 1/8, and beyond 256 all scores share the outermost. The unit hardly matters: logits
do, and so does an output less its threshold. Coarser thresholds lower an interpolated curve, so what comes out is never
more than the exact average precision. On scores of 65,000 pixels it was less than 2e-3 below it, from a network's
beginning to its end, and 1e-4 as a rule (tests/metrics/test_ranking.py).

Shapes: B batch, K classes, H, W; histograms are (K, BINS, 2), the last axis false and true.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seglib.files import atomic_file

MANTISSA_BITS = 10  # 1024 bins between a power of two and the next: of 8, 9 and 10 the first that stays within 2e-3
OCTAVES = (-3, 8)  # powers of two between which |score| + 2**-3 is told apart
SIDE = (OCTAVES[1] - OCTAVES[0]) << MANTISSA_BITS
BINS = 2 * SIDE  # 22528: 352 KiB a class
COARSE_BITS = MANTISSA_BITS - 4  # 16 bins between a power of two and the next, for resampling
COARSE_BINS = BINS >> COARSE_BITS  # 352
PART_PIXELS = 1 << 17  # times classes, put into bins at once: what a processor's cache holds goes twice as fast


def bins_of(scores: Tensor) -> Tensor:
    """The bin of each score, 0 the lowest: int32 of the same shape. NaN is the lowest score there is."""
    scores = scores.float()
    # A positive float32 keeps its order when read as an integer: 8 bits of exponent (bias 127), then 23 of mantissa.
    # Infinity and NaN read as more than any number.
    magnitude = scores.abs().add_(2.0 ** OCTAVES[0]).view(torch.int32)
    magnitude >>= 23 - MANTISSA_BITS
    lowest = (127 + OCTAVES[0]) << MANTISSA_BITS
    magnitude.clamp_(max=lowest + SIDE - 1).sub_(lowest)
    below = (scores >= 0).int().sub_(1)  # -1 below zero and for NaN, else 0; torch.where takes thrice the time
    return magnitude.bitwise_xor_(below).add_(SIDE)  # x ^ -1 is -1 - x


def places_of(scores_BKHW: Tensor, truth_BKHW: Tensor) -> Tensor:
    """Where each pixel counts, for both kinds of histogram: its bin, and `BINS` more where it is true; int32.

    Scores are real numbers, higher where the class is likelier; truth is boolean; both on one device, and fastest where
    memory holds them in the order of their axes.
    """
    places_BKHW = torch.empty(scores_BKHW.shape, dtype=torch.int32, device=scores_BKHW.device)
    step = max(1, PART_PIXELS // scores_BKHW[0].numel())
    for start in range(0, len(scores_BKHW), step):
        some = slice(start, start + step)
        places_BKHW[some] = bins_of(scores_BKHW[some]).add_(truth_BKHW[some], alpha=BINS)
    return places_BKHW


class ScoreHistogram:
    """How many true and false pixels have each score: `counts` is int64 (K, BINS, 2)."""

    def __init__(self, classes: int):
        self.counts = np.zeros((classes, BINS, 2), np.int64)

    def add(self, places_BKHW: Tensor, valid_B1HW: Tensor | None = None) -> None:
        """Add pixels by their `places_of`. Those where `valid_B1HW` is False are in no count."""
        self.counts += _histograms(places_BKHW, valid_B1HW, (len(self.counts), BINS))


def coarse_histograms(places_BKHW: Tensor, valid_B1HW: Tensor | None = None) -> np.ndarray:
    """One histogram per picture, with `COARSE_BINS` bins for each class: uint32 (B, K, COARSE_BINS, 2).

    They are for resampling pictures: they say how much an average precision varies, and `ScoreHistogram` what it is.
    """
    coarse_BKHW = places_BKHW >> COARSE_BITS
    return _histograms(coarse_BKHW, valid_B1HW, (*places_BKHW.shape[:2], COARSE_BINS)).astype(np.uint32)


def write_histograms(path: Path, of_splits: Mapping[str, tuple[ScoreHistogram, np.ndarray]]) -> None:
    """Write ranking.npz: each split's own histogram, and the coarse ones of its pictures."""
    arrays = {}
    for split, (whole, by_picture_NKB2) in of_splits.items():
        arrays |= {f"{split}_whole": whole.counts, f"{split}_by_picture": by_picture_NKB2}
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


@dataclasses.dataclass(frozen=True)
class SplitHistograms:
    """A split's histograms in ranking.npz. They are large, so they are read when they are asked for."""

    path: Path
    split: str

    def whole_KB2(self) -> np.ndarray:
        """All pixels of the split: int64 (K, BINS, 2)."""
        return self._read("whole")

    def by_picture_NKB2(self) -> np.ndarray:
        """The pixels of each picture in coarse bins: uint32 (N, K, COARSE_BINS, 2)."""
        return self._read("by_picture")

    def _read(self, name: str) -> np.ndarray:
        with np.load(self.path) as arrays:
            return arrays[f"{self.split}_{name}"]


def _histograms(places_BKHW: Tensor, valid_B1HW: Tensor | None, shape: tuple[int, ...]) -> np.ndarray:
    """Counts of each place, false and true last: int64 (*shape, 2). The shape is (K, bins) or (B, K, bins)."""
    *rows, bins = shape
    first = torch.arange(math.prod(rows), device=places_BKHW.device, dtype=torch.int32) * (2 * bins)
    places_BKHW = places_BKHW + first.view(*rows, 1, 1)
    if valid_B1HW is not None:
        places_BKHW = places_BKHW[valid_B1HW.expand_as(places_BKHW)]
    # Without weights bincount adds integers, whose sum does not depend on the order: deterministic on CUDA as well.
    counts = torch.bincount(places_BKHW.flatten(), minlength=math.prod(shape) * 2)
    return counts.cpu().numpy().reshape(*rows, 2, bins).swapaxes(-1, -2)


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
