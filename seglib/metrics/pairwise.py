"""All pairs of variants under one score: better, equivalent or unknown; ranks as intervals; how many more seeds.

A pair is tested if each of its variants that has seeds has at least `FEWEST_SEEDS`. All tested pairs of a score share
one error budget of 5 % for "better" and one for "equivalent", by Holm's correction.

Shapes: V variants, P pairs, ... any leading axes (see `inference`).
"""

import bisect
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv, stdtrit

from seglib.metrics.decisions import FEWEST_SEEDS, enough_seeds, holm
from seglib.metrics.inference import (
    Blocks,
    Estimate,
    Part,
    informed,
    of_difference,
    of_score,
    satterthwaite,
    variance_parts,
)

LEVEL = 0.05
PRIOR_FREEDOM = 4  # by simulation: with 2, more than 6 % of 3 unequal variants with 3 seeds are falsely called better
POWER = 0.8
RANGE = 0.8  # how often a planned range contains the right number
MOST = 100_000  # the largest number of seeds or units to plan for
Range = tuple[int | None, int | None]  # None: more than `MOST`, or no number is enough
BETTER, EQUIVALENT, UNKNOWN, TOO_FEW = "better", "equivalent", "unknown", "too few seeds"


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A score or a difference with the test that decides about it."""

    interval: Estimate
    """With each variant's own variance between seeds"""
    decides: Estimate | None = None
    """With moderated variances (see `moderated`); None: the interval decides"""

    def p(self, of: Callable[[Estimate], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """A p value by the test that decides, and by the one that belongs to the interval; see `corrected`."""
        return of(self.decides or self.interval), of(self.interval)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A difference and what its tests say."""

    difference: Estimate
    """With each variant's own variance between seeds"""
    p: np.ndarray | None = None
    """Two-sided p of "there is no difference", by the test that decides; None if there are too few seeds"""
    p_holm: np.ndarray | None = None
    """The same, corrected over all differences that were tested together; see `corrected`"""
    p_equivalent: np.ndarray | None = None
    """p of "the difference is at least as large as the margin", corrected over all; None without a margin"""

    @property
    def verdict(self) -> str:
        """The verdict on one experiment (no leading axes). A certain difference that is too small to matter is
        equivalence.
        """
        if self.p_holm is None:
            return TOO_FEW
        if self.p_equivalent is not None and self.p_equivalent < LEVEL:
            return EQUIVALENT
        return BETTER if self.p_holm < LEVEL else UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Pair(Decision):
    """Two variants; `difference` is the mean of a less that of b."""

    a: int
    b: int
    """Places of the two variants"""


def compare(blocks: Sequence[Blocks], *, margin: float | None, highest: float = 1.0, one_scale: bool = True
            ) -> list[Pair]:
    """Every pair of variants, in the order of `itertools.combinations`.

    Args:
        margin: the smallest difference that matters; None if the score has none, then no pair is equivalent.
        highest: the largest value that the score can have.
        one_scale: whether the variants' variances can be compared; if not, as with losses of different kinds, they are
            not moderated.
    """
    of_seeds = moderated(blocks) if one_scale else lambda a, b: None
    found = {(a, b): Tested(interval=of_difference(blocks[a], blocks[b], highest),
                            decides=of_difference(blocks[a], blocks[b], highest, of_seeds(a, b)))
             for a, b in itertools.combinations(range(len(blocks)), 2)}
    enough = [pair for pair in found if enough_seeds(*(blocks[place].seeds for place in pair))]
    decided = dict(zip(enough, _decisions([found[pair] for pair in enough], margin), strict=True))
    return [Pair(a=a, b=b, difference=tested.interval, **decided.get((a, b), {})) for (a, b), tested in found.items()]


def compare_with_zero(differences: Sequence[Blocks], *, margin: float) -> list[Decision]:
    """Differences of two scores of one variant (see `Blocks.minus`), tested together. All have the same trainings."""
    of_seeds = moderated(differences, same_seeds=True)
    found = [Tested(interval=of_score(one, lowest=-1.0), decides=of_score(one, 1.0, of_seeds(place), lowest=-1.0))
             for place, one in enumerate(differences)]
    if not enough_seeds(*(one.seeds for one in differences)):
        return [Decision(difference=tested.interval) for tested in found]
    return [Decision(difference=tested.interval, **ps)
            for tested, ps in zip(found, _decisions(found, margin), strict=True)]


def _decisions(tests: Sequence[Tested], margin: float | None) -> list[dict[str, np.ndarray]]:
    """The p values of `Decision` for differences that share one error budget."""
    if not tests:
        return []
    p_P, plain_P = (np.stack(ps) for ps in zip(*(tested.p(Estimate.p) for tested in tests), strict=True))
    found = {"p": p_P, "p_holm": corrected(p_P, plain_P)}
    if margin is not None:
        outside = [tested.p(lambda estimate: estimate.p_outside(margin)) for tested in tests]
        found["p_equivalent"] = corrected(*(np.stack(ps) for ps in zip(*outside, strict=True)))
    return [{name: ps[place] for name, ps in found.items()} for place in range(len(tests))]


def corrected(p_P: np.ndarray, plain_P: np.ndarray) -> np.ndarray:
    """Holm's correction of the p values of the tests that decide, (P, ...).

    The result is never below `plain_P`, the p values that belong to the intervals shown. So the 95 % interval of a
    difference that is called better excludes 0. Equivalence is two one-sided tests at 5 %: the 90 % interval of an
    equivalent pair lies within the margin.
    """
    return np.maximum(holm(p_P), plain_P)


def plausible(freedom: int) -> float:
    """The 99 % upper bound of a variance, as a multiple of its estimate on these degrees of freedom (chi-square)."""
    return freedom / (2 * gammaincinv(freedom / 2, 0.01))


def moderated(blocks: Sequence[Blocks], *, same_seeds: bool = False) -> Callable[..., Part | None]:
    """The part of a variance that comes from seeds, moderated by that of all variants, as a function of places.

    Pass the place of the variant for a score, or the places of both variants for a difference.

    Three seeds that happen to agree would make a variant look sure of its score, and among many pairs this happens
    often. As in limma (Smyth 2004, Statistical Applications in Genetics 3), each variance between seeds is a mean of
    the variant's own and of a prior, which counts as `PRIOR_FREEDOM` degrees of freedom. Two things differ from limma,
    both found by simulation with unequal variances. The number is fixed, because few variants are not enough to
    estimate it. And the prior never lowers a variance: it is the pooled variance or the variant's own, whichever is
    larger. But it is never above what the variant's own seeds make plausible, the 99 % bound of their variance. So
    variants that vary much do not hide a clear difference between variants that vary little.

    A part never has more degrees of freedom than the pooled variance has, and this has fewer than all seeds together
    if variances are unequal. None if no variant of these places has two seeds. `same_seeds`: the blocks are of the same
    trainings, so together they have no more degrees of freedom than one.
    """
    own = {place: (one.seeds, *one.seed_variance()) for place, one in enumerate(blocks) if (one.seeds or 0) > 1}
    total = sum(freedom for *_, freedom in own.values())
    pooled = sum(variance * freedom for _, variance, freedom in own.values()) / max(total, 1)
    # Degrees of freedom after Satterthwaite. The expected square of a variance is (f + 2) / f times the true square.
    squares = sum(variance**2 * freedom**2 / (freedom + 2) for _, variance, freedom in own.values())
    if same_seeds:
        total = max((freedom for *_, freedom in own.values()), default=0)
        squares = squares * 0.0
    most = np.where(squares > 0, np.minimum((pooled * total) ** 2 / np.where(squares > 0, squares, 1.0), total), total)

    def of_places(*places: int) -> Part | None:
        parts = []
        for seeds, variance, freedom in (own[place] for place in places if place in own):
            weights = np.array([PRIOR_FREEDOM, freedom]) / (PRIOR_FREEDOM + freedom) / seeds
            prior = np.maximum(np.minimum(pooled, variance * plausible(freedom)), variance)
            parts += [(weights[0] * prior, most), (weights[1] * variance, freedom)]
        return (sum(variance for variance, _ in parts), np.minimum(satterthwaite(parts), most)) if parts else None

    return of_places


def seeds_needed(difference: float, a: Blocks, b: Blocks) -> Range:
    """How many seeds of each variant would show a true difference of this size in 4 of 5 studies, on the same units.

    It is for one comparison: Holm's correction over many pairs asks for more. The variance between seeds is known from
    few of them, so the answer is a range that holds the right number in 4 of 5 cases. Both variants need three seeds,
    or have none at all. (None, None) if neither has seeds.
    """
    *of_seeds, of_units = variance_parts([(1, a), (-1, b)])
    if not of_seeds:
        return None, None
    # A part is a variance between seeds over their number, which is one more than its degrees of freedom.
    return _range(difference, of_seeds, FEWEST_SEEDS, lambda n, times: [
        of_units, *((times * variance * (freedom + 1) / n, n - 1) for variance, freedom in of_seeds)])


def units_needed(difference: float, a: Blocks, b: Blocks) -> Range:
    """How many units (pictures, or groups) would show the difference, with as many seeds as now; see `seeds_needed`."""
    *of_seeds, (of_units, _) = variance_parts([(1, a), (-1, b)])
    share = informed([(1, a), (-1, b)]) / a.units
    return _range(difference, of_seeds, 2, lambda n, times: [
        (of_units * a.units / n, np.maximum(share * n - 1, 1)),
        *((times * variance, freedom) for variance, freedom in of_seeds)])


def _range(difference: float, of_seeds: Sequence[Part], fewest: int,
           parts: Callable[[int, float], list[Part]]) -> Range:
    """The smallest numbers that suffice if the variance between seeds is as low, and as high, as it may well be."""
    found = []
    for tail in ((1 + RANGE) / 2, (1 - RANGE) / 2):
        freedom = float(satterthwaite(of_seeds)) if of_seeds else 1.0
        times = freedom / (2 * gammaincinv(freedom / 2, tail))  # the quantile of chi-square

        def shown(n: int, times: float = times) -> bool:
            now = parts(n, times)
            freedom = satterthwaite(now)
            reach = stdtrit(freedom, 1 - LEVEL / 2) + stdtrit(freedom, POWER)
            return bool(reach**2 * sum(variance for variance, _ in now) <= difference**2)

        number = bisect.bisect_left(range(MOST + 1), True, lo=fewest, key=shown)
        found.append(number if number <= MOST else None)
    # More variance between seeds can bring more degrees of freedom, so that a handful of units seems to be enough.
    low, high = sorted(found, key=lambda number: math.inf if number is None else number)
    return low, high
