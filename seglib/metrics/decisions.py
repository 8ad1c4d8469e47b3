"""From replicates and p values to words: settled or not, how large, which rank, and how much more data it would take.

Shapes: S seeds, N pictures, V variants, P tests.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import stdtrit

from seglib.metrics.statistics import Replicates

# A comparison is decided only if each variant in it that is trained from a seed has at least this many seeds.
# With fewer, intervals and tests are too sure: they know too little of how much a score varies between seeds.
FEWEST_SEEDS = 3
# Two-sided 5 % and a power of 80 %: standard normal quantiles at 0.975 and 0.8.
DETECTABLE = (1.959963984540054 + 0.8416212335729143) ** 2


def holm(p_P: np.ndarray) -> np.ndarray:
    """Adjusted p values, (P, ...): reject where below 0.05 and the chance of any false rejection is at most 0.05.

    Each place of the further axes is a family of P tests.
    Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6. No NaN.
    """
    p_P = np.asarray(p_P, dtype=np.float64)
    order_P = np.argsort(p_P, axis=0, kind="stable")
    left_P = np.arange(len(p_P), 0, -1).reshape(-1, *[1] * (p_P.ndim - 1))
    stepped_P = np.maximum.accumulate(np.take_along_axis(p_P, order_P, axis=0) * left_P, axis=0)
    adjusted_P = np.empty(p_P.shape)
    np.put_along_axis(adjusted_P, order_P, np.minimum(stepped_P, 1), axis=0)
    return adjusted_P


def cohens_d(differences_N: np.ndarray) -> float:
    """Paired: mean over standard deviation (n - 1) of the differences; pictures with NaN are left out.

    All differences 0: 0. All the same and not 0: infinite, with their sign. Fewer than two pictures: NaN.
    """
    known = differences_N[~np.isnan(differences_N)]
    if known.size < 2:
        return float("nan")
    if np.ptp(known) == 0:
        return float(np.copysign(np.inf, known[0])) if known[0] else 0.0
    return float(known.mean() / known.std(ddof=1))


def share_won(differences_N: np.ndarray) -> float:
    """The share of pictures with a difference above 0, ties half; NaN pictures are left out, NaN when none is left."""
    known = differences_N[~np.isnan(differences_N)]
    return float((np.sign(known).mean() + 1) / 2) if known.size else float("nan")


def settled(low: float, high: float, holm_p: float) -> bool:
    """Both ways of asking agree: the interval of the difference excludes 0, and Holm's p is below 0.05."""
    return (low > 0 or high < 0) and holm_p < 0.05


def enough_seeds(*seeds: int | None) -> bool:
    """Whether a comparison of variants with these numbers of seeds may be decided. None: a variant without seeds."""
    return all(count is None or count >= FEWEST_SEEDS for count in seeds)


def ranks(means_V: np.ndarray, settled_VV: np.ndarray) -> np.ndarray:
    """1 + the number of variants that are higher and settled so, int (V,); equal ranks are ties.

    `settled_VV` is symmetric. "Settled" is not transitive: a variant may tie with two that do not tie with each other.
    """
    higher_VV = means_V[:, None] > means_V[None, :]
    return 1 + (settled_VV & higher_VV).sum(axis=0)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What a pair's difference varies with."""

    difference: float
    pictures: int
    picture_variance: float
    """Of the difference, at so many pictures"""
    seeds: tuple[int, int]
    seed_variances: tuple[float, float]
    """Of one training's score, one element per variant; NaN for a variant with one seed"""

    @classmethod
    def of(cls, scores_a_S: np.ndarray, a: Replicates, scores_b_S: np.ndarray, b: Replicates, pictures: int) -> Self:
        """From the trainings' scores on all pictures (`Ratios.scores_S`) and the replicates of both variants."""
        return cls(
            difference=float(scores_a_S.mean() - scores_b_S.mean()),
            pictures=pictures,
            picture_variance=float(np.nanvar(a.pictures_R - b.pictures_R, ddof=1)),
            seeds=(scores_a_S.size, scores_b_S.size),
            seed_variances=tuple(float(s.var(ddof=1)) if s.size > 1 else math.nan for s in (scores_a_S, scores_b_S)))


def pictures_needed(spread: Spread) -> int:
    """Pictures at which a true difference as large as the observed one would be settled 4 times in 5; -1 for never.

    The smallest n with (z_0.975 + z_0.8)² (picture_variance N / n + seed parts) <= difference², for one comparison
    (Holm's correction asks for more). May be less than there are now. A variant with one seed adds no seed part: then
    the answer is about these trainings alone.
    """
    seed_part = sum(v / s for v, s in zip(spread.seed_variances, spread.seeds, strict=True) if s > 1)
    return _smallest(spread.picture_variance * spread.pictures, seed_part, spread.difference)


def seeds_needed(spread: Spread) -> int | None:
    """Seeds for each of the two variants, the pictures as they are; -1 for never, None when a variant has one seed."""
    if min(spread.seeds) < 2:
        return None
    return _smallest(sum(spread.seed_variances), spread.picture_variance, spread.difference)


def _smallest(shrinking: float, fixed: float, difference: float) -> int:
    """The smallest n >= 1 with DETECTABLE (shrinking / n + fixed) <= difference²; -1 when there is none."""
    room = difference**2 / DETECTABLE - fixed
    if difference == 0 or room < 0 or (room == 0 and shrinking > 0):
        return -1
    return max(1, math.ceil(shrinking / room)) if shrinking > 0 else 1


def welch(a_S: np.ndarray, b_S: np.ndarray) -> tuple[float, float | None, float | None]:
    """Difference of means over seeds with its 95 % interval by Welch's t: difference, low, high.

    For what varies over seeds alone, as a curve's smoothness does. None, None when a side has fewer than two values;
    without any variance the interval is the difference itself.
    """
    difference = float(np.mean(a_S) - np.mean(b_S))
    if min(len(a_S), len(b_S)) < 2:
        return difference, None, None
    if np.ptp(a_S) == 0 and np.ptp(b_S) == 0:
        return difference, difference, difference
    parts = [float(np.var(side, ddof=1)) / len(side) for side in (a_S, b_S)]
    # Welch-Satterthwaite degrees of freedom.
    freedom = sum(parts) ** 2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, (a_S, b_S), strict=True))
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(sum(parts))
    return difference, difference - half, difference + half
