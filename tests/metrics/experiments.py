"""Made-up experiments for the tests of inference: values of variants whose seeds and units vary.

Shapes: as in `inference`.
"""

import math

import numpy as np
from hypothesis import strategies as st

from seglib.metrics.inference import Blocks

LARGE = math.inf  # of a score without a largest value
EXPERIMENTS = st.builds(lambda seed, seeds, units: made_up(seed, seeds, units), st.integers(0, 10**6),
                        st.integers(3, 5), st.integers(5, 40))


def means(values_SU: np.ndarray, has_seeds: bool = True) -> Blocks:
    """A score that is the plain mean over units."""
    ones_SUK = np.ones((*values_SU.shape, 1))
    return Blocks.from_sums(values_SU[..., None] * ones_SUK, ones_SUK, np.ones(1, bool), has_seeds)


def made_up(seed: int, seeds: int, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Two variants' values, (S, U), in which seeds, units and both together vary."""
    random = np.random.default_rng(seed)
    shared_U = random.normal(0.6, 0.1, units)
    a_SU, b_SU = (shared_U + random.normal(0, 0.05, (seeds, 1)) + random.normal(0, 0.1, (seeds, units))
                  for _ in range(2))
    return a_SU, b_SU


def counts(seed: int, seeds: int, units: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    below_SUK = random.integers(0, 50, (seeds, units, classes)).astype(float)
    return np.floor(below_SUK * random.beta(4, 2, below_SUK.shape)), below_SUK
