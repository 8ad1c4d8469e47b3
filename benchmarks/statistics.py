"""How long intervals and tests take beside scipy's, and how often a 95 % interval holds what it should.

    python -m benchmarks.statistics            # a minute; set OMP_NUM_THREADS to choose the threads
    python -m benchmarks.statistics coverage   # a minute

Sizes: 20 variants x 3 seeds x 5,000 pictures x 5 classes, 10,000 resamples, 4 scores.
"""

import itertools
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.stats

from benchmarks import harness
from benchmarks.harness import Timing, heading, interleaved, table
from seglib.metrics.statistics import Ratios, Resamples, bootstrap, interval, permutation_p

VARIANTS, SEEDS, PICTURES, CLASSES, SCORES, RESAMPLES = 20, 3, 5000, 5, 4, 10_000
PAIRS = list(itertools.combinations(range(VARIANTS), 2))
ROUNDS = 3
SCIPY_RESAMPLES = 200  # of 10,000: scipy's time grows in proportion


def peak_mb() -> float:
    """Of this process. `getrusage` would say the parent's, where that is larger: a child begins as it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def made_up_ratios() -> list[Ratios]:
    """Pixel counts as a dataset IoU has them; a score after another, its variants in order."""
    random, ratios = np.random.default_rng(0), []
    for _, variant in itertools.product(range(SCORES), range(VARIANTS)):
        bottom = random.integers(0, 4000, size=(SEEDS, PICTURES, CLASSES)).astype(np.float64)
        ratios.append(Ratios(name=f"variant {variant}", numerator_SNK=np.floor(bottom * random.random(bottom.shape)),
                             denominator_SNK=bottom, scored_K=np.ones(CLASSES, bool)))
    return ratios


def scipy_calls(a: Ratios, b: Ratios) -> tuple[Callable[[], object], ...]:
    """One run's interval, one pair's interval and one pair's permutation test, with SCIPY_RESAMPLES resamples.

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
    return (lambda: scipy.stats.bootstrap((pictures_N,), lambda index, axis: score(both[0], 0, index),
                                          method="percentile", rng=np.random.default_rng(1), **options),
            lambda: scipy.stats.bootstrap((pictures_N,), difference, method="percentile",
                                          rng=np.random.default_rng(1), **options),
            lambda: scipy.stats.permutation_test((pictures_N, pictures_N + PICTURES), swapped,
                                                 permutation_type="samples", rng=np.random.default_rng(1), **options))


