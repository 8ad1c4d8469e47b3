"""Verdicts on pairs and planning against scipy, by hand, and by simulation with known truth."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.simulation import World
from seglib.metrics import inference, pairwise
from seglib.metrics.inference import Blocks, of_score
from seglib.metrics.pairwise import BETTER, EQUIVALENT, TOO_FEW, UNKNOWN, Pair
from tests.metrics.experiments import EXPERIMENTS, LARGE, made_up, means


def compared(*levels: float, seeds: int = 5, has_seeds: bool = True, margin: float | None = 0.01) -> list[Pair]:
    random = np.random.default_rng(11)
    shared_U = random.normal(0, 0.1, 2000)
    return pairwise.compare([means(shared_U + level + random.normal(0, 0.002, (seeds, 1)), has_seeds)
                             for level in levels], margin=margin)


def test_three_verdicts():
    pairs = compared(0.7, 0.6, 0.6005)
    assert [(pair.a, pair.b, pair.verdict) for pair in pairs] == [(0, 1, BETTER), (0, 2, BETTER), (1, 2, EQUIVALENT)]
    assert pairs[0].difference.value > 0 and pairs[2].p_holm > 0.05
    assert [pair.verdict for pair in compared(0.6, 0.6, margin=None)] == [UNKNOWN]


def test_a_sure_difference_that_is_too_small_to_matter_is_none():
    pair, = compared(0.605, 0.6)
    assert pair.p_holm < 0.05 and pair.verdict == EQUIVALENT


@pytest.mark.parametrize(("seeds", "has_seeds", "decided"), [(1, True, False), (2, True, False), (3, True, True),
                                                             (1, False, True)])
def test_verdicts_need_three_seeds_or_none_at_all(seeds: int, has_seeds: bool, decided: bool):
    pair, = compared(0.7, 0.6, seeds=seeds, has_seeds=has_seeds)
    assert pair.verdict == (BETTER if decided else TOO_FEW) and (pair.p is not None) == decided
    low, high = pair.difference.interval()
    assert low < pair.difference.value < high


def test_pairs_without_enough_seeds_take_no_part_in_the_correction():
    random = np.random.default_rng(12)
    three = [means(random.normal(0.6, 0.1, (3, 40))) for _ in range(3)]
    few = means(random.normal(0.6, 0.1, (2, 40)))
    with_few, without = pairwise.compare([*three, few], margin=0.01), pairwise.compare(three[:2], margin=0.01)
    assert [pair.verdict for pair in with_few if 3 in (pair.a, pair.b)] == [TOO_FEW] * 3
    assert len(without) == 1


@given(st.lists(st.builds(made_up, st.integers(0, 10**6), st.just(3), st.just(12)), min_size=2, max_size=3))
def test_the_correction_keeps_the_order_and_a_decided_interval_excludes_0(experiments):
    pairs = pairwise.compare([means(values) for both in experiments for values in both], margin=0.01, highest=LARGE)
    assert all(pair.p_holm >= pair.p and pair.p_holm >= pair.difference.p() for pair in pairs)
    for pair in pairs:
        low, high = pair.difference.interval()
        assert pair.p_holm >= 0.05 or low > 0 or high < 0


def test_moderated_variances_by_hand():
    blocks = [means(np.repeat(np.array([scores]).T, 9, axis=1)) for scores in ((0.1, 0.2, 0.3), (0.5, 0.5, 0.53))]
    masks = means(np.full((1, 9), 0.4), has_seeds=False)
    of_seeds = pairwise.moderated([*blocks, masks])
    # The first variance is 0.01, more than the pooled 0.00515. The second is 0.0003.
    first, second = 0.01 / 3, (4 * 0.00515 + 2 * 0.0003) / 6 / 3
    assert of_seeds(0, 2)[0] == pytest.approx(first) and of_seeds(1, 2)[0] == pytest.approx(second)
    assert of_seeds(0, 1)[0] == pytest.approx(first + second)
    assert all(of_seeds(*places)[1] <= 4 for places in ((0, 2), (1, 2), (0, 1)))  # together they have no more
    assert pairwise.moderated([masks, masks])(0, 1) is None


@pytest.mark.parametrize("spread", [1e-4, 0.0])
def test_a_moderated_variance_is_not_above_what_the_own_seeds_make_plausible(spread: float):
    values = np.array([0.5, 0.5 + spread, 0.5 + 2 * spread])
    of_seeds = pairwise.moderated([Blocks.from_values([0.1, 0.2, 0.3]), Blocks.from_values(values)])
    bound = spread**2 * 2 / scipy.stats.chi2.ppf(0.01, 2)  # the 99 % bound of the variance spread²
    assert of_seeds(1)[0] == pytest.approx((4 * bound + 2 * spread**2) / 6 / 3)


def test_two_variants_whose_seeds_vary_alike_are_tested_by_students_pooled_t():
    a_S = np.array([0.52, 0.6, 0.61])
    pair, = pairwise.compare([means(np.repeat(scores[:, None], 20, axis=1)) for scores in (a_S, a_S + 0.1)],
                             margin=None)
    assert pair.p == pytest.approx(scipy.stats.ttest_ind(a_S, a_S + 0.1).pvalue)


def test_variants_that_vary_much_do_not_hide_a_clear_difference_between_those_that_do_not():
    random = np.random.default_rng(31)
    scores = [0.2 + 0.002 * random.standard_normal(5), 0.23 + 0.002 * random.standard_normal(5),
              *(0.6 + 0.05 * random.standard_normal(5) for _ in range(8))]
    pairs = pairwise.compare([Blocks.from_values(seeds) for seeds in scores], margin=None)
    assert pairs[0].difference.value < 0 and pairs[0].verdict == BETTER
    assert {pair.verdict for pair in pairs if min(pair.a, pair.b) > 1} == {UNKNOWN}


def test_axes_of_experiments_are_experiments_side_by_side():
    blocks = World(ratio=3, pictures=30, is_ratio=True).blocks(np.random.default_rng(19), 4, 3, 3)
    together = pairwise.compare(blocks, margin=0.01)
    for t in range(4):
        alone = pairwise.compare([Blocks(scores_S=one.scores_S[t], deviations_SX=one.deviations_SX[t], units=30,
                                              informed=one.informed[t])
                                  for one in blocks], margin=0.01)
        for one, both in zip(alone, together, strict=True):
            np.testing.assert_allclose([one.p, one.p_holm, one.p_equivalent],
                                       [both.p[t], both.p_holm[t], both.p_equivalent[t]])


# How much more data

def power(difference: float, seed_sd: float, unit_error: float, seeds: int) -> float:
    """By simulation of Welch's t, the units' part known."""
    random = np.random.default_rng(14)
    scores = random.normal(0, seed_sd, (2, 20_000, seeds))
    error = scores.mean(2)[0] - scores.mean(2)[1] + random.normal(0, unit_error, 20_000)
    variances = scores.var(2, ddof=1) / seeds
    freedom = inference.satterthwaite([(part, seeds - 1) for part in variances] + [(unit_error**2, 1999)])
    reach = scipy.stats.t.ppf(0.975, freedom) * np.sqrt(variances.sum(0) + unit_error**2)
    return float(np.mean(error + difference > reach))


def test_a_range_holds_the_number_of_seeds_that_is_right():
    random, seed_sd, difference = np.random.default_rng(15), 0.03, 0.04
    # 11 seeds: 1.96 and 0.84 standard errors are 0.0376, a little less than t asks for.
    right = next(n for n in itertools.count(3) if power(difference, seed_sd, 1e-6, n) >= 0.8)
    held = []
    for _ in range(400):
        a, b = (means(np.repeat(random.normal(0.5, seed_sd, (4, 1)), 5, axis=1)) for _ in range(2))
        low, high = pairwise.seeds_needed(difference, a, b)
        held.append(low - 1 <= right <= high + 1)
    assert 0.76 <= np.mean(held) <= 0.95


def test_planning_says_never_and_needs_no_seeds_for_masks():
    a_SU, b_SU = made_up(16, 5, 100)
    low, high = pairwise.seeds_needed(1e-4, means(a_SU), means(b_SU))
    assert (low, high) == (None, None)  # the units alone leave more doubt than that
    masks = [means(values[:1], has_seeds=False) for values in (a_SU, b_SU)]
    assert pairwise.seeds_needed(0.05, *masks) == (None, None)
    low, high = pairwise.units_needed(0.05, *masks)
    sd = np.std(a_SU[0] - b_SU[0], ddof=1)
    assert low == high == next(n for n in itertools.count(2) if (
        scipy.stats.t.ppf([0.975, 0.8], n - 1).sum() * sd / math.sqrt(n)) <= 0.05)


@given(EXPERIMENTS, st.floats(0.02, 0.5))
@example(made_up(1924, 3, 20), 0.375)  # more variance between seeds needs fewer units, by its degrees of freedom
def test_a_larger_difference_needs_no_more(experiment: tuple[np.ndarray, np.ndarray], difference: float):
    a, b = map(means, experiment)
    for needed in (pairwise.seeds_needed, pairwise.units_needed):
        ends = [[math.inf if end is None else end for end in needed(size, a, b)]
                for size in (difference, 1.5 * difference)]
        assert ends[1][0] <= ends[0][0] and ends[1][1] <= ends[0][1] and ends[0][0] <= ends[0][1]


# Simulation with known truth

@pytest.mark.parametrize(("seeds", "ratio", "shape"), [(3, 1, "normal"), (3, 10, "unequal"), (5, 3, "unequal")])
def test_intervals_hold_and_equal_variants_are_not_called_better(seeds: int, ratio: float, shape: str):
    world = World(ratio=ratio, pictures=200, shape=shape)
    blocks = world.blocks(np.random.default_rng(17), 600, 3, seeds)
    held = []
    for one in blocks:
        low, high = of_score(one).interval()
        held.append((low <= world.truth) & (world.truth <= high))
    assert 0.93 <= np.mean(held) <= 0.97
    better = np.any([pair.p_holm < 0.05 for pair in pairwise.compare(blocks, margin=None)], axis=0)
    assert better.mean() <= 0.07
