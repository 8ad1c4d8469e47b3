"""How long intervals and tests take, how often a 95 % interval holds the truth, and how often "better" is false.

    python -m benchmarks.statistics            # seconds
    python -m benchmarks.statistics coverage   # half an hour on one core: the two tables, `intervals` and `verdicts`
"""

import dataclasses
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.harness import heading, interleaved, table
from benchmarks.simulation import COLLAPSED, SHAPES, World
from seglib.metrics.inference import Blocks, Estimate, of_difference, of_score
from seglib.metrics.pairwise import LEVEL, compare

VARIANTS, SEEDS, PICTURES, CLASSES = 20, 5, 5000, 5
ROUNDS = 3
KINDS = ("mean", "ratio of sums")
RATIOS = (0.5, 1, 3, 10, 40)  # sd between seeds / standard error from pictures
TESTED = (1, 3, 40)
AHEAD, MARGIN = 3, 0.01
AT_ONCE = 100  # experiments, so that their arrays fit into the cache


def peak_mb() -> float:
    """Of this process. `getrusage` would say the parent's, where that is larger: a child begins as it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def speed() -> None:
    """Print the table. In a process of its own, because the peak of its memory is the process's."""
    random, sums = np.random.default_rng(0), []
    for _ in range(VARIANTS):
        below_SUK = random.integers(0, 4000, size=(SEEDS, PICTURES, CLASSES)).astype(np.float64)
        sums.append((np.floor(below_SUK * random.random(below_SUK.shape)), below_SUK))

    def blocks() -> list[Blocks]:
        return [Blocks.from_sums(*both, np.ones(CLASSES, bool)) for both in sums]

    before, made = peak_mb(), blocks()
    works = {"intervals of the variants, from counts": lambda: [of_score(one).interval() for one in blocks()],
             "all pairs": lambda: compare(made, margin=MARGIN)}
    found = interleaved(works, rounds=ROUNDS)
    heading(f"Intervals and pairs of a score, {VARIANTS} variants × {PICTURES:,} pictures × {CLASSES} classes",
            f"{SEEDS} seeds. OMP_NUM_THREADS is {os.environ.get('OMP_NUM_THREADS', 'not set')}; nothing here uses it.")
    table(["", "seglib", "goal"], [[work, f"{timing.median:.2f} s", "a few seconds"] for work, timing in found.items()])
    print(f"{peak_mb() - before:.0f} MB above the tables, at the peak.\n")


def coverage(experiments: int = 2000) -> None:
    """How often intervals hold the truth, and how often equal variants are called different."""
    intervals(experiments)
    verdicts(experiments)


def intervals(experiments: int = 2000) -> None:
    """How often intervals hold the truth."""
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
        shares = np.array([cells for (_, shape, _, count), cells in found.items()
                           if count == seeds and shape != "bimodal"]).ravel()
        print(f"{seeds} seeds, normal and unequal: from {100 * shares.min():.1f} to {100 * shares.max():.1f} %; "
              f"{np.mean((shares >= 0.93) & (shares <= 0.97)):.0%} of the cells lie from 93 to 97 %.")
    print("Unequal: the second variant's seeds vary 4 times as much as the first one's. In the last column pictures "
          "hardly matter: what is missing there is what Welch's t misses, with few scores that are skewed. Normal, 3 "
          "seeds: Welch's t gives two equal variances fewer degrees of freedom than they have, so it holds too often.")
    none = ", ".join(f"{100 * (1 - COLLAPSED) ** seeds:.0f} % of those with {seeds}" for seeds in (3, 5, 10))
    print(f"Bimodal: no method can know of a collapse that it has not seen, and none is seen in {none} seeds.")


def verdicts(experiments: int = 2000) -> None:
    """How often equal variants are called different, and different ones better or equivalent."""
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
    {"coverage": coverage, "intervals": intervals, "verdicts": verdicts}.get("".join(sys.argv[1:]), main)()
