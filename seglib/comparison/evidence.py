"""Scores with intervals, differences with tests: what is settled between the variants of a dataset, and what is not.

Shapes: S seeds, N pictures, K classes, R resamples, V variants.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from seglib.comparison.variants import HEADLINE, Variant, mean_of_known
from seglib.metrics import decisions, ranking
from seglib.metrics.scores import BY_NAME, SCORES, Score, present
from seglib.metrics.statistics import Replicates, Resamples, Runs, bootstrap, interval, permutation_p, resample_seeds

# The scores that variants are compared by in pairs.
PAIRED = (HEADLINE, "dice_dataset", "iou_image_mean", "boundary_iou_dataset", "hole_share", "completeness",
          "wrong_class", "missed")
AP_RESAMPLES = 1000  # each sums a histogram of every class: dear, and enough for an interval
AP_CHUNK = 100  # of them at once: bounds memory
COLUMNS = 2000  # of sums that are resampled together: bounds memory, at 160 MB for few pictures
SPLITS = ("test", "val")
CONFIDENCE = 0.95
Key = tuple[str, str, str]  # label, split, score


class Evidence:
    """The variants' test and val scores under the same resampled pictures; `resamples` of them."""

    def __init__(self, variants: Sequence[Variant], resamples: int):
        self.variants = variants
        self._count = resamples
        self._replicates: dict[Key, Replicates] = {}
        for split in SPLITS:
            pictures = len(variants[0].runs[0].cases[split]["tp"])
            wanted = {(variant.label, split, score.name): _runs(variant, split, score)
                      for score in SCORES for variant in variants}
            nothing = np.full(resamples, np.nan)
            self._replicates |= {key: Replicates(nothing, nothing) for key in wanted}
            for keys in _bundles({key: runs for key, runs in wanted.items() if runs.scored_K.any()}):
                found = bootstrap([wanted[key] for key in keys], Resamples(pictures=pictures, count=resamples))
                self._replicates |= dict(zip(keys, found, strict=True))
            few = Resamples(pictures=pictures, count=AP_RESAMPLES)
            self._replicates |= {(variant.label, split, "pixel_ap"): _resampled_ap(variant, split, few)
                                 for variant in variants}

    def replicates(self, variant: Variant, score: str, split: str = "test") -> Replicates:
        return self._replicates[variant.label, split, score]

    def interval(self, variant: Variant, score: str, split: str = "test") -> tuple[float, float]:
        """The 95 % interval of the mean over seeds; NaN, NaN where the variant has no such score."""
        return _possible(interval(self.replicates(variant, score, split).both_R, CONFIDENCE), score)

    def score_table(self) -> pd.DataFrame:
        """One row per (variant, split, score): mean, sd, interval, range over seeds, numbers of seeds and pictures."""
        rows = []
        for variant, split, score in itertools.product(self.variants, SPLITS, [*BY_NAME, "pixel_ap"]):
            values = variant.scores_S(split, score)
            low, high = self.interval(variant, score, split)
            rows.append({"variant": variant.label, "split": split, "score": score, **spread(values), "low": low,
                         "high": high, "seeds": len(values), "images": len(variant.runs[0].cases[split]["tp"])})
        return pd.DataFrame(rows)

    def pair_table(self) -> pd.DataFrame:
        """One row per pair and score of `PAIRED`; `a` is the variant with the better mean.

        difference, low, high: a's mean less b's, with its interval. p, p_holm: the permutation test, Holm's over all
        pairs of the score. effect: Cohen's d of the pictures' differences. won: the share of pictures in which a is
        better. enough_seeds: whether both variants have enough seeds for a decision (see `decisions.enough_seeds`); if
        not, the pair is not settled, whatever its figures are. images_needed, seeds_needed: how many would settle the
        pair; -1 if that alone never will, empty if the pair is settled, has too few seeds, or the number is not known.
        """
        return pd.DataFrame([row for score in PAIRED for row in self._pairs(BY_NAME[score])], columns=[
            "a", "b", "score", "difference", "low", "high", "p", "p_holm", "effect", "won", "enough_seeds", "settled",
            "images_needed", "seeds_needed"])

    def _pairs(self, score: Score) -> Iterator[dict]:
        """Of the variants that have the score: a class's frequencies alone, say, have no holes."""
        scored = [variant for variant in self.variants if np.isfinite(variant.scores_S("test", score.name)).all()]
        pairs = list(itertools.combinations(range(len(scored)), 2))
        if not pairs:
            return
        pictures = len(scored[0].runs[0].cases["test"]["tp"])
        runs = [_runs(variant, "test", score) for variant in scored]
        p_values = permutation_p(runs, pairs, Resamples(pictures=pictures, count=self._count))
        for (i, j), p, p_holm in zip(pairs, p_values, decisions.holm(p_values), strict=True):
            a, b = scored[i], scored[j]
            higher = a.scores_S("test", score.name).mean() >= b.scores_S("test", score.name).mean()
            if higher != (score.better == "higher"):
                a, b = b, a
            replicates = [self.replicates(variant, score.name) for variant in (a, b)]
            low, high = interval(replicates[0].both_R - replicates[1].both_R, CONFIDENCE)
            by_picture = a.picture_scores(score.name) - b.picture_scores(score.name)
            sign = 1 if score.better == "higher" else -1
            needed = decisions.Spread.of(a.scores_S("test", score.name), replicates[0],
                                         b.scores_S("test", score.name), replicates[1], pictures)
            enough_seeds = decisions.enough_seeds(a.seeds, b.seeds)
            settled = enough_seeds and decisions.settled(low, high, p_holm)
            is_open = enough_seeds and not settled
            yield {"a": a.label, "b": b.label, "score": score.name, "difference": needed.difference, "low": low,
                   "high": high, "p": p, "p_holm": p_holm, "effect": decisions.cohens_d(by_picture),
                   "won": decisions.share_won(sign * by_picture), "enough_seeds": enough_seeds, "settled": settled,
                   "images_needed": decisions.pictures_needed(needed) if is_open else None,
                   "seeds_needed": decisions.seeds_needed(needed) if is_open else None}

    def ranking(self, scores: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
        """The variants by their headline score on test, the highest mean first, with ranks (see `decisions.ranks`).

        A variant with too few seeds has no rank. Nor has any other if at most one of several has enough seeds: then
        there is nothing to rank it against.
        """
        rows = scores[(scores["split"] == "test") & (scores["score"] == HEADLINE)].copy()
        labels = list(rows["variant"])
        settled_VV = np.zeros((len(labels), len(labels)), bool)
        for pair in pairs[(pairs["score"] == HEADLINE) & (pairs["settled"] == True)].itertuples():  # noqa: E712
            i, j = labels.index(pair.a), labels.index(pair.b)
            settled_VV[i, j] = settled_VV[j, i] = True
        rows["enough_seeds"] = [decisions.enough_seeds(variant.seeds) for variant in self.variants]
        is_ranked = rows["enough_seeds"] & (rows["enough_seeds"].sum() >= min(2, len(labels)))
        ranks = pd.Series(decisions.ranks(rows["mean"].to_numpy(), settled_VV), rows.index, dtype="Int64")
        rows["rank"] = ranks.where(is_ranked)
        return rows[["variant", "rank", "enough_seeds", "mean", "low", "high", "min", "max", "sd", "seeds"]]

    def class_intervals(self, score: str, classes: Sequence[str]) -> dict[tuple[str, str], tuple[float, float]]:
        """The test interval of each (variant, class) under one score; a class that no test picture holds has none."""
        found = {}
        for variant in self.variants:
            whole = _runs(variant, "test", BY_NAME[score])
            alone = {name: dataclasses.replace(whole, scored_K=np.arange(len(classes)) == k)
                     for k, name in enumerate(classes) if whole.scored_K[k]}
            if alone:
                replicates = bootstrap(list(alone.values()), Resamples(pictures=whole.pictures, count=self._count))
                found |= {(variant.label, name): _possible(interval(one.both_R, CONFIDENCE), score)
                          for name, one in zip(alone, replicates, strict=True)}
        return found


def _runs(variant: Variant, split: str, score: Score) -> Runs:
    """One variant's numerators and denominators. A score that a network does not have for a class is NaN there."""
    parts = [score.of(run.cases[split]) for run in variant.runs]
    numerator, denominator = (np.stack([part[i] for part in parts]) for i in (0, 1))
    has_score_K = ~np.isnan(numerator).any((0, 1))
    return Runs(name=variant.label, numerator_SNK=np.nan_to_num(numerator),
                denominator_SNK=denominator, scored_K=score.present(variant.runs[0].cases[split]) & has_score_K)


def _possible(found: tuple[float, float], score: str) -> tuple[float, float]:
    """Cut to what the score can be: the seeds' stretched part may step over 0 or, of a share, over 1."""
    highest = np.inf if score in BY_NAME and BY_NAME[score].unit else 1.0
    return tuple(np.clip(found, 0.0, highest).tolist())


def _resampled_ap(variant: Variant, split: str, resamples: Resamples) -> Replicates:
    """Of the pixel-wise average precision: how coarse histograms vary, about the value of the fine ones."""
    scores_SR = np.full((len(variant.runs), resamples.count), np.nan)
    scored_K = present(variant.runs[0].cases[split])
    if not scored_K.any():
        return resample_seeds(variant.label, scores_SR, resamples.seed)
    for run, exact, scores_R in zip(variant.runs, variant.scores_S(split, "pixel_ap"), scores_SR, strict=True):
        histograms_NX = run.ranking(split)[:, scored_K].astype(np.float64)
        shape = histograms_NX.shape[1:]
        histograms_NX = histograms_NX.reshape(len(histograms_NX), -1)
        for rows, weights_rN in resamples.weights():
            for start in range(rows.start, rows.stop, AP_CHUNK):
                weights_cN = weights_rN[start - rows.start:start - rows.start + AP_CHUNK]
                precisions_cK = ranking.average_precision((weights_cN @ histograms_NX).reshape(-1, *shape))
                scores_R[start:start + len(weights_cN)] = mean_of_known(precisions_cK, axis=1)
        whole = ranking.average_precision(histograms_NX.sum(0).reshape(shape))
        scores_R += exact - mean_of_known(whole, axis=0)
    return resample_seeds(variant.label, scores_SR, resamples.seed)


def _bundles(wanted: dict[Key, Runs]) -> Iterator[list[Key]]:
    """Neighbours together, as many as `COLUMNS` allows: resampled pictures are drawn anew for each bundle."""
    bundle: list[Key] = []
    columns = 0
    for key, runs in wanted.items():
        needed = 2 * runs.seeds * runs.scored_K.size
        if bundle and columns + needed > COLUMNS:
            yield bundle
            bundle, columns = [], 0
        bundle.append(key)
        columns += needed
    if bundle:
        yield bundle


def spread(values_S: np.ndarray) -> dict[str, float]:
    """Mean, sample sd (NaN for one seed), lowest and highest."""
    return {"mean": float(values_S.mean()), "sd": float(values_S.std(ddof=1)) if len(values_S) > 1 else float("nan"),
            "min": float(values_S.min()), "max": float(values_S.max())}
