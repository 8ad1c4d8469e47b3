"""What the coursework that seglib repeats asks, answered as facts from a comparison's tables.

`compare` writes the facts to `tables/coursework.json`. `seglib/report/coursework.py` puts them into sentences.
A fact that this study's trainings do not give is None or an empty list.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from seglib.comparison.study import Row, Study
from seglib.comparison.tables import json_rows
from seglib.metrics import pairwise
from seglib.metrics.inference import Blocks
from seglib.metrics.pairwise import BETTER, EQUIVALENT, TOO_FEW, UNKNOWN
from seglib.metrics.scores import HEADLINE

WINDOWS = ("first", "median", "last")  # of a training, in which its gradients were measured
ABOUT_EQUAL = 2  # gradients within this factor of each other pull about equally hard
FINAL_LOSSES = ("loss", "normalised")  # columns of the curves
# What people see in pictures, as scores.
SEEN = ("hole_share", "specks", "completeness", "wrong_class", "missed_small", "missed_covered", "boundary_iou_dataset")
# The scores of SEEN that a mask with nothing in it, or a mask of everything, wins.
WON_WITHOUT_LOOKING = tuple(score for score in SEEN if score != "boundary_iou_dataset")


def coursework(summary: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The facts by question; each function below says what it gives.

    Args:
        summary: the `configs`, `names` and `seedless` of summary.json.
        tables: the comparison's tables `scores`, `pairs`, `ranking`, `curves`, `groups`, `group_pairs` and `gradients`,
            by name.
    """
    study = Study.of(summary, tables)
    return {"dice_scale": dice_scale(study), "variation": variation(study), "seen": seen(study),
            "falling_loss": falling_loss(study)}


# Should Dice be scaled, by how much, and why?

def dice_scale(study: Study) -> dict[str, Any] | None:
    """The facts about k in the loss MSE + k·Dice; None if the study does not have both terms.

    Returns:
        gradients: one row per variant that trains on both (see `_gradients`).
        equal: these rows summed up for each scale of targets (see `_equal_gradients`).
        sweeps: one row per model, training and kind of Dice that was run with two values of k or more (see `_sweep`).
        ran: the values of k that were run.
    """
    terms = {term for config in study.configs.values() for term in config["loss"]["terms"]}
    if not {"mse", "dice"} <= terms:
        return None
    rows = _gradients(study)
    known = [row for row in rows if any(ratio is not None for ratio in row["equal"].values())]
    scales = dict.fromkeys(row["targets"] for row in known)
    sweeps = [_sweep(study, group, options) for group, options in _sweep_groups(study)]
    return {"gradients": rows,
            "equal": [_equal_gradients(targets, [row for row in known if row["targets"] == targets])
                      for targets in scales],
            "sweeps": [sweep for sweep in sweeps if sweep is not None], "ran": sorted({row["k"] for row in rows})}


def _gradients(study: Study) -> list[Row]:
    """The gradients on the output layer of each variant that trains on MSE and Dice.

    k: the weight of Dice beside MSE's. equal: in each window, the k at which both gradients would be equally long.
    pulls: in each window, which term pulls harder. targets: the scale of the targets, which decides what k means.
    """
    found = []
    for variant, table in study.tables["gradients"].groupby("variant", sort=False):
        terms = {row["term"]: row for row in json_rows(table)}
        if {"mse", "dice"} <= set(terms):
            mse, dice = terms["mse"], terms["dice"]
            k = dice["weight"] / mse["weight"]
            equal = {window: _ratio(mse[window], dice[window]) for window in WINDOWS}
            found.append({"variant": variant, "k": k, "targets": study.configs[variant]["train"]["targets"],
                          "equal": equal, "pulls": {window: _stronger(k, ratio) for window, ratio in equal.items()}})
    return found


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _stronger(k: float, equal: float | None) -> str | None:
    if equal is None:
        return None
    if equal / ABOUT_EQUAL <= k <= equal * ABOUT_EQUAL:
        return "about equal"
    return "Dice" if k > equal else "MSE"


