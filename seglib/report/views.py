"""Tables and charts in the shape in which the templates print them. Only positions on an axis are computed here."""

import itertools
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import pandas as pd
from markupsafe import Markup

from seglib.report.answer import from_to, would_show
from seglib.report.charts import Axis, axis, extent
from seglib.report.tables import Comparison, records
from seglib.report.words import name, number, say, variants_named

SPLITS = ("test", "val")
FIRST_PAIRS = 10  # up to this many are all shown; of more, only the first variant's, and the rest are folded away
PARTS = ("model", "loss", "train")  # of a configuration
DICE_TITLES = {
    "dice_dataset": "all pixels pooled", "dice_image_mean": "image mean, empty ones left out",
    "dice_image_mean_empty_0": "image mean, empty = 0", "dice_image_mean_empty_1": "image mean, empty = 1",
    "dice_batch_flattened_1": "batches of 1 flattened", "dice_batch_flattened_4": "batches of 4 flattened",
    "dice_batch_flattened_8": "batches of 8 flattened", "dice_with_background": "background as a class",
    "pixel_accuracy": "pixel accuracy",
}
GROUPS = {"size": "object size, area in pixels", "objects": "objects in the picture", "overlap": "overlap"}


def score_table(comparison: Comparison, table: str) -> dict[str, Any]:
    """Columns in groups (a score, its aggregations) and, for each split and variant, one cell per column.

    A score that no variant has gets no column.
    """
    there = set(comparison.scores.dropna(subset="mean")["score"]) or set(comparison.scores["score"])
    shown = [score for score in comparison.of_table(table) if score["name"] in there]
    groups = []
    for heading, scores in itertools.groupby(shown, key=itemgetter("heading")):
        columns = list(scores)
        groups.append({"title": heading, "unit": columns[0]["unit"], "lower": columns[0]["better"] == "lower",
                       "columns": [(score["name"], _aggregation(comparison, score)) for score in columns],
                       "n": [{split: _n(comparison, score, split) for split in SPLITS} for score in columns]})
    columns = [column(comparison, score) for score in shown]
    rows = [{"variant": variant, "split": split, "cells": [of[variant, split] for of in columns]}
            for split in SPLITS for variant in comparison.variants]
    return {"groups": groups, "rows": rows, "two_lines": any(text for group in groups for _, text in group["columns"])}


