"""What the course asks, answered from the tables and never beyond them. Pure functions from a comparison to sentences.

Where this study did not run what a question needs, the sentence says so.
"""

import json
import statistics
from typing import Any

from markupsafe import Markup

from seglib.report.answer import NAMED
from seglib.report.tables import Comparison, records
from seglib.report.words import brief, count, listed, name, number, say, with_interval

WINDOWS = (("first", "at first"), ("median", "in the middle"), ("last", "at the end"))
ABOUT_EQUAL = 2  # gradients within this factor of each other pull about equally hard


def _key(comparison: Comparison, variant: str, *parts: str) -> str:
    config = comparison.summary["configs"][variant]
    return json.dumps([config[part] for part in parts], sort_keys=True)


def model_of(variant: str) -> str:
    """The model's name in a label; of joined labels, the first."""
    return variant.split(" = ")[0].partition(" ")[0]


def loss_of(variant: str) -> str:
    return variant.split(" = ")[0].partition(" ")[2]


def by_part(comparison: Comparison, *fixed: str) -> list[list[str]]:
    """Variants in groups that share the named parts of their configuration; groups of one are left out."""
    groups: dict[str, list[str]] = {}
    for variant in comparison.variants:
        groups.setdefault(_key(comparison, variant, *fixed), []).append(variant)
    return [group for group in groups.values() if len(group) > 1]


def losses_on_one_model(comparison: Comparison) -> list[list[str]]:
    """Groups of variants that differ in nothing but the loss."""
    return by_part(comparison, "model", "train")


def models_with_one_loss(comparison: Comparison) -> list[list[str]]:
    """Groups of variants of several models, each with the training that its name stands for, and one loss."""
    return [group for group in by_part(comparison, "loss") if len(set(map(model_of, group))) > 1]


# Should Dice be scaled, by how much, and why?

def gradients(comparison: Comparison) -> list[dict[str, Any]]:
    """Of each variant that trains on MSE and Dice: its k, the k at which both gradients would be equal in each window,
    and which term pulls harder."""
    found = []
    for variant, table in comparison.gradients.groupby("variant", sort=False):
        of = {row["term"]: row for row in records(table)}
        if not {"mse", "dice"} <= set(of):
            continue
        k = of["dice"]["weight"] / of["mse"]["weight"]
        equal = {window: _ratio(of["mse"][window], of["dice"][window]) for window, _ in WINDOWS}
        pulls = {window: _stronger(k, ratio) for window, ratio in equal.items()}
        targets = comparison.summary["configs"][variant]["train"].get("targets")
        found.append({"variant": variant, "k": k, "targets": targets, "equal": equal, "pulls": pulls})
    return found


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _stronger(k: float, equal: float | None) -> str | None:
    if equal is None:
        return None
    return "about equal" if equal / ABOUT_EQUAL <= k <= equal * ABOUT_EQUAL else "Dice" if k > equal else "MSE"


def sweeps(comparison: Comparison) -> list[dict[str, Any]]:
    """For each model and training, the variants that differ by the weight k of Dice beside MSE alone, by k.

    k is 0 for MSE alone and None for Dice alone. A sweep needs two values of k above 0.
    """
    found = []
    for group in by_part(comparison, "model", "train"):
        points = []
        for variant in group:
            terms = comparison.summary["configs"][variant]["loss"]["terms"]
            score = comparison.score(variant, comparison.headline)
            if terms and set(terms) <= {"mse", "dice"} and score and score["mean"] is not None:
                k = terms.get("dice", 0) / terms["mse"] if "mse" in terms else None
                points.append({"variant": variant, "k": k, "score": score})
        points.sort(key=lambda point: float("inf") if point["k"] is None else point["k"])
        targets = comparison.summary["configs"][group[0]]["train"].get("targets")
        found.append({"model": model_of(group[0]), "targets": targets, "points": points})
    return [sweep for sweep in found if sum(bool(point["k"]) for point in sweep["points"]) > 1]