def _equal_gradients(targets: str, rows: Sequence[Row]) -> Row:
    """The lowest and the highest k of equal gradients in each window, and the variants that one term led throughout."""
    ranges = {}
    for window in WINDOWS:
        ratios = [row["equal"][window] for row in rows if row["equal"][window] is not None]
        ranges[window] = [min(ratios), max(ratios)] if ratios else None
    led = {term: [row["variant"] for row in rows if set(row["pulls"].values()) == {term}] for term in ("MSE", "Dice")}
    return {"targets": targets, "ranges": ranges, "led": led, "variants": len(rows)}


def _sweep_groups(study: Study) -> Iterator[tuple[list[str], Row]]:
    """The variants of one model and training whose Dice has the same options, with these; MSE alone is in each."""
    for group in study.losses_on_one_model():
        losses = {variant: loss for variant in group if (loss := study.configs[variant]["loss"])["terms"]
                  and set(loss["terms"]) <= {"mse", "dice"}}
        options = {variant: {key: value for key, value in loss.items() if key != "terms"}
                   for variant, loss in losses.items() if "dice" in loss["terms"]}
        for n, one in enumerate(kinds := list(options.values())):
            if one not in kinds[:n]:
                yield [variant for variant in losses if options.get(variant, one) == one], one


def _sweep(study: Study, group: Sequence[str], options: Row) -> Row | None:
    """The variants of a group that differ in the weight k of Dice beside MSE alone, by k.

    Their k is 0 for MSE alone and None for Dice alone. `settings` has the options of their Dice and the `targets`.
    Among the variants with both terms, `highest` has the highest mean. `against` says of each other point whether
    `highest` is "better" or "worse", whether the two are "equivalent", or whether this is "unknown" or there are "too
    few seeds".
    None if fewer than two variants have both.
    """
    points = []
    for variant in group:
        terms, score = study.configs[variant]["loss"]["terms"], study.scores.get((variant, HEADLINE.name))
        if score and score["mean"] is not None:
            k = terms.get("dice", 0) / terms["mse"] if "mse" in terms else None
            points.append({"variant": variant, "k": k, **{name: score[name] for name in ("mean", "low", "high")}})
    points.sort(key=lambda point: float("inf") if point["k"] is None else point["k"])
    mixed = [point for point in points if point["k"]]
    if len(mixed) < 2:
        return None
    highest = max(mixed, key=lambda point: point["mean"])
    against = [{"k": point["k"], "verdict": _verdict(study.pair(highest["variant"], point["variant"]), highest)}
               for point in points if point is not highest]
    settings = {"targets": study.configs[group[0]]["train"]["targets"]} | options
    return {"model": study.model(group[0]), "settings": settings, "points": points,
            "highest": highest, "against": [row for row in against if row["verdict"] is not None]}


def _verdict(pair: Row | None, highest: Row) -> str | None:
    if pair is None:
        return None
    if pair["verdict"] != BETTER:
        return pair["verdict"]
    return "better" if pair["a"] == highest["variant"] else "worse"


# What explains the variations?

def variation(study: Study) -> dict[str, Any] | None:
    """How far test IoU varies between losses, models and seeds; None if no variant has a score.

    Returns:
        spread: standard deviations between `losses` on one model, `models` with one loss, and `seeds` of one variant.
        beyond_seeds: what is left of the first two (see `_beyond_seeds`).
        seeds: the highest number of seeds of any variant.
        variant, groups: the variant of the highest mean, and the groups of objects or pictures in which its
            completeness is highest and lowest, for each way of grouping in which the first is known to be better.
    """
    if not study.ranked:
        return None
    deviations = [row["sd"] for row in study.ranked.values() if row["sd"] is not None]
    compared = {"losses": study.losses_on_one_model(), "models": study.models_with_one_loss()}
    first = next(iter(study.ranked))
    return {"spread": {what: _spread(study, groups) for what, groups in compared.items()}
            | {"seeds": statistics.fmean(sd * sd for sd in deviations) ** 0.5 if deviations else None},
            "beyond_seeds": {what: _beyond_seeds(study, groups) for what, groups in compared.items()},
            "seeds": max(row["seeds"] for row in study.ranked.values()),
            "variant": first, "groups": _extremes(study, first)}