def column(comparison: Comparison, score: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The cells of a score by variant and split; the column has one scale for the dots of its seeds."""
    seeds = {(variant, split): comparison.by_seed(variant, split, score["name"])
             for split in SPLITS for variant in comparison.variants}
    scale = extent(itertools.chain(*seeds.values()))
    return {place: {"score": comparison.score(place[0], score["name"], place[1]), "digits": score["digits"],
                    "seeds": of, "axis": scale} for place, of in seeds.items()}


def _aggregation(comparison: Comparison, score: dict[str, Any]) -> str:
    name = score["aggregation"]
    return comparison.summary["aggregations"][name]["title"] if name else ""


def _n(comparison: Comparison, score: dict[str, Any], split: str) -> str:
    """The n of a score in words, "1,012 to 1,260 pairs"; "" if no variant has the score."""
    found = [row["n"] for variant in comparison.compared
             if (row := comparison.score(variant, score["name"], split)) and row["mean"] is not None]
    ends = list(dict.fromkeys(f"{of(found):,.0f}" for of in (min, max))) if found else []
    return f"{' to '.join(ends)} {score['n_of']}" if ends else ""


def ranking(comparison: Comparison) -> dict[str, Any]:
    """The main table: ranks as intervals, the headline's interval on a common axis, then the most important scores."""
    table = score_table(comparison, "main")
    ranked = comparison.ranking.dropna(subset=["mean", "rank_low"])
    ranks = {row["variant"]: from_to([int(row["rank_low"]), int(row["rank_high"])]) for row in records(ranked)}
    for row in table["rows"]:
        rank = ranks.get(row["variant"]) if row["split"] == "test" else None
        row |= {"rank": rank, "by_seed": comparison.by_seed(row["variant"], row["split"]),
                "headline": comparison.score(row["variant"], comparison.headline, row["split"])}
    chosen = [row for row in table["rows"] if row["headline"] and row["variant"] in comparison.compared]
    drawn = [[*row["by_seed"], *(row["headline"][key] for key in ("mean", "low", "high"))] for row in chosen]
    answered = comparison.findings["answer"]
    too_few = answered["too_few_seeds"]
    return table | {"axis": axis(itertools.chain(*drawn)), "any_rank": bool(ranks), "too_few": too_few,
                    "failed": {row["variant"]: row["failed"] for row in records(comparison.ranking)},
                    "floor": comparison.summary["floor"], "scopes": scopes(comparison),
                    "seeds_of_too_few": from_to(answered["seeds_of_too_few"]) if too_few else ""}


def scopes(comparison: Comparison) -> Markup:
    """What the intervals of test scores are about. If it differs between variants, the variants are named."""
    of_scope: dict[str, list[str]] = {}
    for variant in comparison.compared:
        row = comparison.score(variant, comparison.headline)
        if row and row["low"] is not None:
            of_scope.setdefault(row["interval_of"], []).append(variant)
    if len(of_scope) == 1:
        return say("{}", *of_scope)
    return Markup("; ").join(say("{} ({})", scope, variants_named(of)) for scope, of in of_scope.items())


def forest(comparison: Comparison) -> dict[str, Any]:
    """Differences of the headline score, in two parts: those that are shown at once, and the rest.

    `others` are differences of the other scores, only of the variant with the highest mean headline score.
    """
    highest = comparison.variants[0]
    pairs = [_pair(comparison, pair) for pair in comparison.headline_pairs()]
    first = pairs if len(pairs) <= FIRST_PAIRS else [pair for pair in pairs if highest in (pair["a"], pair["b"])]
    others = []
    for score in dict.fromkeys(comparison.pairs["score"]):
        if score != comparison.headline:
            chosen = [_pair(comparison, pair) for pair in comparison.headline_pairs(score)
                      if highest in (pair["a"], pair["b"])]
            others.append({"title": comparison.definition(score)["title"], "pairs": chosen, "axis": _pair_axis(chosen)})
    return {"first": first, "rest": [pair for pair in pairs if pair not in first], "axis": _pair_axis(pairs),
            "scopes": sorted({pair["interval_of"] for pair in pairs}), "highest": highest, "others": others,
            "all": len(pairs), "counts": {verdict: [pair["verdict"] for pair in pairs].count(verdict)
                                        for verdict in ("better", "equivalent", "unknown", "too few seeds")}}


def _pair(comparison: Comparison, pair: dict[str, Any]) -> dict[str, Any]:
    return pair | {"would_show": would_show(pair, comparison)}


def _pair_axis(pairs: list[dict[str, Any]]) -> Axis:
    return axis((pair[key] for pair in pairs for key in ("difference", "low", "high")), include=0.0)


def classes(comparison: Comparison) -> dict[str, Any]:
    """One row per variant and split, one cell per class: IoU with its interval, and the scores that the page offers."""
    names, scores = comparison.summary["classes"], comparison.of_table("class")
    at = {(row["variant"], row["split"], row["class"]): row for row in records(comparison.classes)}
    seeds = {(variant, split, name): comparison.class_by_seed(variant, split, name) for variant, split, name in at}
    scales = {name: extent(itertools.chain(*(of for place, of in seeds.items() if place[2] == name)))
              for name in names}
    rows = [{"variant": variant, "split": split, "cells": [
                {"mean": of[comparison.headline], "low": of["low"], "high": of["high"],
                 "scores": [of[score["name"]] for score in scores], "axis": scales[of["class"]],
                 "seeds": seeds[variant, split, of["class"]]}
                for of in (at[variant, split, name] for name in names)]}
            for split in SPLITS for variant in comparison.variants]
    present = {split: [int(at[comparison.variants[0], split, name]["images_with_class"]) for name in names]
               for split in SPLITS}
    return {"names": names, "rows": rows, "present": present, "scores": [score["heading"] for score in scores]}


def groups(comparison: Comparison) -> list[dict[str, Any]]:
    """Test scores by object size, number of objects and overlap: one table per score, one row per variant."""
    return [_group_table(comparison, score, of_score)
            for score, of_score in comparison.groups.groupby("score", sort=False)]


def own_size(comparison: Comparison) -> dict[str, Any]:
    """The scores at the network's size beside those at the pictures' own size; empty if the sizes are the same."""
    return score_table(comparison, "size")


def _group_table(comparison: Comparison, score: str, table: pd.DataFrame) -> dict[str, Any]:
    columns = [(row["by"], row["group"]) for row in records(table[["by", "group"]].drop_duplicates())]
    at = {(row["variant"], row["by"], row["group"]): row for row in records(table)}
    names = {tuple(of["group"]): of["name"] for of in comparison.summary["scores"]
             if of["base"] == score and of["group"]}
    for (variant, *group), row in at.items():
        row["seeds"] = comparison.by_seed(variant, score=names[tuple(group)])
    rows = [{"variant": variant, "cells": [at.get((variant, *column)) for column in columns]}
            for variant in comparison.variants]
    heads = []
    for by, group in columns:
        first = next(row for key, row in at.items() if key[1:] == (by, group))
        heads.append({"name": group, "edges": _edges(first) if by == "size" else "", "n": first["n"]})
    kinds = [{"title": GROUPS.get(by, by), "span": sum(kind == by for kind, _ in columns)}
             for by in dict.fromkeys(by for by, _ in columns)]
    cells = [cell for row in rows if row["variant"] in comparison.compared for cell in row["cells"] if cell]
    values = [value for cell in cells for value in (cell["mean"], cell["low"], cell["high"], *cell["seeds"])]
    whole = comparison.definition(score)  # of the objects of all groups
    return {"title": whole["title"], "formula": whole["formula"], "lower": whole["better"] == "lower", "kinds": kinds,
            "heads": heads, "rows": rows, "axis": axis(values, steps=2)}


def _edges(row: dict[str, Any]) -> str:
    low, high = row["low_edge"], row["high_edge"]
    if high is None:
        return "" if low is None else f"from {low:,.0f}"
    return f"up to {high:,.0f}" if not low else f"{low:,.0f} to {high:,.0f}"


def confusion(comparison: Comparison) -> dict[str, Any]:
    """For objects and for pixels: the names of rows and columns, and each variant's (share, count) cells."""
    kinds = {}
    for kind, table in comparison.confusion.groupby("kind", sort=False):
        truths, predicted = (list(dict.fromkeys(table[column])) for column in ("truth", "predicted"))
        cells = {variant: _matrix(of, truths, predicted) for variant, of in table.groupby("variant", sort=False)}
        kinds[kind] = {"truths": truths, "predicted": predicted, "cells": cells}
    return kinds


def _matrix(table: pd.DataFrame, truths: list[str], predicted: list[str]) -> list[list[tuple[float | None, int]]]:
    at = {(row["truth"], row["predicted"]): row for row in records(table)}
    return [[(None if at[truth, answer]["share"] is None else round(at[truth, answer]["share"], 6),
              int(at[truth, answer]["count"])) for answer in predicted] for truth in truths]


def dice_names(comparison: Comparison) -> dict[str, Any]:
    """One row per variant, one column per definition. Pixel accuracy, which is no Dice score, comes last."""
    table = comparison.dice_names
    ways = sorted(dict.fromkeys(table["definition"]), key=lambda way: way == "pixel_accuracy")
    at = {(row["variant"], row["definition"]): row["value"] for row in records(table)}
    return {"titles": [DICE_TITLES.get(way, way.replace("_", " ")) for way in ways], "names": ways,
            "rows": [{"variant": variant, "values": [at.get((variant, way)) for way in ways]}
                     for variant in comparison.variants],
            "sentences": _dice_sentences(comparison.findings["dice_names"])}


def _dice_sentences(found: dict[str, Any] | None) -> list[Markup]:
    """About the variant with the highest mean. The table shows all variants."""
    if found is None:
        return []
    sentences = []
    if found["lowest"] is not None and number(found["lowest"]) != number(found["highest"]):
        sentences.append(say("The same predictions of {} score {} to {}, depending on what is called Dice.",
                             name(found["variant"]), number(found["lowest"]), number(found["highest"])))
    if found["pixel_accuracy"] is not None:
        sentences.append(say("Pixel accuracy, {} here, is not Dice: it also counts every pixel that is rightly left "
                             "alone.", number(found["pixel_accuracy"])))
    return sentences


def definitions(comparisons: Iterable[Comparison]) -> list[dict[str, Any]]:
    """The definition of each score that a table shows, once for all its aggregations, in the tables' order.

    `n_of` is what n counts under each aggregation.
    """
    comparisons = list(comparisons)
    scores = [score for comparison in comparisons for score in comparison.summary["scores"]]
    shown = {score["heading"] for score in scores if score["tables"]}
    by_heading = {score["heading"]: score for score in scores}
    n_of: dict[str, dict[str, str]] = {}
    for comparison in comparisons:
        for score in comparison.summary["scores"]:
            n_of.setdefault(score["heading"], {})[_aggregation(comparison, score)] = score["n_of"]
    return [score | {"n_of": _n_of(n_of[heading])} for heading, score in by_heading.items() if heading in shown]


def _n_of(counted: dict[str, str]) -> str:
    """What n counts, in words: "pictures", or "pictures (all pixels), pairs (image mean)"."""
    if len(set(counted.values())) == 1:
        return next(iter(counted.values()))
    return ", ".join(f"{of} ({aggregation})" for aggregation, of in counted.items())


def trainings(comparison: Comparison) -> list[dict[str, Any]]:
    """One row per trained variant, the highest mean first. Each column holds one value per seed."""
    rows = []
    for variant in comparison.variants:
        of = records(comparison.trainings[comparison.trainings["variant"] == variant])
        if of:
            rows.append({"variant": variant, "epochs": int(of[0]["epochs"]), "kept_by": of[0]["kept_by"],
                         "overfit": of[0]["overfit"] and int(of[0]["overfit"]), "learnt": all(r["learnt"] for r in of),
                         "stopped_early": any(row["trained"] < row["epochs"] for row in of),
                         **{name: [row[name] for row in of] for name in (
                             "seed", "trained", "kept", "val_iou", "val_dice", "score_gap", "lowest_val_loss_epoch",
                             "val_loss_rise")}})
    return rows


def snapshots(comparison: Comparison, figures: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """(variant, figure) of each variant that kept masks while it trained, the highest mean first."""
    drawn = comparison.summary["snapshots"]
    return [(variant, figures[drawn[variant]]) for variant in comparison.variants if variant in drawn]


def left_out(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """(split, what, why, how many) of what the raw data hold and the dataset does not."""
    passed = [(name, "picture", "does not pass the dataset's rule", f"{of['pictures'] - of['selected']:,} of "
               f"{of['pictures']:,}") for name, of in sorted(comparison.summary["selection"].items())
              if of["pictures"] > of["selected"]]
    return passed + [(row["split"], row["what"], row["reason"], f"{row['n']:,}")
                     for row in comparison.summary["rejected"]]


def annotations(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """(tally, meaning, count, examples) of the annotations."""
    return [(tally, of["meaning"], f"{of['count']:,}", ", ".join(of["examples"]))
            for tally, of in comparison.summary["annotations"].items()]


def configurations(comparison: Comparison) -> dict[str, Any]:
    """The settings that all trained variants share, and for each variant, by part, the settings in which they differ.

    A variant that is not trained shares little with the others, so all its settings are given.
    """
    configs = comparison.summary["configs"]
    flat = {variant: dict(_flat(configs[variant])) for variant in comparison.variants}
    trained = [config for variant, config in flat.items() if variant not in comparison.summary["seedless"]]
    keys = list(dict.fromkeys(key for config in flat.values() for key in config))
    same = [key for key in (trained[0] if trained else ()) if len({config.get(key) for config in trained}) == 1]
    told = {variant: [(key, config[key]) for key in keys
                      if key in config and (config not in trained or key not in same)]
            for variant, config in flat.items()}
    parts = [part for part in PARTS if any(key.startswith(f"{part}.") for of in told.values() for key, _ in of)]
    rows = [(variant, [[(key.removeprefix(f"{part}."), value) for key, value in of if key.startswith(f"{part}.")]
                       for part in parts]) for variant, of in told.items()]
    return {"same": [(key, trained[0][key]) for key in same], "parts": parts, "rows": rows}


def _flat(config: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", setting(value)


def setting(value: Any) -> str:
    """A setting as params.yaml has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(setting, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
