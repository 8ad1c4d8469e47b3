"""How long intervals and tests take beside scipy's, and how often a 95 % interval holds what it should.

    python -m benchmarks.statistics            # minutes; set OMP_NUM_THREADS to choose the threads
    python -m benchmarks.statistics coverage   # a minute

Sizes: 20 variants x 3 seeds x 5,000 pictures x 5 classes, 10,000 resamples, 4 scores.
"""

import itertools
import math
import os
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.stats

from seglib.metrics.statistics import Resamples, Runs, bootstrap, interval, permutation_p

VARIANTS, SEEDS, PICTURES, CLASSES, SCORES, RESAMPLES = 20, 3, 5000, 5, 4, 10_000
PAIRS = list(itertools.combinations(range(VARIANTS), 2))
SCIPY_RESAMPLES = 200  # of 10,000: scipy's time grows in proportion


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def made_up_runs() -> list[Runs]:
    """Pixel counts as a dataset IoU has them; a score after another, its variants in order."""
    random, runs = np.random.default_rng(0), []
    for _, variant in itertools.product(range(SCORES), range(VARIANTS)):
        bottom = random.integers(0, 4000, size=(SEEDS, PICTURES, CLASSES)).astype(np.float64)
        runs.append(Runs(name=f"variant {variant}", numerator_SNK=np.floor(bottom * random.random(bottom.shape)),
                         denominator_SNK=bottom, scored_K=np.ones(CLASSES, bool)))
    return runs


def scipy_seconds(a: Runs, b: Runs) -> tuple[float, float, float]:
    """One run's interval, one pair's interval and one pair's permutation test, extrapolated to 10,000 resamples.

    Pictures alone, as scipy has no two-way bootstrap. It is handed indices of pictures, as its samples are of numbers.
    """
    tables = [(one.numerator_SNK.transpose(0, 2, 1), one.denominator_SNK.transpose(0, 2, 1)) for one in (a, b)]
    both = [tuple(np.ascontiguousarray(part) for part in table) for table in tables]
    either = [np.concatenate([table[part].mean(axis=0) for table in both], axis=1) for part in range(2)]  # (K, 2N)
    pictures_N = np.arange(PICTURES)

    def score(table: tuple, seed: int, index) -> np.ndarray:
        return np.mean([table[0][seed, k][index].sum(-1) / table[1][seed, k][index].sum(-1) for k in range(CLASSES)], 0)

    def difference(index, axis: int) -> np.ndarray:
        return np.mean([score(both[0], s, index) - score(both[1], s, index) for s in range(SEEDS)], 0)

    def swapped(x, y, axis: int) -> np.ndarray:
        return np.mean([either[0][k][x].sum(-1) / either[1][k][x].sum(-1)
                        - either[0][k][y].sum(-1) / either[1][k][y].sum(-1) for k in range(CLASSES)], 0)

    options = {"n_resamples": SCIPY_RESAMPLES, "batch": 100, "vectorized": True}
    times = (
        seconds(lambda: scipy.stats.bootstrap((pictures_N,), lambda index, axis: score(both[0], 0, index),
                                              method="percentile", rng=np.random.default_rng(1), **options)),
        seconds(lambda: scipy.stats.bootstrap((pictures_N,), difference, method="percentile",
                                              rng=np.random.default_rng(1), **options)),
        seconds(lambda: scipy.stats.permutation_test((pictures_N, pictures_N + PICTURES), swapped,
                                                     permutation_type="samples", rng=np.random.default_rng(1),
                                                     **options)))
    return tuple(one * RESAMPLES / SCIPY_RESAMPLES for one in times)