def _spread(study: Study, groups: Sequence[Sequence[str]]) -> float | None:
    """The standard deviation of means among the variants of a group, over all groups (root of the mean variance)."""
    rows = [[study.ranked[variant]["mean"] for variant in group if variant in study.ranked] for group in groups]
    variances = [statistics.variance(means) for means in rows if len(means) > 1]
    return statistics.fmean(variances) ** 0.5 if variances else None


def _beyond_seeds(study: Study, groups: Sequence[Sequence[str]]) -> Row | None:
    """The spread of means without the part that seeds alone give; None with too few seeds.

    Means of S seeds vary by the variance between seeds / S if their variants are equal. This is taken off the variance
    of the means, as in an analysis of variance with random effects.

    Returns:
        sd: the root of what is left, 0 if nothing is.
        decided: whether a variant is better than another one of its group.
    """
    rows = [[study.ranked[variant] for variant in group if variant in study.ranked] for group in groups]
    rows = [group for group in rows if len(group) > 1]
    if not rows or any(row["variant"] in study.too_few_seeds for group in rows for row in group):
        return None
    left = [statistics.variance(row["mean"] for row in group)
            - statistics.fmean(row["sd"] ** 2 / row["seeds"] for row in group) for group in rows]
    pairs = [pair for group in groups for pair in study.pairs_among(group, HEADLINE.name)]
    return {"sd": max(statistics.fmean(left), 0.0) ** 0.5, "decided": any(pair["verdict"] == BETTER for pair in pairs)}


def _extremes(study: Study, variant: str) -> list[Row]:
    """The groups of objects with the highest and the lowest completeness, for each way of grouping that decides it."""
    groups, pairs = study.tables["groups"], study.tables["group_pairs"]
    table = groups[(groups["variant"] == variant) & (groups["score"] == "completeness")]
    better = {(row["by"], row["a"], row["b"]) for row in json_rows(pairs)
              if row["variant"] == variant and row["verdict"] == BETTER}
    found = []
    for by, of in table.groupby("by", sort=False):
        ends = {end: {"group": row["group"], "mean": row["mean"]} for end, row in (
            ("highest", of.loc[of["mean"].idxmax()]), ("lowest", of.loc[of["mean"].idxmin()]))}
        if (by, ends["highest"]["group"], ends["lowest"]["group"]) in better:
            found.append({"by": by} | ends)
    return found


# What do the pictures show for each variant?

def seen(study: Study) -> list[Row]:
    """One row per model with several losses, then one per loss with several models.

    Returns:
        fixed, others: the name of the model or loss that the variants share, and what they differ in.
        variants, too_few_seeds: the variants, and those of them with too few seeds. If there are any, the rest is
            empty.
        left_out, left_out_of: the variants with failed trainings, and the scores that do not compare them, because a
            mask of nothing or of everything wins them.
        better: the scores of `SEEN` by which one variant is better than another, with the variants and means of the
            two that are farthest apart, as `better` and `worse`.
        equivalent, unknown: the scores by which all of the variants are equivalent, and the other scores that two of
            the variants have.
    """
    groups = [(study.model(group[0]), "losses", group) for group in study.losses_on_one_model()]
    groups += [(study.loss(group[0]), "models", group) for group in study.models_with_one_loss()]
    return [{"fixed": fixed, "others": others, "variants": group} | _seen_in(study, group)
            for fixed, others, group in groups]


