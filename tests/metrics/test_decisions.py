"""Decisions against worked examples, scipy and closed forms."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from seglib.metrics import decisions

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20).map(np.array)


def test_holm_by_a_textbooks_example():
    # Four tests at 0.05 (en.wikipedia.org/wiki/Holm-Bonferroni_method): the first and the fourth are rejected.
    adjusted = decisions.holm(np.array([0.01, 0.04, 0.03, 0.005]))
    np.testing.assert_allclose(adjusted, [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_array_equal(adjusted < 0.05, [True, False, False, True])


@given(P_VALUES, st.randoms())
def test_laws_of_holm(p_P: np.ndarray, random):
    adjusted = decisions.holm(p_P)
    order = np.argsort(p_P, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted >= p_P).all() and (adjusted <= 1).all() and (adjusted <= np.minimum(1, p_P * p_P.size)).all()
    shuffled = random.sample(range(p_P.size), p_P.size)
    np.testing.assert_array_equal(decisions.holm(p_P[shuffled]), adjusted[shuffled])


@given(P_VALUES)
def test_holm_rejects_by_his_own_words(p_P: np.ndarray):
    # Step down: compare the smallest with 0.05 / P, the next with 0.05 / (P - 1), and stop at the first that is larger.
    rejected = set()
    for step, index in enumerate(np.argsort(p_P, kind="stable").tolist()):
        if p_P[index] * (p_P.size - step) >= 0.05:
            break
        rejected.add(index)
    assert set(np.flatnonzero(decisions.holm(p_P) < 0.05).tolist()) == rejected


def test_effect_sizes_by_hand():
    assert decisions.cohens_d(np.array([1.0, 2, 3, np.nan])) == 2
    assert decisions.cohens_d(np.zeros(5)) == 0
    assert decisions.cohens_d(np.full(3, 0.1)) == math.inf and decisions.cohens_d(np.full(3, -0.1)) == -math.inf
    assert math.isnan(decisions.cohens_d(np.array([1.0, np.nan])))
    assert decisions.share_won(np.array([0.5, -0.1, 0, 0.2, np.nan])) == 0.625
    assert decisions.share_won(np.zeros(3)) == 0.5 and math.isnan(decisions.share_won(np.array([np.nan])))


def test_cohens_d_is_the_t_statistic_over_the_root_of_n():
    values = np.random.default_rng(1).normal(0.3, 1, size=50)
    assert decisions.cohens_d(values) == pytest.approx(scipy.stats.ttest_1samp(values, 0).statistic / math.sqrt(50))


@pytest.mark.parametrize(("seeds", "expected"), [
    ((3, 3), True), ((5, 3), True), ((2, 3), False), ((3, 1), False), ((1,), False), ((3,), True),
    ((None, 3), True), ((None, 2), False), ((None, None), True)])
def test_each_variant_with_seeds_needs_three(seeds: tuple[int | None, ...], expected: bool):
    assert decisions.enough_seeds(*seeds) is expected
