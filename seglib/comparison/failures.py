"""Trainings that failed: their test score is not above that of a predictor that never looks at a picture.

No result is left out because of it: means, intervals and verdicts use all seeds.

Shapes: S seeds.
"""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np

from seglib.comparison.variants import Variant
from seglib.metrics.scores import HEADLINE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Floor:
    """The headline score on test that a training must exceed."""

    score: float
    baseline: str | None
    """Whose score it is; None: the user stated it"""

    @classmethod
    def of(cls, variants: Sequence[Variant], stated: float | None) -> Self | None:
        """The stated floor, or that of the best baseline; None if no baseline has a score."""
        if stated is not None:
            return cls(score=stated, baseline=None)
        scores = {one.label: float(one.scores_S("test", HEADLINE.name).mean()) for one in variants if one.baseline}
        known = {label: score for label, score in scores.items() if not np.isnan(score)}
        best = max(known, key=known.__getitem__, default=None)
        return None if best is None else cls(score=known[best], baseline=best)


def failed(variant: Variant, floor: Floor | None) -> int | None:
    """How many trainings of the variant failed; None without a floor, or if the variant is not trained from a seed."""
    if floor is None or variant.seeds is None:
        return None
    return int((variant.scores_S("test", HEADLINE.name) <= floor.score).sum())