def _seen_in(study: Study, group: Sequence[str]) -> Row:
    too_few = [variant for variant in group if variant in study.too_few_seeds]
    left_out = [variant for variant in group if variant in study.failed and not too_few]
    found: Row = {"too_few_seeds": too_few, "left_out": left_out, "left_out_of": list(WON_WITHOUT_LOOKING),
                  BETTER: [], EQUIVALENT: [], UNKNOWN: []}
    for score in SEEN if not too_few else ():
        skipped = left_out if score in WON_WITHOUT_LOOKING else ()
        pairs = study.pairs_among([variant for variant in group if variant not in skipped], score)
        if decided := [pair for pair in pairs if pair["verdict"] == BETTER]:
            farthest = max(decided, key=lambda pair: abs(pair["difference"]))
            found[BETTER].append({"score": score} | {
                end: {"variant": farthest[side], "mean": study.scores[farthest[side], score]["mean"]}
                for end, side in (("better", "a"), ("worse", "b"))})
        elif pairs:
            found[EQUIVALENT if {pair["verdict"] for pair in pairs} == {EQUIVALENT} else UNKNOWN].append(score)
    return found


# Why can a falling loss and a good picture disagree?

def falling_loss(study: Study) -> dict[str, Any]:
    """Where the loss and the score disagreed in this study.

    Returns:
        pairs, too_few, decided: how many pairs of trained variants there are, in how many of them one has too few
            seeds, and in how many one variant is better.
        disagreement: for each final loss (raw and min-max normalised), a pair in which the better variant is known to
            end with the higher loss, as `better` and `worse`. If there are several, the one whose scores differ most;
            None if there is none.
        steps, steps_with_falling_iou: how often the val loss fell from one epoch to the next of a training, and in how
            many of these steps the val IoU fell too.
    """
    epochs = study.tables["curves"].sort_values("iteration", kind="stable")
    val = epochs[epochs["curve"] == "val epoch"]
    change = val.groupby(["variant", "seed"], sort=False)[["loss", "iou_score"]].diff().dropna()
    fell = change[change["loss"] < 0]
    train = epochs[epochs["curve"] == "train epoch"]
    pairs = study.pairs_among(study.configs, HEADLINE.name)
    decided = [pair for pair in pairs if pair["verdict"] == BETTER]
    return {"pairs": len(pairs), "too_few": sum(pair["verdict"] == TOO_FEW for pair in pairs), "decided": len(decided),
            "disagreement": {loss: _disagreement(study, decided, _final(train, loss)) for loss in FINAL_LOSSES},
            "steps": len(fell), "steps_with_falling_iou": int((fell["iou_score"] < 0).sum())}


def _final(epochs: pd.DataFrame, loss: str) -> dict[str, np.ndarray]:
    """The loss of the last epoch of each seed, (S,), by variant."""
    last = epochs.groupby(["variant", "seed"], sort=False)[loss].last().dropna()
    return {variant: of.to_numpy(np.float64) for variant, of in last.groupby(level="variant", sort=False)}


def _disagreement(study: Study, decided: Sequence[Row], final: Mapping[str, np.ndarray]) -> Row | None:
    """The pair whose better variant is known to end with the higher loss; if several, the one that differs most."""
    variants = list(final)
    ends_above = set()
    for pair in pairwise.compare([Blocks.from_values(values_S) for values_S in final.values()], margin=None,
                                 highest=math.inf, one_scale=False):
        if pair.verdict == BETTER:
            first, second = variants[pair.a], variants[pair.b]
            ends_above.add((first, second) if pair.difference.value > 0 else (second, first))
    pairs = [pair for pair in decided if (pair["a"], pair["b"]) in ends_above]
    if not pairs:
        return None
    pair = max(pairs, key=lambda pair: pair["difference"])
    return {end: {"variant": variant, "loss": float(final[variant].mean()), "score": study.ranked[variant]["mean"]}
            for end, variant in (("better", pair["a"]), ("worse", pair["b"]))}
