"""Scores with intervals, differences with tests: what is settled between the variants of a dataset, and what is not.

Shapes: S seeds, N pictures, K classes, R resamples, V variants.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from seglib.comparison.variants import SPLITS, Variant, compared
from seglib.metrics import decisions
from seglib.metrics.scores import BY_NAME, HEADLINE, PAIRED, SCORES, Ratio
from seglib.metrics.scores.score import Sample
from seglib.metrics.statistics import Replicates, Resamples, bootstrap, interval, permutation_p

CONFIDENCE = 0.95
Key = tuple[str, str, str]  # label, split, score


class Evidence:
    """The variants' test and val scores under the same resampled pictures; `resamples` of them."""

    def __init__(self, variants: Sequence[Variant], resamples: int):
        self.variants = variants
        self._count = resamples
        self._replicates: dict[Key, Replicates] = {}
        for split, kind in itertools.product(SPLITS, dict.fromkeys(map(type, SCORES))):
            samples = [Sample(variant.label, score, variant.cases_S(split))
                       for score in SCORES if type(score) is kind for variant in variants]
            for sample, replicates in zip(samples, kind.replicates(samples, self._resamples(split)), strict=True):
                self._replicates[sample.variant, split, sample.score.name] = replicates

    def _resamples(self, split: str) -> Resamples:
        return Resamples(pictures=self.variants[0].cases_S(split)[0].units, count=self._count)

    def replicates(self, variant: Variant, score: str, split: str = "test") -> Replicates:
        return self._replicates[variant.label, split, score]

    def interval(self, variant: Variant, score: str, split: str = "test") -> tuple[float, float]:
        """The 95 % interval of the mean over seeds; NaN, NaN if the variant has no such score."""
        return _possible(interval(self.replicates(variant, score, split).both_R, CONFIDENCE), BY_NAME[score].highest)

    def score_table(self) -> pd.DataFrame:
        """One row per (variant, split, score): mean, sd, interval and range over seeds, and how many there are.

        seeds: the number of trainings. images: the pictures of the split. n: what the score is of, pictures or objects.
        """
        rows = []
        for variant, split, score in itertools.product(self.variants, SPLITS, SCORES):
            values_S = variant.scores_S(split, score.name)
            low, high = self.interval(variant, score.name, split)
            cases = variant.cases_S(split)[0]
            rows.append({"variant": variant.label, "split": split, "score": score.name, **spread(values_S), "low": low,
                         "high": high, "seeds": len(values_S), "images": cases.pictures, "n": score.n(cases)})
        return pd.DataFrame(rows)

    def pair_table(self) -> pd.DataFrame:
        """One row per pair and score of `PAIRED`; `a` is the variant with the better mean.

        difference, low, high: a's mean less b's, with its interval. p, p_holm: the permutation test, with Holm's
        correction over all pairs of the score; groups are exchanged whole, if the dataset has any. effect: Cohen's d of
        the pictures' differences. won: the share of pictures in which a is better. enough_seeds: whether both variants
        have enough seeds for a decision (see `decisions.enough_seeds`); if not, the pair is not settled, whatever its
        figures are. images_needed, seeds_needed: how many pictures (or groups) or seeds would settle the pair; -1 if
        that alone never will, empty if the pair is settled, has too few seeds, or the number is not known.
        """
        return pd.DataFrame([row for score in PAIRED for row in self._pairs(score)], columns=[
            "a", "b", "score", "difference", "low", "high", "p", "p_holm", "effect", "won", "enough_seeds", "settled",
            "images_needed", "seeds_needed"])

    def _pairs(self, score: Ratio) -> Iterator[dict[str, Any]]:
        """The pairs of the variants that have the score: a model that predicts no mask has no holes, for example.

        Baselines are in no pair.
        """
        scored = [variant for variant in compared(self.variants)
                  if np.isfinite(variant.scores_S("test", score.name)).all()]
        pairs = list(itertools.combinations(range(len(scored)), 2))
        if not pairs:
            return
        resamples = self._resamples("test")
        ratios = [score.ratios(variant.label, variant.cases_S("test")) for variant in scored]
        p_values = permutation_p(ratios, pairs, resamples)
        for (i, j), p, p_holm in zip(pairs, p_values, decisions.holm(p_values), strict=True):
            yield self._pair(score, scored[i], scored[j], p, p_holm, resamples.pictures)

    def _pair(self, score: Ratio, a: Variant, b: Variant, p: float, p_holm: float, units: int) -> dict[str, Any]:
        higher = a.scores_S("test", score.name).mean() >= b.scores_S("test", score.name).mean()
        if higher != (score.better == "higher"):
            a, b = b, a
        of_a, of_b = self.replicates(a, score.name), self.replicates(b, score.name)
        low, high = interval(of_a.both_R - of_b.both_R, CONFIDENCE)
        by_picture_N = a.picture_scores_N(score) - b.picture_scores_N(score)
        sign = 1 if score.better == "higher" else -1
        needed = decisions.Spread.of(a.scores_S("test", score.name), of_a,
                                     b.scores_S("test", score.name), of_b, units)
        enough_seeds = decisions.enough_seeds(a.seeds, b.seeds)
        settled = enough_seeds and decisions.settled(low, high, p_holm)
        is_open = enough_seeds and not settled
        return {"a": a.label, "b": b.label, "score": score.name, "difference": needed.difference, "low": low,
                "high": high, "p": p, "p_holm": p_holm, "effect": decisions.cohens_d(by_picture_N),
                "won": decisions.share_won(sign * by_picture_N), "enough_seeds": enough_seeds, "settled": settled,
                "images_needed": decisions.pictures_needed(needed) if is_open else None,
                "seeds_needed": decisions.seeds_needed(needed) if is_open else None}

    def ranking(self, scores: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
        """The variants by their headline score on test, the highest mean first, with ranks (see `decisions.ranks`).

        A variant with too few seeds has no rank. If at most one of several variants has enough seeds, none has a rank,
        because there is nothing to rank it against. Baselines have no row.
        """
        variants = compared(self.variants)
        labels = [variant.label for variant in variants]
        rows = scores[(scores["split"] == "test") & (scores["score"] == HEADLINE.name)
                      & scores["variant"].isin(labels)].copy()
        settled_VV = np.zeros((len(labels), len(labels)), bool)
        for pair in pairs[(pairs["score"] == HEADLINE.name) & pairs["settled"].astype(bool)].itertuples():
            i, j = labels.index(pair.a), labels.index(pair.b)
            settled_VV[i, j] = settled_VV[j, i] = True
        rows["enough_seeds"] = [decisions.enough_seeds(variant.seeds) for variant in variants]
        is_ranked = rows["enough_seeds"] & (rows["enough_seeds"].sum() >= min(2, len(labels)))
        ranks = pd.Series(decisions.ranks(rows["mean"].to_numpy(), settled_VV), rows.index, dtype="Int64")
        rows["rank"] = ranks.where(is_ranked)
        return rows[["variant", "rank", "enough_seeds", "mean", "low", "high", "min", "max", "sd", "seeds"]]

    def class_intervals(self, score: Ratio, classes: Sequence[str]) -> dict[tuple[str, str], tuple[float, float]]:
        """The test interval of each (variant, class) under one score; a class that no test picture holds has none."""
        found = {}
        for variant in self.variants:
            whole = score.ratios(variant.label, variant.cases_S("test"))
            alone = {name: dataclasses.replace(whole, scored_K=np.arange(len(classes)) == k)
                     for k, name in enumerate(classes) if whole.scored_K[k]}
            if alone:
                replicates = bootstrap(list(alone.values()), self._resamples("test"))
                found |= {(variant.label, name): _possible(interval(one.both_R, CONFIDENCE), score.highest)
                          for name, one in zip(alone, replicates, strict=True)}
        return found


def _possible(found: tuple[float, float], highest: float) -> tuple[float, float]:
    """The interval, cut to what the score can be: the seeds' stretched part may step outside."""
    return tuple(np.clip(found, 0.0, highest).tolist())


def spread(values_S: np.ndarray) -> dict[str, float]:
    """Mean, sample standard deviation (NaN for one seed), lowest and highest."""
    return {"mean": float(values_S.mean()), "sd": float(values_S.std(ddof=1)) if len(values_S) > 1 else float("nan"),
            "min": float(values_S.min()), "max": float(values_S.max())}
