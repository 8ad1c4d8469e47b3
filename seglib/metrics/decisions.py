"""What decisions need besides intervals: enough seeds, Holm's correction, sizes of effects.

Shapes: S seeds, N pictures, P tests.
"""

import numpy as np

# A comparison is decided only if each variant in it that is trained from a seed has at least this many seeds.
# With fewer, intervals and tests are too sure: they know too little of how much a score varies between seeds.
FEWEST_SEEDS = 3


def holm(p_P: np.ndarray) -> np.ndarray:
    """Adjusted p values, (P, ...): reject if below 0.05; the chance of any false rejection is then at most 0.05.

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


def enough_seeds(*seeds: int | None) -> bool:
    """Whether a comparison of variants with these numbers of seeds may be decided. None: a variant without seeds."""
    return all(count is None or count >= FEWEST_SEEDS for count in seeds)
