"""Intervals and tests over seeds and units against scipy, exact analysis of variance, brute force and simulation."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulation import World
from seglib.metrics.inference import MASKS, SEEDS_AND_PICTURES, WEIGHTS, Blocks, of_difference, of_score
from tests.metrics.experiments import EXPERIMENTS, LARGE, counts, made_up, means

SEEDS = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6).filter(lambda values: np.std(values) > 1e-3)


# Values of trainings, without units

@given(SEEDS)
def test_values_of_trainings_have_students_interval_and_p(seeds: list[float]):
    found = of_score(Blocks.from_values([*seeds, np.nan]), LARGE, lowest=-LARGE)
    expected = scipy.stats.ttest_1samp(seeds, 0.5)
    np.testing.assert_allclose([found.value, *found.interval()], [np.mean(seeds), *expected.confidence_interval()],
                               rtol=1e-9, atol=1e-9)
    assert found.p(null=0.5) == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


@given(SEEDS, st.data())
def test_the_difference_of_equally_many_trainings_has_welchs_interval(seeds: list[float], data: st.DataObject):
    others = data.draw(st.lists(st.floats(-1e3, 1e3), min_size=len(seeds), max_size=len(seeds))
                       .filter(lambda values: np.std(values) > 1e-3))
    found = of_difference(Blocks.from_values(seeds), Blocks.from_values(others), LARGE)
    expected = scipy.stats.ttest_ind(seeds, others, equal_var=False).confidence_interval()
    np.testing.assert_allclose(found.interval(), expected, rtol=1e-6, atol=1e-6)


def test_trainings_that_agree_exactly_or_have_no_value_claim_nothing():
    same = of_score(Blocks.from_values([0.4] * 5))
    assert same.interval() == (0.0, pytest.approx(0.4 + 1 - 0.025 ** (1 / 5)))  # half of all others may be anywhere
    assert same.p(null=0.9) == pytest.approx(2 * 0.5**5)
    assert np.isinf(of_score(Blocks.from_values([4.0] * 5), LARGE).interval()[1])
    assert np.isnan(of_score(Blocks.from_values([np.nan] * 2)).value)


@given(EXPERIMENTS)
def test_two_scores_of_the_same_trainings_are_paired_by_seed(experiment: tuple[np.ndarray, np.ndarray]):
    """It is a score of its own: its value in each training and unit is the difference of the two."""
    a_SU, b_SU = experiment
    found, expected = of_score(means(a_SU).minus(means(b_SU)), lowest=-1), of_score(means(a_SU - b_SU), lowest=-1)
    np.testing.assert_allclose([found.value, found.variance, found.freedom],
                               [expected.value, expected.variance, expected.freedom])


@given(EXPERIMENTS, st.floats(0.001, 0.5))
def test_p_against_a_null_and_within_a_margin_are_those_of_t(experiment: tuple[np.ndarray, np.ndarray], margin: float):
    found = of_difference(*map(means, experiment))
    t = scipy.stats.t(found.freedom, scale=np.sqrt(found.variance))
    assert found.p(null=margin) == pytest.approx(2 * t.sf(abs(found.value - margin)))
    assert found.p_within(margin) == pytest.approx(
        min(1, t.sf(abs(found.value) - margin) + t.sf(abs(found.value) + margin)))


# One variant

@given(EXPERIMENTS)
def test_the_variance_is_that_of_a_two_way_analysis_of_variance(experiment: tuple[np.ndarray, np.ndarray]):
    values_SU, _ = experiment
    seeds, units = values_SU.shape
    grand, of_seeds, of_units = values_SU.mean(), values_SU.mean(1, keepdims=True), values_SU.mean(0, keepdims=True)
    seed_square = units * ((of_seeds - grand) ** 2).sum() / (seeds - 1)
    unit_square = seeds * ((of_units - grand) ** 2).sum() / (units - 1)
    both_square = ((values_SU - of_seeds - of_units + grand) ** 2).sum() / ((seeds - 1) * (units - 1))
    expected = (seed_square + max(unit_square - both_square, 0)) / (seeds * units)
    found = of_score(means(values_SU), LARGE)
    assert found.value == pytest.approx(grand) and found.variance == pytest.approx(expected)
    assert found.of == SEEDS_AND_PICTURES


@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_without_a_difference_between_units_it_is_students_t_over_seeds(confidence: float):
    scores_S = np.array([0.61, 0.66, 0.58, 0.7])
    found = of_score(means(np.repeat(scores_S[:, None], 50, axis=1)))
    expected = scipy.stats.ttest_1samp(scores_S, 0).confidence_interval(confidence)
    assert found.freedom == pytest.approx(3)
    np.testing.assert_allclose(found.interval(confidence), expected)


def test_one_seed_of_means_is_students_t_over_units():
    values_U = np.random.default_rng(1).normal(0.6, 0.1, 80)
    found = of_score(means(values_U[None]))
    expected = scipy.stats.ttest_1samp(values_U, 0).confidence_interval(0.95)
    np.testing.assert_allclose(found.interval(), expected)
    assert found.of == WEIGHTS and of_score(means(values_U[None], has_seeds=False)).of == MASKS


def test_the_variance_of_ratios_is_that_of_the_jackknife():
    above_SUK, below_SUK = counts(2, 1, 400, 3)

    def score(kept_U: np.ndarray) -> float:
        return float(np.mean(above_SUK[0, kept_U].sum(0) / below_SUK[0, kept_U].sum(0)))

    left_out = [score(np.arange(400) != u) for u in range(400)]
    jackknife = 399 / 400 * ((left_out - np.mean(left_out)) ** 2).sum()
    found = of_score(Blocks.from_sums(above_SUK, below_SUK, np.ones(3, bool)))
    assert found.value == pytest.approx(score(np.arange(400)))
    assert found.variance == pytest.approx(jackknife, rel=0.01)


def test_a_class_without_denominators_takes_no_part_in_its_seeds_score():
    above_SUK, below_SUK = counts(3, 2, 30, 2)
    above_SUK[0, :, 1] = below_SUK[0, :, 1] = 0
    found = Blocks.from_sums(above_SUK, below_SUK, np.ones(2, bool))
    alone = Blocks.from_sums(above_SUK, below_SUK, np.array([True, False]))
    assert found.scores_S[0] == alone.scores_S[0] and found.scores_S[1] != alone.scores_S[1]
    np.testing.assert_allclose(found.deviations_SX[0], alone.deviations_SX[0])
    assert np.isnan(Blocks.from_sums(above_SUK, below_SUK, np.zeros(2, bool)).scores_S).all()


def test_replicates_say_what_sums_say():
    a_SU, b_SU = made_up(4, 4, 60)
    drawn_RU = np.random.default_rng(5).integers(60, size=(20_000, 60))
    by_sums = of_difference(means(a_SU), means(b_SU))
    blocks = [Blocks.from_replicates(values.mean(1), values[:, drawn_RU].mean(-1), 60) for values in (a_SU, b_SU)]
    by_replicates = of_difference(*blocks)
    assert by_replicates.value == pytest.approx(by_sums.value)
    assert by_replicates.variance == pytest.approx(by_sums.variance, rel=0.03)
    with_gap = Blocks.from_replicates(a_SU.mean(1), np.c_[a_SU[:, drawn_RU].mean(-1), np.full((4, 7), np.nan)], 60)
    assert of_score(with_gap).variance == pytest.approx(of_score(blocks[0]).variance)


# Two variants

def test_without_a_difference_between_units_it_is_welchs_t():
    random = np.random.default_rng(6)
    a_S, b_S = random.normal(0.6, 0.02, 5), random.normal(0.55, 0.08, 5)
    found = of_difference(*(means(np.repeat(scores[:, None], 20, axis=1)) for scores in (a_S, b_S)))
    expected = scipy.stats.ttest_ind(a_S, b_S, equal_var=False)
    assert found.p() == pytest.approx(expected.pvalue)
    np.testing.assert_allclose(found.interval(), expected.confidence_interval(0.95))


@pytest.mark.parametrize("has_seeds", [False, True])
def test_with_one_result_each_it_is_the_paired_t_over_units(has_seeds: bool):
    a_SU, b_SU = made_up(7, 1, 50)
    found = of_difference(means(a_SU, has_seeds), means(b_SU, has_seeds))
    expected = scipy.stats.ttest_rel(a_SU[0], b_SU[0])
    assert found.p() == pytest.approx(expected.pvalue)
    np.testing.assert_allclose(found.interval(), expected.confidence_interval(0.95))
    assert found.of == (WEIGHTS if has_seeds else MASKS)


def test_a_training_against_masks_varies_with_its_own_seeds():
    a_SU, b_SU = made_up(8, 5, 300)
    found = of_difference(means(a_SU), means(b_SU[:1], has_seeds=False))
    paired = np.var(a_SU.mean(0) - b_SU[0], ddof=1) / 300
    own_SU = a_SU - a_SU.mean(0) - a_SU.mean(1, keepdims=True) + a_SU.mean()
    interaction = (own_SU**2).sum() / (4 * 299) / (5 * 300)
    assert found.variance == pytest.approx(a_SU.mean(1).var(ddof=1) / 5 + paired - interaction)
    assert found.of == SEEDS_AND_PICTURES


def test_interaction_is_counted_once():
    # Nothing but interaction: the true variance of the difference is 2 sigma² / (S U).
    random, found = np.random.default_rng(9), []
    for _ in range(200):
        found.append(of_difference(*(means(random.normal(0.5, 0.1, (5, 200))) for _ in range(2))).variance)
    assert np.mean(found) == pytest.approx(2 * 0.1**2 / (5 * 200), rel=0.2)


@given(EXPERIMENTS, st.randoms(use_true_random=False))
def test_neither_order_of_seeds_nor_of_units_nor_side_matters(experiment: tuple[np.ndarray, np.ndarray], random):
    a_SU, b_SU = experiment
    seeds, units = (random.sample(range(size), size) for size in a_SU.shape)
    plain = of_difference(means(a_SU), means(b_SU))
    shuffled = of_difference(means(a_SU[seeds][:, units]), means(b_SU[:, units]))
    turned = of_difference(means(b_SU), means(a_SU))
    for other, sign in ((shuffled, 1), (turned, -1)):
        assert sign * other.value == pytest.approx(plain.value, abs=1e-12)
        assert other.p() == pytest.approx(plain.p(), rel=1e-6)
        assert other.freedom == pytest.approx(plain.freedom, rel=1e-6)
    low, high = plain.interval()
    np.testing.assert_allclose(turned.interval(), [-high, -low])


@given(EXPERIMENTS, st.floats(0.01, 0.99))
def test_p_and_interval_agree(experiment: tuple[np.ndarray, np.ndarray], level: float):
    found = of_difference(*map(means, experiment), highest=LARGE)
    low, high = found.interval(1 - level)
    assert (found.p() < level) == (low > 0 or high < 0)
    low, high = found.interval(1 - level)
    assert (found.p_outside(0.1) < level / 2) == (low > -0.1 and high < 0.1)


# Without variance

def test_identical_seeds_leave_the_variance_of_the_units():
    values_U = np.random.default_rng(10).normal(0.6, 0.1, 100)
    same, one = of_score(means(np.repeat(values_U[None], 3, axis=0))), of_score(means(values_U[None]))
    assert same.variance == pytest.approx(one.variance) and same.freedom == pytest.approx(99)


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("seeds", [1, 3])
def test_no_variance_at_all_is_not_certainty(value: float, seeds: int):
    blocks = means(np.full((seeds, 200), value))
    low, high = of_score(blocks).interval()
    exact = scipy.stats.binomtest(0, 200).proportion_ci(0.95).high
    assert low == pytest.approx(max(value - exact, 0)) and high == pytest.approx(min(value + exact, 1))
    difference = of_difference(blocks, blocks)
    assert difference.p() == 1 and difference.p_outside(0.01) == pytest.approx(0.99**200)
    np.testing.assert_allclose(difference.interval(), [-exact, exact])


def test_a_score_without_a_largest_value_and_without_variance_has_no_bound():
    found = of_score(means(np.full((3, 50), 7.0)), LARGE)
    assert found.interval() == (0, math.inf)
    assert of_difference(means(np.full((3, 50), 7.0)), means(np.full((3, 50), 2.0)), LARGE).p() == 1


def test_a_single_unit_says_nothing():
    found = of_score(means(np.array([[0.5], [0.6], [0.7]])))
    assert found.interval() == (0, 1) and found.p() == 1


# Simulation with known truth


def test_the_simulations_truth_is_the_mean_over_many_seeds_and_pictures():
    for shape, is_ratio in itertools.product(("normal", "bimodal"), (False, True)):
        world = World(ratio=10, pictures=200, shape=shape, is_ratio=is_ratio)
        one, = world.blocks(np.random.default_rng(18), 300, 1, 20)
        error = one.mean.std() / math.sqrt(300)
        assert one.mean.mean() == pytest.approx(world.truth, abs=4 * error)
        sd = math.sqrt(one.seed_variance()[0].mean())
        assert sd / math.sqrt((one.deviations_SX**2).sum(-1).mean()) == pytest.approx(10, rel=0.15)


def test_only_the_units_that_a_score_depends_on_count():
    """Seven of 200 pictures hold a small object. Whatever the others are, the interval is Student's over the seven."""
    random = np.random.default_rng(23)
    found_U1, there_U1 = np.zeros((200, 1)), np.zeros((200, 1))
    there_U1[::30], found_U1[::30, 0] = 1, random.uniform(0.2, 0.9, 7)
    estimate = of_score(Blocks.from_sums(found_U1[None], there_U1[None], np.ones(1, bool), has_seeds=False))
    expected = scipy.stats.ttest_1samp(found_U1[::30, 0], 0).confidence_interval()
    np.testing.assert_allclose(estimate.interval(), np.clip(expected, 0, 1))
    unvaried = of_score(Blocks.from_sums(there_U1[None], there_U1[None], np.ones(1, bool), has_seeds=False))
    assert unvaried.interval()[0] == pytest.approx(0.025 ** (1 / 7))


@pytest.mark.parametrize("held_by", [3, 6])
def test_a_rare_class_leaves_its_own_degrees_of_freedom_to_the_mean_over_classes(held_by: int):
    """All of 500 pictures hold the first class, few the second one: does the interval hold the mean of the truths?"""
    random, held = np.random.default_rng(29), 0
    for _ in range(600):
        there_UK = np.ones((500, 2))
        there_UK[held_by:, 1] = 0
        found_UK = there_UK * np.clip(random.normal(0.6, 0.1, (500, 2)), 0, 1)
        blocks = Blocks.from_sums(found_UK[None], there_UK[None], np.ones(2, bool), has_seeds=False)
        low, high = of_score(blocks).interval()
        held += low <= 0.6 <= high
    assert 0.93 <= held / 600 <= 0.98