def speed() -> None:
    """Print the table. In a process of its own, because the peak of its memory is the process's."""
    ratios, resamples = made_up_ratios(), Resamples(pictures=PICTURES, count=RESAMPLES)
    square = np.random.default_rng(1).random((3000, 3000))
    before = peak_mb()
    replicates = bootstrap(ratios, resamples)
    permutation_p(ratios[:VARIANTS], PAIRS, resamples)
    memory = peak_mb() - before

    calls = (VARIANTS * SEEDS * SCORES, len(PAIRS), len(PAIRS))
    rows = (f"intervals of {SCORES} scores of {VARIANTS} variants", f"intervals of {len(PAIRS)} differences of a score",
            f"{len(PAIRS)} permutation tests of a score")
    ours = (lambda: [interval(one.both_R) for one in bootstrap(ratios, resamples)],
            lambda: [interval(replicates[a].both_R - replicates[b].both_R) for a, b in PAIRS],
            lambda: permutation_p(ratios[:VARIANTS], PAIRS, resamples))
    theirs = scipy_calls(ratios[0], ratios[1])
    pieces = {"weights": lambda: [None for _ in resamples.weights()], "square": lambda: square @ square}
    found = interleaved({**dict(enumerate(ours)), **{f"scipy {i}": call for i, call in enumerate(theirs)}, **pieces},
                        rounds=ROUNDS)
    own = [found[i] for i in range(len(rows))]
    scipy_loop = [Timing(tuple(one * count * RESAMPLES / SCIPY_RESAMPLES for one in found[f"scipy {i}"].seconds))
                  for i, count in enumerate(calls)]
    for timings in (own, scipy_loop):
        timings.append(Timing(tuple(map(sum, zip(*(timing.seconds for timing in timings), strict=True)))))

    heading(f"Bootstrap and pairwise tests, {VARIANTS} variants × {PICTURES:,} pictures × {CLASSES} classes",
            f"{SEEDS} seeds, {RESAMPLES:,} resamples. scipy: a loop of calls that resample pictures alone, from one "
            f"call of each kind with {SCIPY_RESAMPLES} resamples. "
            f"OMP_NUM_THREADS is {os.environ.get('OMP_NUM_THREADS', 'not set')}.")
    # Of differences seglib has the resampled scores from the row above: only the whole compares like with like.
    *parts, (_, mine, loop) = zip((*rows, "all"), own, scipy_loop, strict=True)
    table(["", "seglib", "scipy, loop of calls", "times as fast", "goal"],
          [*([row, f"{mine.median:.2f} s", f"{loop.median:,.0f} s", "", ""] for row, mine, loop in parts),
           ["all", f"{mine.median:.2f} s", f"{loop.median:,.0f} s", mine.times_faster(loop),
            "20×, under 10 s"]])
    fastest = 2 * len(square)**3 / found["square"].median
    products = 2 * RESAMPLES * PICTURES * VARIANTS * SEEDS * CLASSES * SCORES * 2 / fastest
    print(f"{memory:.0f} MB above the tables, at the peak. Of the {own[0].median:.1f} s of the bootstrap, drawing "
          f"weights is {found['weights'].median:.1f} s; its matrix products would be {products:.1f} s at this "
          f"machine's peak ({fastest / 1e9:.0f} GFLOP/s, float64): {products / own[0].median:.0%} of peak over the "
          "whole.\n")


def coverage(pictures: int = 200, trials: int = 2000, count: int = 2000) -> None:
    """Of 95 % intervals over normal data: how often they hold the truth.

    The difference is between two variants with the same truth, whose pictures correlate by a half.
    """
    resamples = Resamples(pictures=pictures, count=count)
    heading("How often 95 % intervals hold the truth",
            f"{trials * 2:,} scores, {trials:,} pairs, {pictures} pictures, {count:,} resamples; in %")
    rows = []
    for seeds, ratio in itertools.product((1, 2, 3, 5, 10), (0.5, 1, 3)):
        random, ratios = np.random.default_rng([seeds, int(2 * ratio)]), []
        for index in range(2 * trials):
            if index % 2 == 0:
                shared_N = random.normal(size=pictures)
            picture_N = (shared_N + random.normal(size=pictures)) / math.sqrt(2)
            values_SN = picture_N + random.normal(scale=ratio / math.sqrt(pictures), size=(seeds, 1))
            ratios.append(Ratios(name=str(index), numerator_SNK=values_SN[:, :, None],
                                 denominator_SNK=np.ones((seeds, pictures, 1)), scored_K=np.ones(1, bool)))
        pairs = [(index, index + 1) for index in range(0, 2 * trials, 2)]
        replicates = bootstrap(ratios, resamples)
        scores = [low <= 0 <= high for low, high in (interval(one.both_R) for one in replicates)]
        held = [low <= 0 <= high for low, high in (
            interval(replicates[a].both_R - replicates[b].both_R) for a, b in pairs)]
        small = permutation_p(ratios, pairs, resamples) < 0.05
        rows.append([seeds, ratio, *(f"{100 * np.mean(column):.1f}" for column in (
            scores, held, small, small & ~np.array(held)))])
    table(["seeds", "seed sd / picture error", "score held", "difference held", "permutation p < 0.05",
           "falsely settled"], rows)


def main() -> None:
    print(harness.python("from benchmarks import statistics\nstatistics.speed()").output, end="", flush=True)


if __name__ == "__main__":
    coverage() if "coverage" in sys.argv[1:] else main()
