"""The scores that follow from the counts TP, FP, FN and TN alone. They need nothing but NumPy.

Shapes: K classes. The last axis of `counts_K4` is that of `COUNTS`.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

COUNTS = ("tp", "fp", "fn", "tn")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overlap:
    """A score that is a weighted sum of counts over another such sum."""

    title: str
    formula: str
    numerator: Mapping[str, int]
    """The weight of each count; counts that are not named have none"""
    denominator: Mapping[str, int]


OVERLAP: dict[str, Overlap] = {
    "iou": Overlap(title="IoU", formula="TP / (TP + FP + FN)",
                   numerator={"tp": 1}, denominator={"tp": 1, "fp": 1, "fn": 1}),
    "dice": Overlap(title="Dice", formula="2 TP / (2 TP + FP + FN)",
                    numerator={"tp": 2}, denominator={"tp": 2, "fp": 1, "fn": 1}),
    "precision": Overlap(title="precision", formula="TP / (TP + FP)",
                         numerator={"tp": 1}, denominator={"tp": 1, "fp": 1}),
    "recall": Overlap(title="recall", formula="TP / (TP + FN)",
                      numerator={"tp": 1}, denominator={"tp": 1, "fn": 1}),
    "specificity": Overlap(title="specificity", formula="TN / (TN + FP)",
                           numerator={"tn": 1}, denominator={"tn": 1, "fp": 1}),
    "pixel_accuracy": Overlap(title="pixel accuracy", formula="(TP + TN) / (TP + FP + FN + TN)",
                              numerator={"tp": 1, "tn": 1}, denominator={"tp": 1, "fp": 1, "fn": 1, "tn": 1}),
}

RECORDED = ("iou", "dice", "pixel_accuracy")  # in the history of every training


def recorded(best_by: str | None) -> tuple[str, ...]:
    """The scores in the history of a training whose epochs are judged by `best_by`: a key of OVERLAP, "loss" or None.
    """
    return RECORDED if best_by not in OVERLAP or best_by in RECORDED else (*RECORDED, best_by)


def pooled(name: str, counts_K4: np.ndarray) -> float:
    """The score of counts that were added up over all pictures: the plain mean over the classes that the truth holds.

    It equals the score `<name>_dataset` of `metrics.scores`. A class of the truth whose denominator is 0 (precision of
    a class that is never predicted) counts 0. NaN if the truth holds no class.

    Args:
        name: a key of `OVERLAP`.
        counts_K4: int64 (K, 4).
    """
    overlap = OVERLAP[name]
    columns = dict(zip(COUNTS, counts_K4.T, strict=True))
    held_K = columns["tp"] + columns["fn"] > 0
    if not held_K.any():
        return float("nan")
    numerator, denominator = (sum(weight * columns[count][held_K] for count, weight in weights.items())
                              for weights in (overlap.numerator, overlap.denominator))
    return float(np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0).mean())
