"""The answer at the top of the page: which variant is best, by how much, and how sure that is.

`compare` found it (`seglib/comparison/findings.py`); here it is put into sentences.
"""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from seglib.report.tables import Comparison
from seglib.report.words import NAMED, count, listed, name, number, probability, say, signed


def answer(comparison: Comparison) -> list[Markup]:
    """Which variant has the highest mean, whether its lead is settled, and which variants equal a baseline.

    A variant is called best only if its lead over every other is settled. With too few seeds none is called so.
    """
    text = "{} predicts the same masks as the baseline {} on {} % of the test pictures."
    return _leader(comparison) + [
        say(text, name(row["variant"]), listed(map(name, row["baselines"])), int(100 * row["identical"]))
        for row in comparison.findings["equals_baseline"]]


def _leader(comparison: Comparison) -> list[Markup]:
    """One to five sentences about the variant with the highest mean."""
    found = comparison.findings["answer"]
    first, lead = found["first"], found["lead"]
    if first is None:
        return [say("No test picture holds any class of this dataset, so nothing can be ranked.")]
    if found["variants"] == 1:
        return _alone(comparison, found)
    if found["too_few_seeds"]:
        return _too_few_seeds(comparison, found)
    text = "{} has the highest mean test IoU, {}." if lead["open"] else "{} segments best: test IoU {}."
    return [say(text, name(first["variant"]), _score(comparison, first)), *_certainty(comparison, found),
            *_seeds(comparison)]


def _alone(comparison: Comparison, found: dict[str, Any]) -> list[Markup]:
    """About the only variant of a study."""
    first = found["first"]
    sentences = [say("{} reaches test IoU {}.", name(first["variant"]), _score(comparison, first)),
                 say("It is the only variant, so there is nothing but the baselines to compare it with.")]
    if not found["too_few_seeds"]:
        return sentences + _seeds(comparison)
    return [*sentences, say("Too few seeds to say how much it varies: {} (at least {} are needed).",
                            listed(map(number, first["by_seed"]), ","), comparison.summary["fewest_seeds"])]


def _score(comparison: Comparison, row: dict[str, Any]) -> Markup:
    level = round(100 * comparison.summary["confidence"])
    return say("{} ({} % interval {} to {})", number(row["mean"]), level, number(row["low"]), number(row["high"]))


def _too_few_seeds(comparison: Comparison, found: dict[str, Any]) -> list[Markup]:
    """Why no variant is called best, the highest mean with its seeds, and what is known of those with enough seeds."""
    first, lead = found["first"], found["lead"]
    sentences = [_lack(comparison, found)]
    if not first["enough_seeds"]:
        seeds = first["by_seed"]
        shown = say("; its seeds: {}", listed(map(number, seeds), ",")) if len(seeds) > 1 else say(" with one seed")
        sentences.append(say("{} has the highest mean test IoU, {}{}.", name(first["variant"]), number(first["mean"]),
                             shown))
    elif lead is None:
        sentences.append(say("{} has the highest mean test IoU, {}.", name(first["variant"]),
                             _score(comparison, first)))
    if lead is not None:
        sentences.append(say("Of the {} variants with enough seeds, {} has the highest mean test IoU, {}.",
                             found["compared"], name(lead["variant"]), _score(comparison, lead)))
        sentences += _certainty(comparison, found)
    return sentences


def _lack(comparison: Comparison, found: dict[str, Any]) -> Markup:
    """How many seeds there are, or which variants have too few if others have enough."""
    fewest, few = comparison.summary["fewest_seeds"], found["too_few_seeds"]
    text = "Too few seeds to name a best variant: "
    if found["all_too_few"]:
        seeds = from_to(found["seeds_of_too_few"])
        return say(text + "{} {} trained, and at least {} are needed.", seeds, "was" if seeds == "1" else "were",
                   fewest)
    variants = listed(map(name, few)) if len(few) <= NAMED else f"{len(few)} of {found['variants']} variants"
    return say(text + "{} {} fewer than {}.", variants, "has" if len(few) == 1 else "have", fewest)


def from_to(counts: Sequence[int]) -> str:
    """The lowest and the highest of sorted numbers: "1 to 3", or "2" if there is only one."""
    return " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))


def _certainty(comparison: Comparison, found: dict[str, Any]) -> list[Markup]:
    """Whether the lead over the next is settled, and over which others it is not."""
    lead = found["lead"]
    runner_up = lead["next"]
    others = _grouped([rival for rival in lead["open"] if rival != runner_up], found["compared"] - 2)
    pair = comparison.pair(lead["variant"], runner_up)
    ahead = say("{} ({} to {}; Holm p {})", signed(pair["difference"]), signed(pair["low"]), signed(pair["high"]),
                _p(pair["p_holm"]))
    if pair["settled"]:
        settled = say("Its lead over the next, {}, is settled: {}.", name(runner_up), ahead)
        return [settled, say("That over {} is not.", others)] if others else [settled]
    sentences = [say("Its lead over the next, {}, is not settled: {}.", name(runner_up), ahead)]
    if text := to_settle(pair, comparison):
        sentences.append(say("{}", text))
    return [*sentences, say("Nor is its lead over {}.", others)] if others else sentences


def _grouped(rivals: list[str], of: int) -> Markup:
    """The names, or how many there are if there are many."""
    if len(rivals) > NAMED:
        if len(rivals) == of:
            return say("any of the other {} variants", of)
        return say("{} and {} others", listed(map(name, rivals[:2]), ","), len(rivals) - 2)
    return listed(map(name, rivals), "or")


def _p(value: float | None) -> str:
    text = probability(value)
    return text if text.startswith("<") else f"= {text}"


def to_settle(pair: dict[str, Any], comparison: Comparison) -> str:
    """How many pictures (or groups of them) or seeds would settle a pair; "" if it is settled or nothing is known."""
    if not pair["enough_seeds"]:
        return f"At least {comparison.summary['fewest_seeds']} seeds are needed."
    units = comparison.summary.get("units", {}).get("test")  # of groups, if pictures come in groups
    unit, units = ("test picture", comparison.summary["counts"]["test"]) if units is None else ("test group", units)
    needed = {unit: pair["images_needed"], "seed": pair["seeds_needed"]}
    there = {unit: units, "seed": len(comparison.summary["seeds"])}
    many = f"{unit.removeprefix('test ')}s"
    if pair["settled"] or all(n is None for n in needed.values()):
        return ""
    more = [count(int(n), noun) for noun, n in needed.items() if n is not None and n > there[noun]]
    if not more:
        if any(n is not None and n > 0 for n in needed.values()):
            return (f"Alone, this comparison would likely be settled with these {many} and seeds; among so many it "
                    "is not.")
        if pair["seeds_needed"] is None:
            return f"More {many} alone would not settle it."
        return f"Neither more {many} nor more seeds alone would settle it."
    never = [noun for noun, n in needed.items() if n == -1]
    alone = f"; more {many if unit in never else 'seeds'} alone would not" if never else ""
    return f"About {' or '.join(more)} would settle it{alone}."


def _seeds(comparison: Comparison) -> list[Markup]:
    """What the number of seeds means for the interval; nothing if there are more than 3."""
    if not comparison.summary["seeds"]:
        return [say("Nothing here was trained, so there are no seeds to vary.")]
    n = comparison.findings["answer"]["most_seeds"]
    if n == 1:
        return [say("Only one seed was trained, and another could change this order.")]
    if n <= 3:
        return [say("With {} seeds, the part of the interval that comes from seeds is itself poorly known.", n)]
    return []
