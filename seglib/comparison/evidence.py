"""Scores with intervals, differences with tests: what is better, equivalent or unknown among a dataset's variants.

Shapes: S seeds, N pictures, V variants.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from seglib.comparison.failures import Floor, failed
from seglib.comparison.quantities import QUANTITIES
from seglib.comparison.variants import SPLITS, Variant, compared
from seglib.metrics import decisions, inference, pairwise
from seglib.metrics.inference import CONFIDENCE, Blocks, Estimate
from seglib.metrics.pairwise import BETTER, UNKNOWN, Pair, Tested
from seglib.metrics.scores import BY_NAME, HEADLINE, PAIRED, SCORES, Ratio

Interval = tuple[float, float]
PAIR_COLUMNS = ["a", "b", "score", "difference", "low", "high", "interval_of", "df", "p", "p_holm", "p_equivalent",
                "verdict", "effect", "won", "seeds_low", "seeds_high", "units_low", "units_high"]
GROUP_PAIR_COLUMNS = ["variant", "by", "a", "b", "difference", "low", "high", "interval_of", "p_holm", "verdict"]


class Evidence:
    """The variants' test and val scores, with their uncertainty.

    Args:
        margin: the smallest difference that matters, for scores from 0 to 1. Other scores have no margin.
    """

    def __init__(self, variants: Sequence[Variant], margin: float):
        self.variants = variants
        self.margin = margin
        self._blocks = {(variant.label, split, score.name): score.blocks(variant.cases_S(split),
                                                                         variant.seeds is not None)
                        for variant, split, score in itertools.product(variants, SPLITS, SCORES)}

    def blocks(self, variant: Variant, score: str, split: str = "test") -> Blocks:
        """The blocks of a score or a quantity. A seed that has no such quantity is left out."""
        key = variant.label, split, score
        if key not in self._blocks:
            self._blocks[key] = Blocks.from_values(QUANTITIES[score].values_S(variant), variant.seeds is not None)
        return self._blocks[key]

    def estimate(self, variant: Variant, score: str, split: str = "test") -> Estimate:
        """The mean over seeds."""
        return inference.of_score(self.blocks(variant, score, split), BY_NAME[score].highest)

    def interval(self, variant: Variant, score: str, split: str = "test") -> Interval:
        """The 95 % interval of the mean over seeds; NaN, NaN if the variant has no such score."""
        return known(self.estimate(variant, score, split))

    def tested(self, *sides: tuple[Variant, str]) -> Tested:
        """One test score of a variant, or the difference of two, as the pairs are tested. Quantities are scores too.

        Two scores of one variant come from the same trainings, so they are paired by seed. Nothing moderates the
        variance between seeds if two different scores are compared, or if the values of variants have different
        scales, as losses have.
        """
        highest = max(_range(score)[1] for _, score in sides)
        if len(sides) == 2 and sides[0][0] is sides[1][0]:
            return Tested(interval=inference.of_score(self._within(*sides), highest, lowest=-highest))
        blocks = [self.blocks(variant, score) for variant, score in sides]
        if len(sides) == 2:
            of = functools.partial(inference.of_difference, *blocks, highest)
        else:
            of = functools.partial(inference.of_score, *blocks, highest, lowest=_range(sides[0][1])[0])
        if len({score for _, score in sides}) > 1 or not _on_one_scale(sides[0][1]):
            return Tested(interval=of())
        pool = self._scored(sides[0][1])
        of_seeds = pairwise.moderated([self.blocks(variant, sides[0][1]) for variant in pool])
        labels = [variant.label for variant in pool]
        places = [labels.index(variant.label) for variant, _ in sides if variant.label in labels]
        return Tested(interval=of(), decides=of(of_seeds=of_seeds(*places)))

    def _within(self, a: tuple[Variant, str], b: tuple[Variant, str]) -> Blocks:
        """The difference of two scores of one variant. Only trainings that have both quantities count."""
        if a[1] in QUANTITIES and b[1] in QUANTITIES:
            first_S, second_S = (QUANTITIES[name].values_S(variant) for variant, name in (a, b))
            return Blocks.from_values(first_S - second_S, a[0].seeds is not None)
        return self.blocks(*a).minus(self.blocks(*b))

    def _scored(self, score: str) -> list[Variant]:
        """The variants that have the score: a model that predicts no mask has no holes, for example. No baselines."""
        return [variant for variant in compared(self.variants) if math.isfinite(self.blocks(variant, score).mean)]

    def score_table(self) -> pd.DataFrame:
        """One row per (variant, split, score): mean, sd, interval and range over seeds, and how many there are.

        interval_of: what the interval is about. seeds: the number of trainings. images: the pictures of the split. n:
        how many pictures, pairs or objects (see `Score.n_of`) the score is computed from, the mean over seeds: which
        pairs have a score depends on the prediction.
        """
        rows = []
        for variant, split, score in itertools.product(self.variants, SPLITS, SCORES):
            values_S, estimate = variant.scores_S(split, score.name), self.estimate(variant, score.name, split)
            low, high = known(estimate)
            cases_S = variant.cases_S(split)
            rows.append({"variant": variant.label, "split": split, "score": score.name, **spread(values_S), "low": low,
                         "high": high, "interval_of": estimate.of, "seeds": len(values_S),
                         "images": cases_S[0].pictures, "n": float(np.mean([score.n(cases) for cases in cases_S]))})
        return pd.DataFrame(rows)

    def pair_table(self) -> pd.DataFrame:
        """One row per pair and score of `PAIRED`; `a` is the variant with the better mean.

        difference, low, high, interval_of, df: a's mean less b's, with its interval, what that is about, and its
        degrees of freedom. verdict: see `pairwise.Pair`; "better" means that a is better. p, p_holm,
        p_equivalent: the p values behind it, empty with too few seeds. effect: Cohen's d of the pictures' differences.
        won: the share of pictures in which a is better. seeds_low to seeds_high, units_low to units_high: if the
        verdict is unknown, how many seeds, or units (pictures, or groups), would show a difference of the margin;
        empty: no number would.
        """
        return pd.DataFrame([row for score in PAIRED for row in self._pairs(score)], columns=PAIR_COLUMNS)

    def _pairs(self, score: Ratio) -> Iterator[dict[str, Any]]:
        """The pairs of the variants that have the score."""
        scored = self._scored(score.name)
        margin = self.margin if score.highest == 1 else None
        # In this order, the better variant is the first of each pair.
        sign = 1 if score.better == "higher" else -1
        scored.sort(key=lambda variant: -sign * float(self.blocks(variant, score.name).mean))
        pairs = pairwise.compare([self.blocks(variant, score.name) for variant in scored], margin=margin,
                                 highest=score.highest)
        for pair in pairs:
            yield self._pair(score, scored[pair.a], scored[pair.b], pair, margin)

    def _pair(self, score: Ratio, a: Variant, b: Variant, pair: Pair, margin: float | None) -> dict[str, Any]:
        by_picture_N = a.picture_scores_N(score) - b.picture_scores_N(score)
        sign = 1 if score.better == "higher" else -1
        low, high = known(pair.difference)
        row = {"a": a.label, "b": b.label, "score": score.name, "difference": float(pair.difference.value), "low": low,
               "high": high, "interval_of": pair.difference.of, "df": float(pair.difference.freedom), "p": pair.p,
               "p_holm": pair.p_holm, "p_equivalent": pair.p_equivalent, "verdict": pair.verdict,
               "effect": decisions.cohens_d(by_picture_N), "won": decisions.share_won(sign * by_picture_N)}
        if pair.verdict == UNKNOWN and margin is not None:
            both = self.blocks(a, score.name), self.blocks(b, score.name)
            row["seeds_low"], row["seeds_high"] = pairwise.seeds_needed(margin, *both)
            row["units_low"], row["units_high"] = pairwise.units_needed(margin, *both)
        return row

    def group_pair_table(self) -> pd.DataFrame:
        """One row per variant and pair of groups of objects: is `a`, of the higher completeness, found better?

        Groups of one kind are compared: sizes, numbers of objects in a picture, covered and free. All pairs of a
        variant share one error budget. The columns have the meanings of `pair_table`; by: the kind of the groups.
        """
        return pd.DataFrame([row for variant in compared(self.variants) for row in self._group_pairs(variant)],
                            columns=GROUP_PAIR_COLUMNS)

    def _group_pairs(self, variant: Variant) -> Iterator[dict[str, Any]]:
        scored = [score for score in SCORES if score.group and score.base == "completeness"
                  and np.isfinite(variant.scores_S("test", score.name)).all()]
        scored.sort(key=lambda score: -float(self.blocks(variant, score.name).mean))
        chosen = [(a, b) for a, b in itertools.combinations(scored, 2) if a.group[0] == b.group[0]]
        blocks = [self.blocks(variant, a.name).minus(self.blocks(variant, b.name)) for a, b in chosen]
        for (a, b), pair in zip(chosen, pairwise.compare_with_zero(blocks, margin=self.margin), strict=True):
            low, high = known(pair.difference)
            yield {"variant": variant.label, "by": a.group[0], "a": a.group[1], "b": b.group[1],
                   "difference": float(pair.difference.value), "low": low, "high": high,
                   "interval_of": pair.difference.of, "p_holm": pair.p_holm, "verdict": pair.verdict}

    def ranking(self, scores: pd.DataFrame, pairs: pd.DataFrame, floor: Floor | None = None) -> pd.DataFrame:
        """The variants by their headline score on test, the highest mean first, with ranks.

        A rank is a range: rank_low is 1 + the number of variants that are better, rank_high is the number of
        ranked variants less those that are worse. A variant with too few seeds, or without a score, has none. If at
        most one of several variants has enough seeds, none has a rank, because there is nothing to rank it against.
        Baselines have no row. failed: how many of the trainings failed; empty without a floor, or without trainings.
        """
        variants = compared(self.variants)
        rows = scores[(scores["split"] == "test") & (scores["score"] == HEADLINE.name)
                      & scores["variant"].isin([variant.label for variant in variants])].copy()
        rows["failed"] = pd.array([failed(variant, floor) for variant in variants], dtype="Int64")
        rows["enough_seeds"] = [decisions.enough_seeds(variant.seeds) for variant in variants]
        better = pairs[(pairs["score"] == HEADLINE.name) & (pairs["verdict"] == BETTER)]
        is_ranked = rows["enough_seeds"] & rows["mean"].notna()
        is_ranked &= rows["enough_seeds"].sum() >= min(2, len(variants))
        above, below = (rows["variant"].map(better[side].value_counts()).fillna(0) for side in ("b", "a"))
        rows["rank_low"] = (1 + above).astype("Int64").where(is_ranked)
        rows["rank_high"] = (is_ranked.sum() - below).astype("Int64").where(is_ranked)
        return rows[["variant", "rank_low", "rank_high", "enough_seeds", "mean", "low", "high", "interval_of", "min",
                     "max", "sd", "seeds", "failed"]]

    def class_intervals(self, score: Ratio, classes: Sequence[str]) -> dict[tuple[str, str], Interval]:
        """The test interval of each (variant, class) under one score; a class that no test picture holds has none."""
        found = {}
        for variant in self.variants:
            alone = score.class_blocks(variant.cases_S("test"), variant.seeds is not None)
            found |= {(variant.label, classes[k]): known(inference.of_score(blocks, score.highest))
                      for k, blocks in alone.items()}
        return found


def _range(score: str) -> Interval:
    """The smallest and the largest value of a score or a quantity."""
    if score in QUANTITIES:
        return QUANTITIES[score].lowest, QUANTITIES[score].highest
    return 0.0, BY_NAME[score].highest


def _on_one_scale(score: str) -> bool:
    """Whether the variances of all variants can be compared. Losses and gradients have scales of their own."""
    return score not in QUANTITIES or math.isfinite(QUANTITIES[score].highest)


def known(estimate: Estimate) -> Interval:
    """The interval; NaN, NaN if there is no score, or if nothing says how much it varies."""
    low, high = map(float, estimate.interval(CONFIDENCE))
    return (low, high) if np.isfinite([low, high, estimate.variance]).all() else (math.nan, math.nan)


def spread(values_S: np.ndarray) -> dict[str, float]:
    """Mean, sample standard deviation (NaN for one seed), lowest and highest."""
    return {"mean": float(values_S.mean()), "sd": float(values_S.std(ddof=1)) if len(values_S) > 1 else float("nan"),
            "min": float(values_S.min()), "max": float(values_S.max())}
