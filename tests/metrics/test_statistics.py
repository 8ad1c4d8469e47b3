"""Intervals and tests against scipy, plain loops and closed forms; every seed is fixed, so no test is left to luck."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from seglib.metrics import statistics
from seglib.metrics.statistics import Ratios, Resamples, bootstrap, interval, permutation_p


def ratios(numerator_SNK: np.ndarray, denominator_SNK: np.ndarray | None = None, name: str = "a") -> Ratios:
    """A score of means where no denominator is given."""
    denominator_SNK = np.ones_like(numerator_SNK) if denominator_SNK is None else denominator_SNK
    return Ratios(name=name, numerator_SNK=numerator_SNK, denominator_SNK=denominator_SNK,
                  scored_K=np.ones(numerator_SNK.shape[2], bool))


def counts(seed: int, seeds: int, pictures: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    denominator_SNK = random.integers(0, 50, size=(seeds, pictures, classes)).astype(float)
    return np.floor(denominator_SNK * random.beta(4, 2, size=denominator_SNK.shape)), denominator_SNK


def plain_score(numerator_NK: np.ndarray, denominator_NK: np.ndarray, scored_K: np.ndarray) -> float:
    """The definition, in plain Python."""
    found = []
    for k in np.flatnonzero(scored_K):
        total = sum(denominator_NK[:, k].tolist())
        if total:
            found.append(sum(numerator_NK[:, k].tolist()) / total)
    return sum(found) / len(found) if found else math.nan


def test_one_seed_of_means_equals_scipys_bootstrap():
    values_N = np.random.default_rng(1).exponential(size=60)
    low, high = interval(bootstrap([ratios(values_N[None, :, None])], Resamples(pictures=60))[0].both_R)
    expected = scipy.stats.bootstrap((values_N,), np.mean, n_resamples=10_000, method="percentile",
                                     rng=np.random.default_rng(2))
    # Two Monte Carlo quantiles at 2.5 % of 10,000 differ by 0.04 standard errors, one standard deviation.
    np.testing.assert_allclose([low, high], expected.confidence_interval, atol=0.12 * expected.standard_error)


@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_one_seed_of_ratios_equals_scipys_paired_bootstrap(confidence: float):
    top_1NK, bottom_1NK = counts(3, 1, 80, 1)
    low, high = interval(bootstrap([ratios(top_1NK, bottom_1NK)], Resamples(pictures=80))[0].both_R, confidence)
    expected = scipy.stats.bootstrap(
        (top_1NK[0, :, 0], bottom_1NK[0, :, 0]), lambda x, y, axis: x.sum(axis) / y.sum(axis), paired=True,
        vectorized=True, n_resamples=10_000, method="percentile", confidence_level=confidence,
        rng=np.random.default_rng(4))
    np.testing.assert_allclose([low, high], expected.confidence_interval, atol=0.12 * expected.standard_error)


def test_two_ways_equal_a_plain_loop():
    top_SNK, bottom_SNK = counts(5, 3, 12, 2)
    scored_K, random, looped = np.ones(2, bool), np.random.default_rng(6), []
    for _ in range(4000):
        drawn = random.integers(12, size=12)
        scores = [plain_score(top_SNK[s, drawn], bottom_SNK[s, drawn], scored_K) for s in range(3)]
        mean = sum(scores) / 3
        resampled = sum(scores[s] for s in random.integers(3, size=3)) / 3
        looped.append(mean + (resampled - mean) * math.sqrt(3 / 2))
    found_R = bootstrap([ratios(top_SNK, bottom_SNK)], Resamples(pictures=12))[0].both_R
    assert found_R.std() == pytest.approx(np.std(looped), rel=0.05)
    assert scipy.stats.ks_2samp(found_R, looped).pvalue > 0.01


def test_variances_equal_the_closed_form_of_an_additive_model():
    # Score of seed s on picture n: a_n + b_s. Then var(mean) = var(a) / N + var(b) / S.
    random = np.random.default_rng(7)
    a_N, b_S = random.normal(size=150), random.normal(scale=0.1, size=4)
    found = bootstrap([ratios((b_S[:, None] + a_N)[:, :, None])], Resamples(pictures=150, count=20_000))[0]
    assert found.pictures_R.var() == pytest.approx(a_N.var() / 150, rel=0.04)
    assert found.both_R.var() == pytest.approx(a_N.var() / 150 + b_S.var(ddof=1) / 4, rel=0.04)


def test_the_replicates_of_two_variants_share_their_pictures():
    # The same pictures are hard for both, so the difference is far surer than either score.
    random = np.random.default_rng(8)
    a_N = random.normal(size=100)
    b_N = a_N - 0.1 + random.normal(scale=0.01, size=100)
    a, b = bootstrap([ratios(a_N[None, :, None]), ratios(b_N[None, :, None], name="b")], Resamples(pictures=100))
    assert (a.both_R - b.both_R).std() == pytest.approx((a_N - b_N).std() / 10, rel=0.05)
    low, high = interval(a.both_R - b.both_R)
    assert 0.09 < low < 0.1 < high < 0.11


def test_weights_are_multinomial_counts():
    pieces = [weights for _, weights in Resamples(pictures=30).weights()]
    weights_RN = np.concatenate(pieces)
    assert weights_RN.shape == (10_000, 30)
    np.testing.assert_array_equal(weights_RN.sum(axis=1), 30)
    np.testing.assert_allclose(np.bincount(weights_RN[:, 0].astype(int))[:4] / 10_000,
                               scipy.stats.binom.pmf(range(4), 30, 1 / 30), atol=0.02)


def test_scores_are_ratios_of_sums_over_the_scored_classes():
    top_SNK, bottom_SNK = counts(9, 2, 20, 3)
    scored_K = np.array([True, False, True])
    found = Ratios(name="a", numerator_SNK=top_SNK, denominator_SNK=bottom_SNK, scored_K=scored_K).scores_S()
    np.testing.assert_allclose(found, [plain_score(top_SNK[s], bottom_SNK[s], scored_K) for s in range(2)], rtol=1e-12)


def test_a_class_absent_from_a_resample_is_left_out_of_its_mean():
    # Class 0 scores 0.5 in all pictures; class 1 scores 1 and is in one picture of five alone.
    top, bottom = np.full((1, 5, 2), 0.5), np.ones((1, 5, 2))
    top[0, :, 1], bottom[0, 1:, 1] = [1, 0, 0, 0, 0], 0
    found_R = bootstrap([ratios(top, bottom)], Resamples(pictures=5))[0].both_R
    assert set(found_R.tolist()) == {0.5, 0.75}
    assert np.mean(found_R == 0.5) == pytest.approx(0.8**5, abs=0.02)


def test_a_resample_without_any_class_has_no_score_and_no_part_in_the_interval():
    top, bottom = np.zeros((2, 5, 1)), np.zeros((2, 5, 1))
    top[:, 0], bottom[:, 0] = 0.25, 1
    found_R = bootstrap([ratios(top, bottom)], Resamples(pictures=5))[0].both_R
    assert np.isnan(found_R).mean() == pytest.approx(0.8**5, abs=0.02)
    assert interval(found_R) == (0.25, 0.25)
    assert all(map(math.isnan, interval(np.full(9, np.nan))))


def test_without_scored_classes_there_is_no_score():
    empty = Ratios(name="a", numerator_SNK=np.zeros((2, 5, 1)), denominator_SNK=np.zeros((2, 5, 1)),
                   scored_K=np.zeros(1, bool))
    assert np.isnan(empty.scores_S()).all()
    assert np.isnan(bootstrap([empty], Resamples(pictures=5))[0].both_R).all()
    assert permutation_p([empty, empty], [(0, 1)], Resamples(pictures=5))[0] == 1


def test_a_variant_is_not_moved_by_its_neighbours_and_is_the_same_bytes_again():
    a, b = ratios(*counts(10, 3, 40, 2)), ratios(*counts(11, 2, 40, 3), name="b")
    resamples = Resamples(pictures=40, count=500, seed=3)
    first, alone = bootstrap([a, b], resamples), bootstrap([b], resamples)
    again, other = bootstrap([a, b], resamples), bootstrap([a, b], Resamples(pictures=40, count=500, seed=4))
    for part in range(2):
        assert first[0][part].tobytes() == again[0][part].tobytes() != other[0][part].tobytes()
        assert first[1][part].tobytes() == alone[0][part].tobytes()
    assert permutation_p([a, a], [(0, 1)], resamples).tobytes() == permutation_p([a, a], [(0, 1)], resamples).tobytes()


def test_chunks_do_not_change_a_byte_of_the_sums(monkeypatch: pytest.MonkeyPatch):
    # Scores that no float sums exactly: without the grid the last bits would hang on the order of the sums.
    one = ratios(np.random.default_rng(12).random((2, 70, 3)))
    whole = bootstrap([one], Resamples(pictures=70, count=300))[0]
    monkeypatch.setattr(statistics, "CHUNK", 70 * 7)
    assert bootstrap([one], Resamples(pictures=70, count=300))[0].both_R.tobytes() == whole.both_R.tobytes()


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 1.0])
def test_permutation_equals_scipys_exact_test_of_a_mean_difference(shift: float):
    random = np.random.default_rng(13)
    a_N, b_N = random.normal(size=10) + shift, random.normal(size=10)
    exact = scipy.stats.permutation_test((a_N, b_N), lambda x, y, axis: x.mean(axis) - y.mean(axis), vectorized=True,
                                         permutation_type="samples", n_resamples=np.inf).pvalue
    found = permutation_p([ratios(a_N[None, :, None]), ratios(b_N[None, :, None])], [(0, 1)], Resamples(pictures=10))[0]
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 10_000) + 1e-4)


def test_permutation_of_ratios_equals_all_swaps_by_hand():
    # 2 seeds against 3, class 1 in few pictures: a swap can take it from one side altogether.
    (a_top, a_bottom), (b_top, b_bottom) = counts(14, 2, 7, 2), counts(15, 3, 7, 2)
    a_top[:, 2:, 1] = a_bottom[:, 2:, 1] = b_top[:, 2:, 1] = b_bottom[:, 2:, 1] = 0
    parts = [part.mean(axis=0) for part in (a_top, a_bottom, b_top, b_bottom)]
    scored_K, differences = np.ones(2, bool), []
    for swap in itertools.product([False, True], repeat=7):
        z = np.array(swap)[:, None]
        a = plain_score(np.where(z, parts[2], parts[0]), np.where(z, parts[3], parts[1]), scored_K)
        b = plain_score(np.where(z, parts[0], parts[2]), np.where(z, parts[1], parts[3]), scored_K)
        differences.append(abs(a - b))
    exact = np.mean(np.array(differences) >= differences[0] - 1e-12)
    found = permutation_p([ratios(a_top, a_bottom), ratios(b_top, b_bottom)], [(0, 1), (1, 0)], Resamples(pictures=7))
    np.testing.assert_allclose(found, exact, atol=4 * math.sqrt(exact * (1 - exact) / 10_000))


def test_under_the_null_p_is_uniform():
    random = np.random.default_rng(16)
    every = [ratios(random.random((1, 40, 1))) for _ in range(600)]
    found = permutation_p(every, [(i, i + 1) for i in range(0, 600, 2)], Resamples(pictures=40, count=999))
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.01


def test_identical_variants_do_not_differ():
    top_SNK, bottom_SNK = counts(17, 3, 30, 2)
    a, b = ratios(top_SNK, bottom_SNK), ratios(top_SNK, bottom_SNK, name="b")
    first, second = bootstrap([a, b], Resamples(pictures=30))
    low, high = interval(first.both_R - second.both_R)
    assert low < 0 < high  # their seeds are drawn apart
    assert permutation_p([a, b], [(0, 1)], Resamples(pictures=30))[0] == 1
    np.testing.assert_array_equal(first.pictures_R, second.pictures_R)


def test_variants_may_have_different_numbers_of_seeds():
    random = np.random.default_rng(18)
    a_N, seeds_5, seeds_2 = random.normal(size=100), random.normal(size=5), random.normal(size=2)
    a = ratios((a_N + seeds_5[:, None])[:, :, None])
    b = ratios((a_N + seeds_2[:, None])[:, :, None], name="b")
    found = bootstrap([a, b], Resamples(pictures=100))
    variance = seeds_5.var(ddof=1) / 5 + seeds_2.var(ddof=1) / 2  # the pictures cancel
    assert (found[0].both_R - found[1].both_R).var() == pytest.approx(variance, rel=0.04)
