"""What the page says about every dataset, as facts: which variant leads, how sure that is, how far Dice scores vary.

`compare` writes the facts to `tables/findings.json`. `seglib/report/answer.py` puts them into sentences.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import pandas as pd

from seglib.comparison.baselines import EQUAL
from seglib.comparison.provenance import made
from seglib.comparison.tables import json_rows
from seglib.metrics.pairwise import EQUIVALENT, UNKNOWN
from seglib.metrics.scores import HEADLINE

Row = dict[str, Any]


def findings(tables: Mapping[str, pd.DataFrame], *, seedless: Container[str],
             floor: Mapping[str, Any] | None) -> dict[str, Any]:
    """The facts under the keys `answer`, `failures`, `dice_names`, `equals_baseline` and `made`, each by a function.

    Args:
        tables: the comparison's tables `ranking`, `pairs`, `seed_scores`, `dice_names`, `baselines` and `provenance`,
            by name.
        seedless: the variants in which nothing is random.
        floor: what a training must exceed, as summary.json has it.
    """
    ranking = tables["ranking"]
    return {"answer": answer(ranking, tables["pairs"], tables["seed_scores"], seedless=seedless),
            "failures": failures(ranking, floor),
            "dice_names": dice_names(tables["dice_names"], ranking["variant"].iloc[0]) if len(ranking) else None,
            "equals_baseline": equals_baseline(tables["baselines"]),
            "made": made(tables["provenance"], compared=ranking["variant"])}


def failures(ranking: pd.DataFrame, floor: Mapping[str, Any] | None) -> Row | None:
    """The variants with failed trainings; None if no training failed.

    Returns:
        score, baseline: the floor. trainings: how many there are. failed: how many of them failed.
        variants: the variants with failed trainings, the highest mean first, with `failed`, `seeds` and `mean`.
    """
    trained, some = ranking[ranking["failed"].notna()], ranking[ranking["failed"] > 0]
    if floor is None or some.empty:
        return None
    return {**floor, "trainings": int(trained["seeds"].sum()), "failed": int(some["failed"].sum()),
            "variants": json_rows(some[["variant", "failed", "seeds", "mean"]])}


def equals_baseline(baselines: pd.DataFrame) -> list[Row]:
    """The variants that predict the masks of baselines on nearly all test pictures, and on which share at least."""
    equal = baselines[baselines["identical"] >= EQUAL]
    return [{"variant": variant, "baselines": rows["baseline"].tolist(), "identical": float(rows["identical"].min())}
            for variant, rows in equal.groupby("variant", sort=False)]


def answer(ranking: pd.DataFrame, pairs: pd.DataFrame, seed_scores: pd.DataFrame, *,
           seedless: Container[str]) -> dict[str, Any]:
    """Which variant has the highest mean test score, and which others it is better than.

    Returns:
        variants: how many variants have a score.
        first: the ranking's first row, with `by_seed`, the score of each seed; None if no variant has a score.
        compared: how many variants with a score have enough seeds.
        lead: the first of these and how far it leads (see `_lead`); None if there are fewer than two.
        too_few_seeds, seeds_of_too_few: the variants with too few seeds, and their different numbers of seeds.
        all_too_few: whether these are all variants that are trained from a seed.
        most_seeds: the highest number of seeds of any variant.
    """
    rows = json_rows(ranking)
    scored = [row for row in rows if row["mean"] is not None]
    compared = [row for row in scored if row["enough_seeds"]]
    too_few = [row for row in rows if not row["enough_seeds"]]
    trained = [row for row in rows if row["variant"] not in seedless]
    return {
        "variants": len(scored),
        "first": scored[0] | {"by_seed": _by_seed(seed_scores, scored[0]["variant"])} if scored else None,
        "compared": len(compared),
        "lead": _lead(compared, pairs) if len(compared) > 1 else None,
        "too_few_seeds": [row["variant"] for row in too_few],
        "seeds_of_too_few": sorted({row["seeds"] for row in too_few}),
        "all_too_few": too_few == trained,
        "most_seeds": max((row["seeds"] for row in rows), default=0),
    }


def _by_seed(seed_scores: pd.DataFrame, variant: str) -> list[float]:
    """The test score of each seed; empty for a variant without seeds."""
    of = seed_scores[(seed_scores["variant"] == variant) & (seed_scores["split"] == "test")]
    return of.loc[of["seed"].notna(), HEADLINE.name].tolist()


def _lead(compared: Sequence[Row], pairs: pd.DataFrame) -> Row:
    """The first row, with `next`, the variant after it, and the variants that it is not better than.

    `equivalent`: the variants to which it is equivalent. `unknown`: those for which this is unknown.
    """
    first, *rivals = [row["variant"] for row in compared]
    verdicts = {frozenset((row["a"], row["b"])): row["verdict"] for row in json_rows(pairs)
                if row["score"] == HEADLINE.name}
    return compared[0] | {"next": rivals[0], **{
        verdict: [rival for rival in rivals if verdicts[frozenset((first, rival))] == verdict]
        for verdict in (EQUIVALENT, UNKNOWN)}}


def dice_names(table: pd.DataFrame, variant: str) -> dict[str, Any]:
    """How far the scores called Dice of one variant lie apart, and its pixel accuracy, which is no Dice score.

    Each value is None if it is not known; `lowest` and `highest` also if there are no two definitions to compare.
    """
    known = table[(table["variant"] == variant) & table["value"].notna()]
    values = dict(zip(known["definition"], known["value"], strict=True))
    accuracy = values.pop("pixel_accuracy", None)
    several = len(values) > 1
    return {"variant": variant, "lowest": min(values.values()) if several else None,
            "highest": max(values.values()) if several else None, "pixel_accuracy": accuracy}


def warnings(found: Mapping[str, Any]) -> list[str]:
    """One line per variant with failed trainings, per variant that equals a baseline, and per fact of `made`.

    Args:
        found: the facts of `findings`.
    """
    failed = _failures(found["failures"]) if found["failures"] else []
    equal = [f"{row['variant']} predicts the same masks as the baseline {' and '.join(row['baselines'])} on "
             f"{int(100 * row['identical'])} % of the test pictures" for row in found["equals_baseline"]]
    return [*failed, *equal, *map(_variants_made_differently, found["made"]["variants"]),
            *map(_seeds_made_differently, found["made"]["seeds"])]


def _failures(found: Row) -> list[str]:
    of = f"that of the best baseline, {found['baseline']}" if found["baseline"] else "compare.failed_below"
    return [f"{row['failed']} of {row['seeds']} seeds of {row['variant']} failed because test IoU is not above "
            f"{found['score']:.3f}, {of}" for row in found["variants"]]


def _variants_made_differently(row: Row) -> str:
    steps = " and ".join({"training": "trained", "evaluation": "evaluated"}[step] for step in row["steps"])
    way = {"device": "on different devices", "precision": "in different precisions"}.get(
        row["field"], f"with different versions of {row['field']}")
    values = "; ".join(f"{of['value']}: {_listed(of['variants'])}" for of in row["values"])
    return f"the variants were {steps} {way} ({values}), so a difference between them may come from that"


def _seeds_made_differently(row: Row) -> str:
    fields = []
    for difference in row["differences"]:
        is_code, steps = difference["field"] == "fingerprint", " and ".join(difference["steps"])
        values = [f"{of['value'][:8] if is_code else of['value']}: seed{'s' if len(of['seeds']) > 1 else ''} "
                  f"{_listed(of['seeds'])}" for of in difference["values"]]
        fields.append(f"{'code' if is_code else difference['field']} of {steps} {'; '.join(values)}")
    return (f"the seeds of {_listed(row['variants'])} were made in different ways ({'; '.join(fields)}), so their "
            "spread is not that of seeds alone")


def _listed(parts: Sequence[Any]) -> str:
    """"a, b and c"."""
    *others, last = map(str, parts)
    return f"{', '.join(others)} and {last}" if others else last


def conclusion(found: Mapping[str, Any], confidence: float) -> str:
    """An `answer` in one line. A variant is called best only if it is better than every other."""
    first = found["first"]
    if first is None:
        return "no test picture holds any class, so no variant has a score"
    failed = f"; {first['failed']} of its {first['seeds']} seeds failed" if first["failed"] else ""
    if not found["too_few_seeds"]:
        lead = found["lead"]
        is_best = lead is not None and not lead[UNKNOWN] and not lead[EQUIVALENT]
        interval = "no interval" if first["low"] is None else (
            f"{confidence:.0%} interval {first['low']:.3f} to {first['high']:.3f}")
        return (f"{'best on test' if is_best else 'highest mean on test'}: {first['variant']}, IoU {first['mean']:.3f} "
                f"({interval}){failed}")
    counts = ", ".join(map(str, found["seeds_of_too_few"]))
    seeds = ", ".join(f"{score:.3f}" for score in first["by_seed"])
    return (f"too few seeds ({counts}) to call a variant best; highest mean test IoU: {first['variant']}, "
            f"{first['mean']:.3f}" + (f" (seeds {seeds})" if seeds else "") + failed)
