"""How long intervals and tests take beside scipy's, and how often a 95 % interval holds what it should.

    python -m benchmarks.statistics            # a minute; set OMP_NUM_THREADS to choose the threads
    python -m benchmarks.statistics coverage   # ten minutes on one core

Sizes: 20 variants x 3 seeds x 5,000 pictures x 5 classes, 10,000 resamples, 4 scores.
"""

import dataclasses
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.stats

from benchmarks import harness
from benchmarks.harness import Timing, heading, interleaved, table
from benchmarks.simulation import COLLAPSED, SHAPES, World
from seglib.metrics.inference import Blocks, Estimate, of_difference, of_score
from seglib.metrics.pairwise import LEVEL, compare
from seglib.metrics.statistics import Ratios, Resamples, bootstrap, interval, permutation_p

VARIANTS, SEEDS, PICTURES, CLASSES, SCORES, RESAMPLES = 20, 3, 5000, 5, 4, 10_000
PAIRS = list(itertools.combinations(range(VARIANTS), 2))
ROUNDS = 3
SCIPY_RESAMPLES = 200  # of 10,000: scipy's time grows in proportion
KINDS = ("mean", "ratio of sums")
RATIOS = (0.5, 1, 3, 10, 40)  # sd between seeds / standard error from pictures
TESTED = (1, 3, 40)
AHEAD, MARGIN = 3, 0.01
AT_ONCE = 100  # experiments: they stay in the cache


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


def coverage(experiments: int = 2000) -> None:
    """How often intervals hold the truth, and how often equal variants are called different."""
    heading("How often 95 % intervals hold the truth, in %",
            f"Score / difference. {2 * experiments:,} scores and {experiments:,} differences in each cell. Columns: "
            "the standard deviation between seeds as a multiple of the standard error that comes from pictures. "
            "`benchmarks/simulation.py` says how experiments are drawn.")
    found = {(kind, shape, pictures, seeds): [_held(kind, shape, pictures, seeds, ratio, experiments)
                                              for ratio in RATIOS]
             for kind, shape, pictures, seeds in itertools.product(KINDS, SHAPES, (200, 500), (1, 2, 3, 5, 10))}
    table(["score", "seeds' shape", "pictures", "seeds", *(f"{ratio:g}" for ratio in RATIOS)],
          [[*key, *(f"{100 * score:.1f} / {100 * difference:.1f}" for score, difference in cells)]
           for key, cells in found.items()])
    print()
    for seeds in (3, 5, 10):
        shares = [100 * share for (_, shape, _, count), cells in found.items() if count == seeds and shape != "bimodal"
                  for cell in cells for share in cell]
        print(f"{seeds} seeds, normal and unequal: from {min(shares):.1f} to {max(shares):.1f} %.")
    none = ", ".join(f"{100 * (1 - COLLAPSED) ** seeds:.0f} % of those with {seeds}" for seeds in (3, 5, 10))
    print(f"Bimodal: no method can know of a collapse that it has not seen, and none is seen in {none} seeds.")

    heading("How often variants are called better, in %",
            f"200 pictures, plain means. False: {experiments:,} experiments with equal variants, the share in which "
            f"any pair is called better. Power: {experiments // 4:,} experiments in which the first variant is ahead "
            f"of equal others by {AHEAD} times the standard deviation of a single training's score, the share of its "
            "pairs that are called better. Falsely equivalent: the first is ahead by exactly the margin of "
            f"{MARGIN}, the share in which any of its pairs is called equivalent.")
    rows = []
    for shape, variants, seeds in itertools.product(SHAPES, (3, 12), (3, 5, 10)):
        cells = [_called(shape, variants, seeds, ratio, experiments) for ratio in TESTED]
        rows.append([shape, variants, seeds, *(" / ".join(f"{100 * share:.1f}" for share in cell) for cell in cells)])
    table(["seeds' shape", "variants", "seeds",
           *(f"false / power / falsely equivalent at {ratio:g}" for ratio in TESTED)], rows)


def _held(kind: str, shape: str, pictures: int, seeds: int, ratio: float, experiments: int) -> tuple[float, float]:
    """The shares of scores and of differences whose intervals hold the truth."""
    world = World(ratio=ratio, pictures=pictures, shape=shape, is_ratio=kind == "ratio of sums")
    scores, differences = [], []
    for blocks in _drawn(world, experiments, variants=2, seeds=seeds):
        for one in blocks:
            scores.append(_holds(of_score(one), world.truth))
        differences.append(_holds(of_difference(*blocks), 0.0))
    return float(np.mean(scores)), float(np.mean(differences))


def _holds(estimate: Estimate, truth: float) -> np.ndarray:
    low, high = estimate.interval()
    return (low <= truth) & (truth <= high)


def _called(shape: str, variants: int, seeds: int, ratio: float, experiments: int) -> tuple[float, float, float]:
    """The share with any false "better", the power, and the share with any false "equivalent"."""
    equal = World(ratio=ratio, pictures=200, shape=shape)
    worlds = (equal, dataclasses.replace(equal, ahead=AHEAD * equal.spread), dataclasses.replace(equal, ahead=MARGIN))
    false, power, equivalent = [], [], []
    for blocks in _drawn(worlds[0], experiments, variants, seeds):
        false.append(np.any([pair.p_holm < LEVEL for pair in compare(blocks, margin=None)], axis=0))
    for blocks in _drawn(worlds[1], experiments // 4, variants, seeds):
        power += [(pair.p_holm < LEVEL) & (pair.difference.value > 0)
                  for pair in compare(blocks, margin=None) if pair.a == 0]
    for blocks in _drawn(worlds[2], experiments // 4, variants, seeds):
        equivalent.append(np.any([pair.p_equivalent < LEVEL for pair in compare(blocks, margin=MARGIN)
                                  if pair.a == 0], axis=0))
    return float(np.mean(false)), float(np.mean(power)), float(np.mean(equivalent))


def _drawn(world: World, experiments: int, variants: int, seeds: int) -> Iterator[list[Blocks]]:
    """The experiments in equal chunks, from a generator of their own."""
    random = np.random.default_rng([world.pictures, int(10 * world.ratio), variants, seeds])
    for _ in range(experiments // AT_ONCE):
        yield world.blocks(random, AT_ONCE, variants, seeds)


def main() -> None:
    print(harness.python("from benchmarks import statistics\nstatistics.speed()").output, end="", flush=True)


if __name__ == "__main__":
    coverage() if "coverage" in sys.argv[1:] else main()
