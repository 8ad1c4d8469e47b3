"""What the coursework that seglib repeats asks, answered as facts from a comparison's tables.

`compare` writes the facts to `tables/coursework.json`. `seglib/report/coursework.py` puts them into sentences.
A fact that this study's trainings do not give is None or an empty list.
"""

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Self

import pandas as pd

from seglib.comparison.tables import json_rows
from seglib.metrics.pairwise import BETTER, TOO_FEW
from seglib.metrics.scores import HEADLINE

WINDOWS = ("first", "median", "last")  # of a training, in which its gradients were measured
ABOUT_EQUAL = 2  # gradients within this factor of each other pull about equally hard
FINAL_LOSSES = ("loss", "normalised")  # columns of the curves
# What people see in pictures, as scores.
SEEN = ("hole_share", "specks", "completeness", "wrong_class", "missed_small", "missed_covered", "boundary_iou_dataset")
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """The tables of a comparison, and what is looked up in them most often."""

    tables: Mapping[str, pd.DataFrame]
    configs: dict[str, dict[str, Any]]
    """Of the trained variants, the highest mean first"""
    names: dict[str, list[tuple[str, str]]]
    """The pairs (model, loss) that are this variant, by its label"""
    ranked: dict[str, Row]
    """The ranking's rows that have a mean, by variant, the highest first"""
    too_few_seeds: set[str]
    scores: dict[tuple[str, str], Row]
    """The rows of test scores, by variant and score"""
    pairs: list[Row]
    """The pairs of the headline score, the better variant first as `a`"""

    @classmethod
    def of(cls, summary: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> Self:
        scores = tables["scores"]
        ranking = json_rows(tables["ranking"])
        pairs = tables["pairs"]
        ordered = dict.fromkeys([row["variant"] for row in ranking] + scores["variant"].tolist())
        return cls(tables=tables,
                   configs={variant: summary["configs"][variant] for variant in ordered
                            if variant not in summary["seedless"]},
                   names=summary["names"],
                   ranked={row["variant"]: row for row in ranking if row["mean"] is not None},
                   too_few_seeds={row["variant"] for row in ranking if not row["enough_seeds"]},
                   scores={(row["variant"], row["score"]): row
                           for row in json_rows(scores[scores["split"] == "test"])},
                   pairs=json_rows(pairs[pairs["score"] == HEADLINE.name]))

    def groups(self, *fixed: str) -> list[list[str]]:
        """The trained variants in groups that share the named parts of their configuration. No group has only one."""
        groups: dict[str, list[str]] = {}
        for variant, config in self.configs.items():
            groups.setdefault(json.dumps([config[part] for part in fixed], sort_keys=True), []).append(variant)
        return [group for group in groups.values() if len(group) > 1]

    def losses_on_one_model(self) -> list[list[str]]:
        """Groups of variants that differ in nothing but the loss."""
        return self.groups("model", "train")

    def models_with_one_loss(self) -> list[list[str]]:
        """Groups of variants of several models, each with the training that its name stands for, and one loss."""
        return [group for group in self.groups("loss") if len(set(map(self.model, group))) > 1]

    def model(self, variant: str) -> str:
        """The model's name; of a variant with several names, the first."""
        return self.names[variant][0][0]

    def loss(self, variant: str) -> str:
        return self.names[variant][0][1]

    def pair(self, a: str, b: str) -> Row | None:
        """The headline's difference of two variants, in whichever order it is listed."""
        return next((row for row in self.pairs if {row["a"], row["b"]} == {a, b}), None)


def coursework(summary: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The facts by question; each function below says what it gives.

    Args:
        summary: the `configs`, `names` and `seedless` of summary.json.
        tables: the comparison's tables `scores`, `pairs`, `ranking`, `curves`, `groups` and `gradients`, by name.
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
        sweeps: one row per model and training that was run with two values of k or more (see `_sweep`).
        ran: the values of k that were run.
    """
    terms = {term for config in study.configs.values() for term in config["loss"]["terms"]}
    if not {"mse", "dice"} <= terms:
        return None
    rows = _gradients(study)
    known = [row for row in rows if any(ratio is not None for ratio in row["equal"].values())]
    scales = dict.fromkeys(row["targets"] for row in known)
    sweeps = [_sweep(study, group) for group in study.losses_on_one_model()]
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


def _sweep(study: Study, group: Sequence[str]) -> Row | None:
    """The variants of one model and training that differ in the weight k of Dice beside MSE alone, by k.

    Their k is 0 for MSE alone and None for Dice alone. Of those with both, `highest` has the highest mean, and
    `against` says of each other point whether that is "better" or "worse" than it, or "equivalent", or that the
    order is "unknown", or one of the two has "too few seeds".
    None if fewer than two variants have both.
    """
    points = []
    for variant in group:
        terms, score = study.configs[variant]["loss"]["terms"], study.scores.get((variant, HEADLINE.name))
        if terms and set(terms) <= {"mse", "dice"} and score and score["mean"] is not None:
            k = terms.get("dice", 0) / terms["mse"] if "mse" in terms else None
            points.append({"variant": variant, "k": k, **{name: score[name] for name in ("mean", "low", "high")}})
    points.sort(key=lambda point: float("inf") if point["k"] is None else point["k"])
    mixed = [point for point in points if point["k"]]
    if len(mixed) < 2:
        return None
    highest = max(mixed, key=lambda point: point["mean"])
    against = [{"k": point["k"], "verdict": _verdict(study.pair(highest["variant"], point["variant"]), highest)}
               for point in points if point is not highest]
    return {"model": study.model(group[0]), "targets": study.configs[group[0]]["train"]["targets"], "points": points,
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
        times_seeds: the first two as multiples of the third; None with too few seeds.
        seeds: the highest number of seeds of any variant.
        variant, groups: the variant of the highest mean, and the groups of objects or pictures (see `_extremes`) in
            which its completeness is highest and lowest, for each way of grouping that tells them apart.
    """
    if not study.ranked:
        return None
    deviations = [row["sd"] for row in study.ranked.values() if row["sd"] is not None]
    seeds = statistics.fmean(sd * sd for sd in deviations) ** 0.5 if deviations else None
    spread = {"losses": _spread(study, study.losses_on_one_model()),
              "models": _spread(study, study.models_with_one_loss())}
    comparable = seeds and all(row["enough_seeds"] for row in study.ranked.values())
    first = next(iter(study.ranked))
    return {"spread": spread | {"seeds": seeds},
            "times_seeds": {what: sd / seeds if sd is not None and comparable else None for what, sd in spread.items()},
            "seeds": max(row["seeds"] for row in study.ranked.values()),
            "variant": first, "groups": _extremes(study.tables["groups"], first)}


def _spread(study: Study, groups: Sequence[Sequence[str]]) -> float | None:
    """The standard deviation of means among the variants of a group, over all groups (root of the mean variance)."""
    means = [[study.ranked[variant]["mean"] for variant in group if variant in study.ranked] for group in groups]
    variances = [statistics.variance(group) for group in means if len(group) > 1]
    return statistics.fmean(variances) ** 0.5 if variances else None


def _extremes(groups: pd.DataFrame, variant: str) -> list[Row]:
    """By size, number and overlap of objects: the groups of the highest and the lowest completeness, if apart."""
    table = groups[(groups["variant"] == variant) & (groups["split"] == "test") & (groups["score"] == "completeness")]
    ends = {by: apart(json_rows(of), "group") for by, of in table.groupby("by", sort=False)}
    return [{"by": by} | found for by, found in ends.items() if found]


def apart(rows: Sequence[Row], name: str) -> dict[str, Row] | None:
    """The `highest` and the `lowest` mean with their rows' `name`, if the intervals of the two do not touch."""
    known = [row for row in rows if row["mean"] is not None and row["low"] is not None]
    if len(known) < 2:
        return None
    highest, lowest = max(known, key=lambda row: row["mean"]), min(known, key=lambda row: row["mean"])
    if highest["low"] <= lowest["high"]:
        return None
    return {end: {name: row[name], "mean": row["mean"]} for end, row in (("highest", highest), ("lowest", lowest))}


# What do the pictures show for each variant?

def seen(study: Study) -> list[Row]:
    """One row per model with several losses, then one per loss with several models.

    Returns:
        fixed, others: the name of the model or loss that the variants share, and what they differ in.
        variants, too_few_seeds: the variants, and those of them with too few seeds. If there are any, the rest is
            empty.
        told_apart: the scores of `SEEN` whose extremes have intervals that do not touch, with the variants and means
            of the `highest` and the `lowest`.
        not_told_apart: the other scores of `SEEN` that a variant has.
    """
    groups = [(study.model(group[0]), "losses", group) for group in study.losses_on_one_model()]
    groups += [(study.loss(group[0]), "models", group) for group in study.models_with_one_loss()]
    return [{"fixed": fixed, "others": others, "variants": group} | _seen_in(study, group)
            for fixed, others, group in groups]


def _seen_in(study: Study, group: Sequence[str]) -> Row:
    found: Row = {"too_few_seeds": [variant for variant in group if variant in study.too_few_seeds],
                  "told_apart": [], "not_told_apart": []}
    if found["too_few_seeds"]:
        return found
    for score in SEEN:
        rows = [study.scores[variant, score] for variant in group if (variant, score) in study.scores]
        if ends := apart(rows, "variant"):
            found["told_apart"].append({"score": score} | ends)
        elif any(row["mean"] is not None for row in rows):
            found["not_told_apart"].append(score)
    return found


# Why can a falling loss and a good picture disagree?

def falling_loss(study: Study) -> dict[str, Any]:
    """Where the loss and the score disagreed in this study.

    Returns:
        pairs, decided_pairs: how many pairs of variants there are, and how many of them have enough seeds.
        disagreement: by final loss (raw and min-max normalised), the decided pair in which the lower loss goes with
            the lower score, as `better` and `worse`, by the largest difference in score; None if there is none.
        steps, steps_with_falling_iou: how often the val loss fell from one epoch to the next of a training, and in how
            many of these steps the val IoU fell too.
    """
    epochs = study.tables["curves"].sort_values("iteration", kind="stable")
    val = epochs[epochs["curve"] == "val epoch"]
    change = val.groupby(["variant", "seed"], sort=False)[["loss", "iou_score"]].diff().dropna()
    fell = change[change["loss"] < 0]
    train = epochs[epochs["curve"] == "train epoch"]
    return {"pairs": len(study.pairs), "decided_pairs": sum(pair["verdict"] != TOO_FEW for pair in study.pairs),
            "disagreement": {loss: _disagreement(study, _final(train, loss)) for loss in FINAL_LOSSES},
            "steps": len(fell), "steps_with_falling_iou": int((fell["iou_score"] < 0).sum())}


def _final(epochs: pd.DataFrame, loss: str) -> dict[str, float]:
    """The loss of the last epoch by variant, mean over seeds."""
    last = epochs.groupby(["variant", "seed"], sort=False)[loss].last()
    return last.groupby(level="variant", sort=False).mean().dropna().to_dict()


def _disagreement(study: Study, final: Mapping[str, float]) -> Row | None:
    pairs = [pair for pair in study.pairs if pair["verdict"] == BETTER and {pair["a"], pair["b"]} <= set(final)
             and final[pair["b"]] < final[pair["a"]]]
    if not pairs:
        return None
    pair = max(pairs, key=lambda pair: pair["difference"])
    return {end: {"variant": variant, "loss": final[variant], "score": study.ranked[variant]["mean"]}
            for end, variant in (("better", pair["a"]), ("worse", pair["b"]))}
