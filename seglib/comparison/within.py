"""Two scores of one variant: each of its trainings has both, so they are paired over seeds and over pictures.

Shapes: S seeds, X units or replicates (see `metrics.inference`).
"""

from collections.abc import Sequence

import numpy as np

from seglib.metrics.decisions import enough_seeds, holm
from seglib.metrics.inference import Blocks, of_difference
from seglib.metrics.pairwise import Pair, moderated


def less(a: Blocks, b: Blocks) -> Blocks:
    """One score of a variant less another one."""
    return Blocks(scores_S=a.scores_S - b.scores_S, deviations_SX=a.deviations_SX - b.deviations_SX, units=a.units,
                  has_seeds=a.has_seeds)


def nothing(like: Blocks) -> Blocks:
    """A score that is always 0, to compare a difference with."""
    return Blocks(scores_S=np.zeros(1), deviations_SX=np.zeros_like(like.deviations_SX[:1]), units=like.units,
                  has_seeds=False)


def compare_with_0(differences: Sequence[Blocks], *, margin: float) -> list[Pair]:
    """Whether differences of shares are known to be other than 0, or smaller than the margin; all share one budget.

    The test is that of `pairwise.compare`: the variance between seeds is moderated by that of all differences.
    """
    if not differences:
        return []
    zero = nothing(differences[0])
    plain = [of_difference(one, zero) for one in differences]
    if not enough_seeds(*(one.seeds for one in differences)):
        return [Pair(a=place, b=len(differences), difference=estimate) for place, estimate in enumerate(plain)]
    of_seeds = moderated([*differences, zero])
    tests = [of_difference(one, zero, of_seeds=of_seeds(place, len(differences)))
             for place, one in enumerate(differences)]
    p_P, outside_P = (np.stack([np.maximum(method(a), method(b)) for a, b in zip(plain, tests, strict=True)])
                      for method in (lambda one: one.p(), lambda one: one.p_outside(margin)))
    return [Pair(a=place, b=len(differences), difference=estimate, p=p, p_holm=p_holm, p_equivalent=p_equivalent)
            for place, (estimate, p, p_holm, p_equivalent) in enumerate(
                zip(plain, p_P, holm(p_P), holm(outside_P), strict=True))]
