"""Pixel counts an image and class, and the scores derived from them.

Shapes: B batch, K classes, H, W. Counts are int64 and exact.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor

COUNTS = ("tp", "fp", "fn", "tn")


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


@dataclasses.dataclass(frozen=True)
class ScoreDefinition:
    """A score as a share of counts: numerator and denominator are weights of (tp, fp, fn, tn)."""

    name: str
    formula: str
    numerator: tuple[int, int, int, int]
    denominator: tuple[int, int, int, int]


SCORES = (
    ScoreDefinition("iou", "TP / (TP + FP + FN)", (1, 0, 0, 0), (1, 1, 1, 0)),
    ScoreDefinition("dice", "2 TP / (2 TP + FP + FN)", (2, 0, 0, 0), (2, 1, 1, 0)),
    ScoreDefinition("precision", "TP / (TP + FP)", (1, 0, 0, 0), (1, 1, 0, 0)),
    ScoreDefinition("recall", "TP / (TP + FN)", (1, 0, 0, 0), (1, 0, 1, 0)),
    ScoreDefinition("pixel_accuracy", "(TP + TN) / (TP + FP + FN + TN)", (1, 0, 0, 1), (1, 1, 1, 1)),
)
AGGREGATIONS = {
    "image_mean": "the score of each image, then their mean; an image where the denominator is 0 is left out "
                  "(for IoU and Dice: no such class in the truth and none predicted), "
                  "one with false positives only scores 0",
    "dataset": "the counts of all images added up, then the score of the sums; 0 where a class that is there is never "
               "predicted",
}


def _ratio(counts: np.ndarray, definition: ScoreDefinition) -> np.ndarray:
    """The score of counts (..., 4), NaN where its denominator is 0."""
    numerator, denominator = counts @ np.array(definition.numerator), counts @ np.array(definition.denominator)
    with np.errstate(invalid="ignore"):
        return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), np.nan)


def image_scores(counts_NK4: np.ndarray, name: str) -> np.ndarray:
    """The score `name` of each image and class, (N, K), NaN where an image has nothing to score."""
    return _ratio(counts_NK4, next(definition for definition in SCORES if definition.name == name))


def class_scores(counts_NK4: np.ndarray) -> dict[str, np.ndarray]:
    """Every score by class: `<score>_image_mean` and `<score>_dataset`, each (K,).

    A class that no image's truth holds is NaN throughout: false alarms on it cannot be told from a class that
    was never asked for. Its counts stay in counts.parquet. A class that is there has every score: one with nothing
    to divide by (the precision of a class that is never predicted) is 0.
    """
    present = (counts_NK4[..., 0] + counts_NK4[..., 2]).sum(0) > 0
    scores = {}
    for definition in SCORES:
        an_image = _ratio(counts_NK4, definition)
        scored = ~np.isnan(an_image)
        mean = np.where(scored, an_image, 0).sum(0) / np.maximum(scored.sum(0), 1)
        pooled = np.nan_to_num(_ratio(counts_NK4.sum(0), definition))
        scores[f"{definition.name}_image_mean"] = np.where(present, mean, np.nan)
        scores[f"{definition.name}_dataset"] = np.where(present, pooled, np.nan)
    return scores


def mean_score(by_class: np.ndarray) -> float:
    """The plain mean over the classes that have a score; NaN when none has."""
    scored = by_class[~np.isnan(by_class)]
    return float(scored.mean()) if scored.size else float("nan")
