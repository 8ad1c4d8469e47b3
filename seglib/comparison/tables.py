"""Tables that need no resampling: scores by training, seed, class and group of objects, confusions, the names of Dice.

This module also chooses which pictures to show.

Shapes: N pictures, K classes, H, W.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from seglib.comparison.evidence import Evidence
from seglib.comparison.variants import SPLITS, Result, Variant, trained
from seglib.datasets.store import Split
from seglib.metrics.cases import CROWDS
from seglib.metrics.scores import BY_NAME, HEADLINE, SCORES
from seglib.metrics.scores.score import Facts, mean_of_known, mean_score
from seglib.tasks.task import Task

NOTHING = "nothing"


def training_scores(variants: Sequence[Variant], classes: Sequence[str]) -> pd.DataFrame:
    """One row per (training, split, class, score) that has a value; the class "" is the mean over classes."""
    rows = []
    for result in (result for variant in trained(variants) for result in variant.results):
        for split, scores in result.class_scores.items():
            for score, values_K in scores.items():
                of_class = {"": mean_score(values_K)} | dict(zip(classes, values_K, strict=True))
                rows += [(result.files.name, split, name, score, value) for name, value in of_class.items()]
    return pd.DataFrame(rows, columns=["training", "split", "class", "score", "value"]).dropna(subset="value")


def seed_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """One row per (variant, split, seed) with every score. A variant without seeds has one row per split."""
    rows = [{"variant": variant.label, "split": split, "seed": result.seed,
             **{score: mean_score(values_K) for score, values_K in result.class_scores[split].items()}}
            for variant in variants for split in SPLITS for result in variant.results]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def seed_class_table(variants: Sequence[Variant], classes: Sequence[str]) -> pd.DataFrame:
    """One row per (variant, split, seed, class) with the headline score, empty if the class is absent."""
    rows = [(variant.label, split, result.seed, name, score)
            for variant in variants for split in SPLITS for result in variant.results
            for name, score in zip(classes, result.class_scores[split][HEADLINE.name], strict=True)]
    columns = ["variant", "split", "seed", "class", HEADLINE.name]
    return pd.DataFrame(rows, columns=columns).astype({"seed": "Int64"})


def class_table(variants: Sequence[Variant], classes: Sequence[str],
                intervals: Mapping[tuple[str, str], tuple[float, float]]) -> pd.DataFrame:
    """One row per (variant, split, class): the mean over seeds of its scores; empty if the class is absent.

    Args:
        intervals: those of the headline score on test, by variant and class. They become the columns low and high.
    """
    rows = []
    for variant in variants:
        for split in SPLITS:
            by_seed = [result.class_scores[split] for result in variant.results]
            cases = variant.cases_S(split)[0]
            with_class_K = (cases["tp"] + cases["fn"] > 0).sum(0)
            for k, name in enumerate(classes):
                low, high = np.nan, np.nan
                if split == "test":
                    low, high = intervals.get((variant.label, name), (np.nan, np.nan))
                rows.append({"variant": variant.label, "split": split, "class": name,
                             "images_with_class": int(with_class_K[k]), "low": low, "high": high,
                             **{score: float(np.mean([of[score][k] for of in by_seed])) for score in BY_NAME}})
    return pd.DataFrame(rows)


def group_table(evidence: Evidence, sizes: Sequence[float], facts: Facts) -> pd.DataFrame:
    """Scores of objects by their size, their number in the picture, and whether others cover them; on test."""
    edges = {"small": (0, sizes[0]), "medium": tuple(sizes), "large": (sizes[1], None)} | {
        name: (i + 1, i + 1 if i + 1 < len(CROWDS) else None) for i, name in enumerate(CROWDS)}
    of_groups = [score for score in SCORES if score.group and score.is_shown(facts)]
    rows = []
    for variant, score in itertools.product(evidence.variants, of_groups):
        values_S = variant.scores_S("test", score.name)
        if np.isnan(values_S).any():
            continue
        kind, which = score.group
        first, last = edges.get(which, (None, None))
        low, high = evidence.interval(variant, score.name)
        rows.append({"variant": variant.label, "split": "test", "by": kind, "group": which, "low_edge": first,
                     "high_edge": last, "score": score.base, "mean": values_S.mean(), "low": low, "high": high,
                     "n": score.n(variant.cases_S("test")[0])})
    return pd.DataFrame(rows, columns=["variant", "split", "by", "group", "low_edge", "high_edge", "score", "mean",
                                       "low", "high", "n"])


def confusion_table(variants: Sequence[Variant], classes: Sequence[str], task: Task) -> pd.DataFrame:
    """What true objects and true pixels of test are taken for: counts summed over seeds, shares of the truth's row.

    The task says which rows and columns of pixels there are.
    """
    rows = []
    for variant in variants:
        objects = np.zeros((len(classes), len(classes) + 1), np.int64)  # the last column: nothing
        for result in variant.results:
            found = result.objects[result.objects["split"] == "test"]
            np.add.at(objects, (found["class"], found["taken_for"]), 1)  # taken for -1 is the last
        pixels = sum(result.confusion("test") for result in variant.results)
        for kind, matrix, truths, predictions in (
                ("objects", objects, [*classes], [*classes, NOTHING]),
                ("pixels", pixels, *task.confusion_names(classes))):
            matrix = matrix[:len(truths), :len(predictions)]
            totals = matrix.sum(1, keepdims=True)
            shares = np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)
            rows += [{"variant": variant.label, "kind": kind, "truth": truth, "predicted": predicted,
                      "count": int(matrix[i, j]), "share": shares[i, j]}
                     for i, truth in enumerate(truths) for j, predicted in enumerate(predictions)]
    return pd.DataFrame(rows)


def dice_names(variants: Sequence[Variant], test: Split, task: Task) -> pd.DataFrame:
    """What different codes call Dice: the values of the same test predictions, mean over seeds.

    `dice_batch_flattened_B`: B pictures and all classes as one long vector, then the mean over batches, as some
    training loops do. `_empty_0`, `_empty_1`: a picture without the class, in which none was found, counts 0, or 1.
    `dice_with_background`: background is one more class, all pixels pooled; only of a task that has background.
    `pixel_accuracy` has been called Dice too.
    """
    rows = []
    for variant in variants:
        by_seed = [_dice_of(result, test, task) for result in variant.results]
        rows += [{"variant": variant.label, "definition": name, "value": float(np.mean([of[name] for of in by_seed]))}
                 for name in by_seed[0]]
    return pd.DataFrame(rows)


def _dice_of(result: Result, test: Split, task: Task) -> dict[str, float]:
    cases, scores = result.cases["test"], result.class_scores["test"]
    by_picture = BY_NAME["dice_dataset"].by_picture(cases)
    found = {name: mean_score(scores[name]) for name in ("dice_dataset", "dice_image_mean")}
    found |= {f"dice_image_mean_empty_{value}": float(np.nan_to_num(by_picture, nan=value).mean()) for value in (0, 1)}
    twice, total = 2 * cases["tp"].sum(1), (2 * cases["tp"] + cases["fp"] + cases["fn"]).sum(1)
    for size in (1, 4, 8):
        starts = np.arange(0, len(total), size)
        above, below = np.add.reduceat(twice, starts), np.add.reduceat(total, starts)
        found[f"dice_batch_flattened_{size}"] = float(np.divide(above, below, out=np.ones_like(above),
                                                                where=below > 0).mean())
    if task.has_background:
        background = _background_dice(result, test, task)
        found["dice_with_background"] = mean_score(np.append(scores["dice_dataset"], background))
    found["pixel_accuracy"] = mean_score(scores["pixel_accuracy_dataset"])
    return found


def _background_dice(result: Result, test: Split, task: Task) -> float:
    """The Dice score of background; NaN if neither truth nor prediction has any."""
    both = total = 0
    for truth_HW, predicted_HW in zip(test.masks, np.load(result.files.predictions, mmap_mode="r"), strict=True):
        true, said = task.background(truth_HW), task.background(predicted_HW) & ~task.ignored(truth_HW)
        both, total = both + np.count_nonzero(true & said), total + np.count_nonzero(true) + np.count_nonzero(said)
    return 2 * both / total if total else float("nan")


def pick_pictures(variants: Sequence[Variant], count: int) -> list[int]:
    """Test pictures from the easiest to the hardest, evenly spaced by rank of their mean IoU over all variants."""
    ranked, _ = rank_pictures(variants)
    places = np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int)
    return ranked[places].tolist()


def rank_pictures(variants: Sequence[Variant]) -> tuple[np.ndarray, np.ndarray]:
    """The test pictures, best first, and each one's mean IoU over all variants (by picture, NaN with nothing to score).

    A picture for which no result has a score (nothing is there, nothing was found) is not among the ranked.
    """
    means = mean_of_known(np.stack([variant.picture_scores_N(HEADLINE) for variant in variants]), axis=0)
    usable = np.flatnonzero(~np.isnan(means))
    return usable[np.argsort(-means[usable], kind="stable")], means


def json_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as plain values that JSON can hold, missing values as None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")