def speed() -> None:
    runs, resamples = made_up_runs(), Resamples(pictures=PICTURES, count=RESAMPLES)
    before = peak_mb()
    replicates = []
    bootstrapped = seconds(lambda: replicates.extend(bootstrap(runs, resamples)))
    intervals = seconds(lambda: [interval(one.both_R) for one in replicates])
    pairs = seconds(lambda: [interval(replicates[a].both_R - replicates[b].both_R) for a, b in PAIRS])
    tests = seconds(lambda: permutation_p(runs[:VARIANTS], PAIRS, resamples))
    peak = peak_mb()
    total = bootstrapped + intervals + pairs + tests

    drawing = seconds(lambda: [None for _ in resamples.weights()])
    square = np.random.default_rng(1).random((3000, 3000))
    fastest = 2 * 3000**3 / min(seconds(lambda: square @ square) for _ in range(3))
    operations = 2 * RESAMPLES * PICTURES * VARIANTS * SEEDS * CLASSES * SCORES * 2
    one_run, one_pair, one_test = scipy_seconds(runs[0], runs[1])
    scipy_runs, scipy_pairs, scipy_tests = (one_run * VARIANTS * SEEDS * SCORES, one_pair * len(PAIRS),
                                            one_test * len(PAIRS))
    scipy_total = scipy_runs + scipy_pairs + scipy_tests

    print(f"{VARIANTS} variants x {SEEDS} seeds x {PICTURES:,} pictures x {CLASSES} classes, {SCORES} scores, "
          f"{RESAMPLES:,} resamples; {os.cpu_count()} cores, "
          f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}")
    print(f"{'':44}{'seglib':>9}{'scipy *':>10}")
    print(f"{'intervals of 4 scores of 20 variants':44}{bootstrapped + intervals:>7.1f} s{scipy_runs:>8.0f} s")
    print(f"{'intervals of 190 differences of one score':44}{pairs:>7.1f} s{scipy_pairs:>8.0f} s")
    print(f"{'190 permutation tests of one score':44}{tests:>7.1f} s{scipy_tests:>8.0f} s")
    print(f"{'all':44}{total:>7.1f} s{scipy_total:>8.0f} s   {scipy_total / total:.0f} times")
    print(f"{'memory above the tables, peak':44}{peak - before:>6.0f} MB (tables: {before:.0f} MB with the process)")
    print(f"* in a loop, pictures alone; one of each kind, {SCIPY_RESAMPLES} of {RESAMPLES:,} resamples, extrapolated.")
    print(f"Of the {bootstrapped:.1f} s bootstrap, drawing weights is {drawing:.1f} s. Its matrix products at this "
          f"machine's peak ({fastest / 1e9:.0f} GFLOP/s, float64) are {operations / fastest:.1f} s: "
          f"{100 * operations / fastest / bootstrapped:.0f} % of peak over the whole.")


def coverage(pictures: int = 200, trials: int = 2000, count: int = 2000) -> None:
    """Of 95 % intervals over normal data: how often they hold the truth.

    The difference is between two variants with the same truth, whose pictures correlate by a half.
    """
    resamples = Resamples(pictures=pictures, count=count)
    print(f"{trials * 2:,} scores, {trials:,} pairs, {pictures} pictures, {count:,} resamples; in %")
    print(f"{'seeds':>5}{'seed sd / picture error':>25}{'score held':>12}{'difference held':>17}"
          f"{'permutation p < 0.05':>22}{'falsely settled':>17}")
    for seeds, ratio in itertools.product((1, 2, 3, 5, 10), (0.5, 1, 3)):
        random, runs = np.random.default_rng([seeds, int(2 * ratio)]), []
        for index in range(2 * trials):
            if index % 2 == 0:
                shared_N = random.normal(size=pictures)
            picture_N = (shared_N + random.normal(size=pictures)) / math.sqrt(2)
            values_SN = picture_N + random.normal(scale=ratio / math.sqrt(pictures), size=(seeds, 1))
            runs.append(Runs(name=str(index), numerator_SNK=values_SN[:, :, None],
                             denominator_SNK=np.ones((seeds, pictures, 1)), scored_K=np.ones(1, bool)))
        pairs = [(index, index + 1) for index in range(0, 2 * trials, 2)]
        replicates = bootstrap(runs, resamples)
        scores = [low <= 0 <= high for low, high in (interval(one.both_R) for one in replicates)]
        held = [low <= 0 <= high for low, high in (
            interval(replicates[a].both_R - replicates[b].both_R) for a, b in pairs)]
        small = permutation_p(runs, pairs, resamples) < 0.05
        print(f"{seeds:>5}{ratio:>25}{100 * np.mean(scores):>12.1f}{100 * np.mean(held):>17.1f}"
              f"{100 * np.mean(small):>22.1f}{100 * np.mean(small & ~np.array(held)):>17.1f}", flush=True)


if __name__ == "__main__":
    coverage() if "coverage" in sys.argv[1:] else speed()