def dice_scaling(comparison: Comparison) -> list[Markup]:
    """Nothing where the study has not both MSE and Dice: then it does not ask."""
    terms = {term for config in comparison.summary["configs"].values() for term in config["loss"]["terms"]}
    if not {"mse", "dice"} <= terms:
        return []
    rows, found = gradients(comparison), sweeps(comparison)
    sentences = _gradient_sentences(rows)
    if not found:
        ran = sorted({row["k"] for row in rows})
        sentences.append(say("This study did not run MSE + k·Dice with more than one k on any model{}, so it does not "
                             "say which k is best.", f" (it ran k = {listed(map(brief, ran))})" if ran else ""))
    models = [sweep["model"] for sweep in found]
    for sweep in found:  # one model may have been swept with targets of 1 and of label values
        targets = f" (targets: {sweep['targets']})" if models.count(sweep["model"]) > 1 else ""
        sentences.append(_sweep_sentence(comparison, sweep, targets))
    return sentences


def _gradient_sentences(rows: list[dict[str, Any]]) -> list[Markup]:
    """One for networks of each scale of targets, since that decides what k means."""
    rows = [row for row in rows if any(ratio is not None for ratio in row["equal"].values())]
    if not rows:
        return [say("This study did not train MSE and Dice together, so it has no gradients of both to set against "
                    "each other.")]
    scales = list(dict.fromkeys(row["targets"] for row in rows))
    sentences = [say("Scaling Dice matters through the gradients: a term steers the training as hard as its gradient, "
                     "times its weight, is long.")]
    for targets in scales:
        of = f" of networks with targets: {targets}" if len(scales) > 1 else ""
        sentences.append(_equal_gradients([row for row in rows if row["targets"] == targets], of))
    return sentences


def _equal_gradients(rows: list[dict[str, Any]], of: str) -> Markup:
    parts = []
    for window, when in WINDOWS:
        ratios = [row["equal"][window] for row in rows if row["equal"][window] is not None]
        if ratios:
            low, high = brief(min(ratios)), brief(max(ratios))
            parts.append(f"{low} {when}" if low == high else f"{low} to {high} {when}")
    text = say("On the output layer{} both terms would pull equally hard at k = {}.", of, listed(parts))
    always = [row for row in rows if len(set(row["pulls"].values())) == 1 and None not in row["pulls"].values()]
    led = []
    for term in ("MSE", "Dice"):
        variants = [row["variant"] for row in always if row["pulls"]["first"] == term]
        if variants:
            led.append(say("{} in {}", term, listed(map(name, variants)) if len(variants) <= NAMED
                           else f"{len(variants)} of {len(rows)} variants"))
    if led:
        text += say(" By more than a factor of {} the stronger one throughout was {}.", ABOUT_EQUAL, listed(led, "and"))
    return text


def _k(point: dict[str, Any]) -> str:
    return "Dice alone" if point["k"] is None else "MSE alone" if point["k"] == 0 else f"k = {brief(point['k'])}"


def _sweep_sentence(comparison: Comparison, sweep: dict[str, Any], targets: str) -> Markup:
    points = sweep["points"]
    text = say("{}{}, test IoU: {}.", name(sweep["model"]), targets,
               listed(f"{_k(point)}: {with_interval(point['score'])}" for point in points))
    mixed = [point for point in points if point["k"]]
    highest = max(mixed, key=lambda point: point["score"]["mean"])
    settled, open_, too_few = [], [], []
    for point in points:
        pair = comparison.pair(highest["variant"], point["variant"]) if point is not highest else None
        if pair is None:
            continue
        if not pair["enough_seeds"]:
            too_few.append(_k(point))
        elif pair["settled"]:
            settled.append(f"{'better' if pair['a'] == highest['variant'] else 'worse'} than {_k(point)}")
        else:
            open_.append(_k(point))
    text += say(" Of the mixtures, {} has the highest mean.", _k(highest))
    if settled:
        text += say(" Settled: it is {}.", listed(settled))
    if open_:
        text += say(" Not settled: its difference to {}.", listed(open_, "or"))
    if too_few:
        text += say(" Too few seeds to compare it with {}.", listed(too_few, "or"))
    return text


# What explains the variations?

