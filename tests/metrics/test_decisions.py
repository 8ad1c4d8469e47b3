"""Decisions against worked examples, scipy, closed forms, and experiments drawn with the stated numbers."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from seglib.metrics import decisions
from seglib.metrics.decisions import Spread, pictures_needed, seeds_needed
from seglib.metrics.statistics import Ratios, Resamples, bootstrap, interval, permutation_p

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20).map(np.array)


def spread(**changed) -> Spread:
    return Spread(**{"difference": 0.05, "pictures": 100, "picture_variance": 0.0009, "seeds": (3, 3),
                     "seed_variances": (0.0002, 0.0001)} | changed)


def means(name: str, values_SN: np.ndarray) -> Ratios:
    """One class whose score is the plain mean over the pictures."""
    return Ratios(name=name, numerator_SNK=values_SN[:, :, None], denominator_SNK=np.ones((*values_SN.shape, 1)),
                  scored_K=np.ones(1, bool))


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


@pytest.mark.parametrize(("low", "high", "p", "expected"), [
    (0.1, 0.2, 0.01, True), (-0.2, -0.1, 0.01, True), (-0.1, 0.2, 0.01, False), (0.1, 0.2, 0.05, False),
    (0.0, 0.2, 0.01, False), (math.nan, math.nan, 0.01, False)])
def test_settled_asks_both(low: float, high: float, p: float, expected: bool):
    assert decisions.settled(low, high, p) is expected


@pytest.mark.parametrize(("seeds", "expected"), [
    ((3, 3), True), ((5, 3), True), ((2, 3), False), ((3, 1), False), ((1,), False), ((3,), True),
    ((None, 3), True), ((None, 2), False), ((None, None), True)])
def test_each_variant_with_seeds_needs_three(seeds: tuple[int | None, ...], expected: bool):
    assert decisions.enough_seeds(*seeds) is expected


def test_ranks_count_who_is_settled_better():
    means = np.array([0.7, 0.9, 0.8, 0.2])
    apart = np.zeros((4, 4), bool)
    assert decisions.ranks(means, apart).tolist() == [1, 1, 1, 1]
    apart[0, 1] = apart[1, 0] = apart[3, :3] = apart[:3, 3] = True  # 1 beats 0; all beat 3; 2 ties with 0 and with 1
    assert decisions.ranks(means, apart).tolist() == [2, 1, 1, 4]


def test_identical_variants_tie():
    values_SN = np.random.default_rng(2).random((2, 30))
    ratios, resamples = [means("a", values_SN), means("b", values_SN)], Resamples(pictures=30, count=1000)
    a, b = bootstrap(ratios, resamples)
    found = Spread.of(ratios[0].scores_S(), a, ratios[1].scores_S(), b, 30)
    p = decisions.holm(permutation_p(ratios, [(0, 1)], resamples))[0]
    apart = decisions.settled(*interval(a.both_R - b.both_R), p)
    assert (found.difference, found.picture_variance, p, apart) == (0, 0, 1, False)
    assert decisions.ranks(np.array([0.5, 0.5]), np.full((2, 2), apart)).tolist() == [1, 1]
    assert pictures_needed(found) == seeds_needed(found) == -1


@given(st.floats(0.01, 0.5), st.floats(1e-6, 1e-2), st.floats(1e-6, 1e-3), st.floats(1e-6, 1e-3))
def test_the_numbers_needed_are_the_smallest_that_do(difference: float, pictures: float, a: float, b: float):
    found = spread(difference=difference, picture_variance=pictures, seeds=(2, 5), seed_variances=(a, b))
    factor = (scipy.stats.norm.ppf(0.975) + scipy.stats.norm.ppf(0.8)) ** 2
    tried = np.arange(1, 100_001)
    for needed, variance in ((pictures_needed(found), pictures * 100 / tried + a / 2 + b / 5),
                             (seeds_needed(found), pictures + (a + b) / tried)):
        enough = factor * variance <= difference**2
        assert needed == 1 + int(enough.argmax()) if enough.any() else needed == -1 or needed > 100_000


def test_what_more_data_cannot_do():
    assert pictures_needed(spread(difference=0)) == seeds_needed(spread(difference=0)) == -1
    assert pictures_needed(spread(difference=0.02)) == -1  # the seeds' part alone is too large
    assert seeds_needed(spread(difference=0.05)) == -1  # the pictures' part alone is too large
    assert seeds_needed(spread(seeds=(1, 3), seed_variances=(math.nan, 0.1))) is None
    assert pictures_needed(spread(seeds=(1, 1), seed_variances=(math.nan, math.nan))) == 283  # 7.849 * 0.09 / 0.0025
    assert seeds_needed(spread(picture_variance=0, seed_variances=(0, 0))) == 1


def settled_share(true: float, seeds: int, pictures: int, picture_sd: float, seed_sd: float) -> float:
    """How many of 400 experiments, drawn with these numbers, settle their one pair."""
    random, resamples = np.random.default_rng(3), Resamples(pictures=pictures, count=1000)
    ratios = []
    for index in range(800):
        values = random.normal(scale=picture_sd, size=pictures) + random.normal(scale=seed_sd, size=(seeds, 1))
        values += true * (index % 2)
        ratios.append(means(str(index), values))
    replicates = bootstrap(ratios, resamples)
    p = permutation_p(ratios, [(i, i + 1) for i in range(0, 800, 2)], resamples)
    differences = (replicates[i + 1].both_R - replicates[i].both_R for i in range(0, 800, 2))
    return float(np.mean([decisions.settled(*interval(d), one) for d, one in zip(differences, p, strict=True)]))


def test_the_stated_pictures_settle_four_in_five():
    known = spread(picture_variance=2 * 0.2**2 / 100, seeds=(1, 1), seed_variances=(math.nan, math.nan))
    share = settled_share(0.05, 1, pictures_needed(known), 0.2, 0)
    assert share == pytest.approx(0.8, abs=0.06)  # three standard errors of 400 experiments


def test_the_stated_seeds_settle_four_in_five():
    known = spread(picture_variance=2 * 0.1**2 / 100, seeds=(3, 3), seed_variances=(0.05**2, 0.05**2))
    share = settled_share(0.05, seeds_needed(known), 100, 0.1, 0.05)
    assert share == pytest.approx(0.8, abs=0.06)


def test_spread_reads_both_parts():
    random = np.random.default_rng(4)
    a_N, b_N, b_S = random.normal(size=200), random.normal(size=200), random.normal(size=3)
    ratios = [means("a", a_N[None]), means("b", b_N + b_S[:, None])]
    a, b = bootstrap(ratios, Resamples(pictures=200))
    found = Spread.of(ratios[0].scores_S(), a, ratios[1].scores_S(), b, 200)
    assert found.difference == pytest.approx(a_N.mean() - b_N.mean() - b_S.mean())
    assert found.picture_variance == pytest.approx((a_N - b_N).var() / 200, rel=0.05)
    assert found.seeds == (1, 3) and math.isnan(found.seed_variances[0])
    assert found.seed_variances[1] == pytest.approx(b_S.var(ddof=1))


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 1000))
def test_welch_equals_scipys(size_a: int, size_b: int, seed: int):
    random = np.random.default_rng(seed)
    a, b = random.normal(1, 1, size=size_a), random.normal(0, 3, size=size_b)
    expected = scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    np.testing.assert_allclose(decisions.welch(a, b), [a.mean() - b.mean(), *expected], rtol=1e-9, atol=1e-12)


def test_welch_without_variance():
    assert decisions.welch(np.array([1.0]), np.array([0.5, 0.6])) == (pytest.approx(0.45), None, None)
    assert decisions.welch(np.array([1.0, 1]), np.array([0.5, 0.5])) == (0.5, 0.5, 0.5)
    difference, low, high = decisions.welch(np.array([1.0, 1]), np.array([0.5, 0.7]))
    assert low < difference < high
