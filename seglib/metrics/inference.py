"""The uncertainty of a score, or of the difference of two scores: on other pictures, and with other seeds.

Seeds and units (pictures, or groups of pictures) are both random. This is the model of readers and cases of Obuchowski
and Rockette (1995, Communications in Statistics 24), with degrees of freedom after Hillis (2007, Statistics in Medicine
26). A seed's score is the variant's true score, plus an effect of the seed, plus an effect of the drawn units, plus an
effect of the two together. The units are the same for all variants; each variant has its own seeds. Then the variance
of a mean over S seeds is

    variance between the seeds' scores / S  +  variance of the mean over seeds that comes from units  -  interaction / S

The first two terms both hold the interaction of seeds and units; the third removes one of the two.

A score is a mean over classes of ratios of sums over units. How it varies with the units is linearised: unit u moves
the ratio r of a class by (numerator_u - r denominator_u) / (sum of denominators). Nothing is drawn at random, and no
sum is left to a threaded library, so the results are the same bytes for any number of threads.

`python -m benchmarks.statistics coverage` measures how often the intervals hold the truth.

Shapes: S seeds, U units, K classes, R replicates, ... any leading axes: experiments side by side, as simulations have
them. Everything is float64.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95
# What an interval is about.
SEEDS_AND_PICTURES = "other seeds and other pictures"
WEIGHTS = "these weights, other pictures"  # one seed says nothing about others
MASKS = "these masks, other pictures"  # nothing is random but the pictures
Part = tuple[np.ndarray, int]  # a variance and its degrees of freedom
NO_VARIANCE = 1e-12  # a standard error below this share of 1 (or of the value) is an error of rounding


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """What inference needs of a variant under one score. All variants share the U units."""

    scores_S: np.ndarray
    """(..., S): the score of each training on all units"""
    deviations_SX: np.ndarray
    """(..., S, X): how the units move each score. Their squares' sum over X is the variance that comes from the units.
    X are units or replicates, the same for all variants"""
    units: int
    informed: np.ndarray
    """(...): how many units the score depends on. A picture without a small object says nothing of small objects. In a
    mean over classes it need not be whole: each class depends on its own units"""
    has_seeds: bool = True
    """False if nothing about the variant is random. Then S is 1"""

    @classmethod
    def from_sums(cls, numerator_SUK: np.ndarray, denominator_SUK: np.ndarray, scored_K: np.ndarray,
                  has_seeds: bool = True) -> Self:
        """From the sums over each unit's pictures, (..., S, U, K), of which the classes `scored_K` (K,) count.

        A class whose denominators are all 0 takes no part in that seed's score. A seed without any class scores NaN.
        """
        numerator_SUK = np.asarray(numerator_SUK, np.float64)[..., scored_K]
        denominator_SUK = np.asarray(denominator_SUK, np.float64)[..., scored_K]
        total_SK = denominator_SUK.sum(-2)
        present_SK = total_SK > 0
        total_SK = np.where(present_SK, total_SK, 1.0)
        ratio_SK = numerator_SUK.sum(-2) / total_SK
        classes_S = present_SK.sum(-1)
        share_SK = present_SK / np.maximum(classes_S, 1)[..., None]
        moved_SUK = (numerator_SUK - ratio_SK[..., None, :] * denominator_SUK) * (share_SK / total_SK)[..., None, :]
        there_UK = (denominator_SUK > 0).any(-3)
        units_K = np.maximum(there_UK.sum(-2), 1)
        moved_SUK *= np.sqrt(units_K / np.maximum(units_K - 1, 1))[..., None, None, :]
        return cls(scores_S=np.where(classes_S > 0, (ratio_SK * share_SK).sum(-1), np.nan),
                   deviations_SX=moved_SUK.sum(-1), units=numerator_SUK.shape[-2], has_seeds=has_seeds,
                   informed=_informed((moved_SUK.mean(-3) ** 2).sum(-2), units_K, there_UK.any(-1).sum(-1)))

    @classmethod
    def from_replicates(cls, scores_S: np.ndarray, replicates_SR: np.ndarray, units: int,
                        has_seeds: bool = True) -> Self:
        """From the scores under R draws of the units with replacement, the same draws for all variants; NaN: none."""
        known_SR = ~np.isnan(replicates_SR)
        number_S1 = known_SR.sum(-1, keepdims=True)
        filled_SR = np.where(known_SR, replicates_SR, 0.0)
        centred_SR = np.where(known_SR, filled_SR - filled_SR.sum(-1, keepdims=True) / np.maximum(number_S1, 1), 0.0)
        return cls(scores_S=np.asarray(scores_S, np.float64), units=units, informed=np.array(units),
                   has_seeds=has_seeds, deviations_SX=centred_SR / np.sqrt(np.maximum(number_S1 - 1, 1)))

    @classmethod
    def from_values(cls, values_S: np.ndarray, has_seeds: bool = True) -> Self:
        """From one value per training, (S,), that does not depend on the units, such as how smooth its loss curve is.

        A NaN is left out; if there is nothing else, the score is NaN. The uncertainty comes from seeds alone. If all
        seeds agree, they take the place of units in the bound of `Estimate`.
        """
        values_S = np.asarray(values_S, np.float64)
        known_S = values_S[~np.isnan(values_S)] if not np.isnan(values_S).all() else np.array([np.nan])
        return cls(scores_S=known_S, deviations_SX=np.zeros((known_S.size, 1)), units=known_S.size,
                   informed=np.array(known_S.size), has_seeds=has_seeds)

    def minus(self, other: "Blocks") -> "Blocks":
        """The difference of two scores of the same trainings, seed by seed."""
        return Blocks(scores_S=self.scores_S - other.scores_S, deviations_SX=self.deviations_SX - other.deviations_SX,
                      units=self.units, informed=np.minimum(self.informed, other.informed), has_seeds=self.has_seeds)

    @property
    def seeds(self) -> int | None:
        """How many seeds; None if the variant has no seeds."""
        return self.scores_S.shape[-1] if self.has_seeds else None

    @property
    def mean(self) -> np.ndarray:
        return self.scores_S.mean(-1)

    @property
    def mean_deviations_X(self) -> np.ndarray:
        """How the units move the mean over seeds."""
        return self.deviations_SX.mean(-2)

    def seed_variance(self) -> Part:
        """The variance between the seeds' scores; 0, on 1 degree of freedom, if there are fewer than two."""
        if self.scores_S.shape[-1] < 2:
            return np.zeros_like(self.mean), 1
        variance = np.where(np.ptp(self.scores_S, axis=-1) == 0, 0.0, self.scores_S.var(-1, ddof=1))
        return variance, self.scores_S.shape[-1] - 1

    def interaction(self) -> np.ndarray:
        """The variance of one seed's score that comes from seeds and units together. It needs two seeds."""
        own_SX = self.deviations_SX - self.mean_deviations_X[..., None, :]
        return (own_SX**2).sum((-2, -1)) / (self.scores_S.shape[-1] - 1)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A score or a difference with its variance. All arrays have the leading axes of the blocks.

    If nothing varied at all, a standard error of 0 would claim certainty. Then the exact binomial bound gives the
    interval: if all of U units agree, a share of at least q of all others disagrees with a chance of at most (1 - q)^U,
    and each of these moves the value by at most `highest`.
    """

    value: np.ndarray
    variance: np.ndarray
    freedom: np.ndarray
    """Degrees of freedom of the variance"""
    units: np.ndarray
    """How many units the value depends on. For a difference, the smaller number of its two sides"""
    of: str
    """What the interval is about: `SEEDS_AND_PICTURES`, `WEIGHTS` or `MASKS`"""
    highest: float = 1.0
    """The largest value that the score can have"""
    lowest: float = 0.0
    """The smallest value of the estimate"""

    def interval(self, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
        """Low and high, clipped to the range of the value."""
        tail = (1 - confidence) / 2
        unvaried = self.highest * (1 - tail ** (1 / self.units))
        half = np.where(self.variance > 0, -stdtrit(self.freedom, tail) * np.sqrt(self.variance), unvaried)
        return (np.clip(self.value - half, self.lowest, self.highest),
                np.clip(self.value + half, self.lowest, self.highest))

    def p(self, null: float = 0.0) -> np.ndarray:
        """Two-sided p of "the true value is `null`"."""
        return np.minimum(2 * self._beyond(np.abs(self.value - null)), 1.0)

    def p_outside(self, margin: float) -> np.ndarray:
        """p of "the true value is not within ±margin": the larger p of two one-sided tests (TOST, Schuirmann 1987)."""
        return self._beyond(margin - np.abs(self.value))

    def p_within(self, margin: float) -> np.ndarray:
        """p of "the true value is within ±margin"."""
        return np.minimum(self._beyond(np.abs(self.value) - margin) + self._beyond(np.abs(self.value) + margin), 1.0)

    def _beyond(self, distance: np.ndarray) -> np.ndarray:
        """The chance of an error of at least this distance to one side."""
        share = np.clip(distance / self.highest, 0.0, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_t = stdtr(self.freedom, -distance / np.sqrt(self.variance))
        return np.where(self.variance > 0, by_t, (1 - share) ** self.units)


def of_score(blocks: Blocks, highest: float = 1.0, of_seeds: Part | None = None, *, lowest: float = 0.0) -> Estimate:
    """The mean over seeds of a variant's score. With one seed it is about these weights alone.

    Args:
        of_seeds: the part of the variance that comes from seeds; None: that of the blocks (see `pairwise`).
    """
    return _estimate([(1, blocks)], highest=highest, lowest=lowest, of_seeds=of_seeds)


def of_difference(a: Blocks, b: Blocks, highest: float = 1.0, of_seeds: Part | None = None) -> Estimate:
    """The mean of `a` less that of `b`, over the same units. If one has a single seed, it is about these weights.

    Args:
        of_seeds: the part of the variance that comes from seeds; None: that of the blocks (see `pairwise`).
    """
    return _estimate([(1, a), (-1, b)], highest=highest, lowest=-highest, of_seeds=of_seeds)


def _estimate(sides: Sequence[tuple[int, Blocks]], *, highest: float, lowest: float,
              of_seeds: Part | None = None) -> Estimate:
    parts = variance_parts(sides)
    if of_seeds is not None and len(parts) > 1:
        parts = [of_seeds, parts[-1]]
    value = sum(sign * one.mean for sign, one in sides)
    variance = sum(part for part, _ in parts)
    variance = np.where(variance <= (NO_VARIANCE * (1 + np.abs(value))) ** 2, 0.0, variance)
    return Estimate(value=value, variance=variance, freedom=satterthwaite(parts), units=informed(sides),
                    highest=highest, lowest=lowest, of=scope(*(one for _, one in sides)))


def variance_parts(sides: Sequence[tuple[int, Blocks]]) -> list[Part]:
    """The parts of the variance of a signed sum of means: one from each variant's seeds, the last from the units.

    If there are no seeds, or a variant has just one, all of the variance comes from the units.
    """
    of_units = (sum(sign * one.mean_deviations_X for sign, one in sides) ** 2).sum(-1)
    parts = []
    if scope(*(one for _, one in sides)) == SEEDS_AND_PICTURES:
        for one in (one for _, one in sides if one.has_seeds):
            variance, freedom = one.seed_variance()
            parts.append((variance / one.seeds, freedom))
            of_units = of_units - one.interaction() / one.seeds
    units = informed(sides)
    return [*parts, (np.where(units > 1, np.maximum(of_units, 0.0), np.inf), np.maximum(units - 1, 1))]


def _informed(variance_K: np.ndarray, units_K: np.ndarray, units: np.ndarray) -> np.ndarray:
    """How many units a mean over classes depends on: one more than its degrees of freedom, after Satterthwaite.

    A class that few units hold, and that makes up most of the variance, leaves few degrees of freedom. A class that
    one unit holds adds no variance, because one unit does not show any.
    """
    squares = (variance_K**2 / np.maximum(units_K - 1, 1)).sum(-1)
    freedom = np.where(squares > 0, variance_K.sum(-1) ** 2 / np.where(squares > 0, squares, 1.0), np.inf)
    return np.where((units_K > 1).any(-1), np.clip(freedom + 1, 2, np.maximum(units, 2)), 1.0)


def informed(sides: Sequence[tuple[int, Blocks]]) -> np.ndarray:
    """The smallest number of units that a side depends on."""
    return functools.reduce(np.minimum, (one.informed for _, one in sides))


def satterthwaite(parts: Sequence[Part]) -> np.ndarray:
    """Degrees of freedom of a sum of independent variances, each given with its own.

    A variance v on f degrees of freedom counts as v (f + 2) / f. Satterthwaite's plain formula is too sure if few seeds
    happen to agree: they then seem to matter little beside the units, whose degrees of freedom are many. With 3 seeds
    whose sd is 3 times the pictures' standard error, its 95 % interval holds in 92.6 % of the cases, and this one's in
    94.2 %. For parts with the same degrees of freedom (Welch's t at equal n) the two are the same.
    """
    weights = [variance * ((freedom + 2) / freedom) for variance, freedom in parts]
    largest = np.max(np.stack(np.broadcast_arrays(*weights)), axis=0)
    with np.errstate(invalid="ignore"):  # infinite by infinite
        shares = [np.where(weight == largest, 1.0, weight / np.where(largest > 0, largest, 1.0)) for weight in weights]
    return sum(shares) ** 2 / sum(share**2 / freedom for share, (_, freedom) in zip(shares, parts, strict=True))


def scope(*blocks: Blocks) -> str:
    """What an interval of these variants' scores is about."""
    if not any(one.has_seeds for one in blocks):
        return MASKS
    return WEIGHTS if any(one.seeds == 1 for one in blocks) else SEEDS_AND_PICTURES