def variation(comparison: Comparison) -> list[Markup]:
    ranked = {row["variant"]: row for row in records(comparison.ranking) if row["mean"] is not None}
    if not ranked:
        return [say("Nothing could be ranked, so there is no variation to explain.")]
    spreads = {
        "losses on one model": _spread(ranked, losses_on_one_model(comparison)),
        "models with one loss": _spread(ranked, models_with_one_loss(comparison)),
    }
    sds = [row["sd"] for row in ranked.values() if row["sd"] is not None]
    seeds = statistics.fmean(sd * sd for sd in sds) ** 0.5 if sds else None
    parts = [say("between {} {}", what, number(sd)) for what, sd in spreads.items() if sd is not None]
    parts += [say("between seeds of one variant {}", number(seeds))] if seeds is not None else []
    sentences = []
    if parts:
        sentences.append(say("Spread of test IoU, as a standard deviation: {}.", listed(parts)))
    has_enough_seeds = all(row["enough_seeds"] for row in ranked.values())
    for what, sd in spreads.items():
        if sd is not None and seeds and has_enough_seeds:
            sentences.append(say("The spread between {} is {} times that between seeds.", what, brief(sd / seeds)))
    missing = [what for what, sd in spreads.items() if sd is None]
    if missing:
        sentences.append(say("This study did not run several {}, so it says nothing of their share.",
                             listed(missing, "or")))
    if seeds is None:
        sentences.append(say("Seeds were not varied, so their share is not known."))
    elif (n := int(comparison.ranking["seeds"].max())) <= 3:
        sentences.append(say("A standard deviation from {} is itself rough.", count(n, "seed")))
    return sentences + _group_sentences(comparison, next(iter(ranked)))


def _spread(ranked: dict[str, dict[str, Any]], groups: list[list[str]]) -> float | None:
    """The sd of means among the variants of a group, over all groups (root of the mean variance)."""
    means = [[ranked[variant]["mean"] for variant in group if variant in ranked] for group in groups]
    variances = [statistics.variance(group) for group in means if len(group) > 1]
    return statistics.fmean(variances) ** 0.5 if variances else None


def _group_sentences(comparison: Comparison, variant: str) -> list[Markup]:
    """How the variant's completeness changes with the objects, if the extremes' intervals are apart."""
    table = comparison.groups
    table = table[(table["variant"] == variant) & (table["split"] == "test") & (table["score"] == "completeness")]
    words = {"size": "{} objects", "overlap": "{} objects", "objects": "pictures with {} object(s)"}
    found = []
    for by, rows in table.groupby("by", sort=False):
        extremes = apart(records(rows.dropna(subset="mean")))
        if extremes:
            high, low = extremes
            what = words.get(by, "{}")
            found.append(say("{} in {} against {} in {}", number(high["mean"]), say(what, high["group"]),
                             number(low["mean"]), say(what, low["group"])))
    if not found:
        return []
    return [say("Pictures differ too. Completeness of {}: {}.", name(variant), listed(found, "and"))]


def apart(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The rows of the highest and the lowest mean, if their intervals do not touch."""
    rows = [row for row in rows if row["mean"] is not None and row["low"] is not None]
    if len(rows) < 2:
        return None
    high, low = max(rows, key=lambda row: row["mean"]), min(rows, key=lambda row: row["mean"])
    return (high, low) if high["low"] > low["high"] else None


# How far do scores called Dice lie from each other?

def dice_names(comparison: Comparison) -> list[Markup]:
    """About the variant with the highest mean. The table shows all variants."""
    if comparison.dice_names.empty:
        return []
    variant = comparison.variants[0]
    values = {row["definition"]: row["value"] for row in records(comparison.dice_names)
              if row["variant"] == variant and row["value"] is not None}
    accuracy = values.pop("pixel_accuracy", None)
    sentences = []
    if len(values) > 1:
        sentences.append(say("The same predictions of {} score {} to {}, depending on what is called Dice.",
                             name(variant), number(min(values.values())), number(max(values.values()))))
    if accuracy is not None:
        sentences.append(say("Pixel accuracy, {} here, is not Dice: it counts every background pixel as a success.",
                             number(accuracy)))
    return sentences
