"""IoU and Dice of the same counts as other libraries define them: what they average, and how they count empty masks.

Each convention is a mean over columns of ratios of two sums over pictures, as seglib's own scores are. So one engine
gives the values, the intervals and the tests of all. All of them use the counts of the dataset's classes. There is no
class for background, and ignored pixels are not counted.

Sources: torchmetrics 1.9 (`torchmetrics.segmentation`: `MeanIoU` and `DiceScore` with their defaults) and
segmentation_models_pytorch 0.5, called smp (`metrics.functional`: `iou_score` and `f1_score`, by their `reduction`,
with their default `zero_division=1`).

Shapes: N pictures, K classes. A pooled ratio is the same for every class.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from seglib.metrics.cases import Cases
from seglib.metrics.overlap import OVERLAP
from seglib.metrics.scores import BY_NAME
from seglib.metrics.scores.ratio import Ratio, counted, divided
from seglib.metrics.scores.score import AGGREGATIONS

BASES = ("iou", "dice")
# From the numerators and denominators of a score, (N, K) each, to those that a convention adds up.
Sums = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Convention:
    title: str
    """How the page calls it"""
    definition: str
    """What is averaged, and how empty masks count, in words that the page shows"""
    scores: Mapping[str, Ratio]
    """The scores that it defines, by their base: one or both of `BASES`"""


def _own(aggregation: str) -> Convention:
    """One of seglib's own: a key of `AGGREGATIONS`."""
    return Convention(title=AGGREGATIONS[aggregation].title, definition=AGGREGATIONS[aggregation].definition,
                      scores={base: BY_NAME[f"{base}_{aggregation}"] for base in BASES})


def _library(name: str, title: str, definition: str, sums: Sums, bases: tuple[str, ...] = BASES) -> Convention:
    """A library's; `name` ends the names of its scores."""

    def score(base: str) -> Ratio:
        above, below = counted(OVERLAP[base].numerator), counted(OVERLAP[base].denominator)

        def part(which: int) -> Callable[[Cases], np.ndarray]:
            return lambda cases: np.broadcast_to(sums(above(cases), below(cases))[which], cases["tp"].shape)

        return Ratio(base=f"{base}_{name}", heading=f"{OVERLAP[base].title}, {title}", formula=definition,
                     empty=definition, absent_count=True, numerator=part(0), denominator=part(1))

    return Convention(title=title, definition=definition, scores={base: score(base) for base in bases})


def _mean_iou(above_NK: np.ndarray, below_NK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known_NK = below_NK > 0
    return np.nan_to_num(divided(above_NK, below_NK)).sum(1, keepdims=True), known_NK.sum(1, keepdims=True)


def _dice_score(above_NK: np.ndarray, below_NK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total_N1, known_N1 = _mean_iou(above_NK, below_NK)
    return np.nan_to_num(divided(total_N1, known_N1)), known_N1 > 0


def _micro(above_NK: np.ndarray, below_NK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return above_NK.sum(1, keepdims=True), below_NK.sum(1, keepdims=True)


def _macro(above_NK: np.ndarray, below_NK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    is_empty_K = below_NK.sum(0) == 0
    return np.where(is_empty_K, 1.0, above_NK), np.where(is_empty_K, 1.0, below_NK)


def _macro_imagewise(above_NK: np.ndarray, below_NK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.nan_to_num(divided(above_NK, below_NK), nan=1.0), np.ones_like(above_NK)


def _micro_imagewise(above_NK: np.ndarray, below_NK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _macro_imagewise(*_micro(above_NK, below_NK))


# The page shows them in this order. The first is the headline's.
CONVENTIONS: dict[str, Convention] = {
    "dataset": _own("dataset"),
    "image_mean": _own("image_mean"),
    "mean_iou": _library(
        "mean_iou", "torchmetrics MeanIoU",
        "the score of each picture and class, then the mean of all; a pair in which both masks are empty is left out",
        _mean_iou, bases=("iou",)),
    "dice_score": _library(
        "dice_score", "torchmetrics DiceScore",
        "the score of each picture and class, then the mean over each picture's classes, then over pictures; a pair in "
        "which both masks are empty is left out", _dice_score, bases=("dice",)),
    "smp_micro": _library(
        "smp_micro", "smp micro", "the counts of all pictures and classes added up, then the score of the sums; large "
        "classes decide it, and empty masks add nothing", _micro),
    "smp_macro": _library(
        "smp_macro", "smp macro", "all pixels, but a class that no picture holds takes part: it scores 1 if it is "
        "never predicted, else 0", _macro),
    "smp_micro_imagewise": _library(
        "smp_micro_imagewise", "smp micro-imagewise", "the counts of each picture's classes added up, then the score "
        "of each picture, then their mean; a picture in which all masks are empty scores 1", _micro_imagewise),
    "smp_macro_imagewise": _library(
        "smp_macro_imagewise", "smp macro-imagewise", "the score of each picture and class, then the mean of all; a "
        "pair in which both masks are empty scores 1", _macro_imagewise),
}
