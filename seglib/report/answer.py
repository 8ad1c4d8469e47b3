"""The answer at the top of the page: which variant is best, by how much, and how sure that is."""

from typing import Any

from markupsafe import Markup

from seglib.report.tables import Comparison, records
from seglib.report.words import count, listed, name, number, probability, say, signed

NAMED = 4  # this many variants are named one by one; more are counted


def answer(comparison: Comparison) -> list[Markup]:
    """One to five sentences: which variant has the highest mean, and whether its lead is settled.

    A variant is called best only if its lead over every other is settled. With too few seeds none is called so.
    """
    ranked = records(comparison.ranking.dropna(subset="mean"))
    if not ranked:
        return [say("No class of this dataset stands in a test picture, so nothing can be ranked.")]
    first = ranked[0]
    if len(ranked) == 1:
        return _alone(comparison, first)
    if not all(row["enough_seeds"] for row in ranked):
        return _too_few_seeds(comparison, ranked)
    rivals = _rivals(comparison, ranked)
    text = "{} has the highest mean test IoU, {}." if _open(rivals) else "{} segments best: test IoU {}."
    return [say(text, name(first["variant"]), _score(comparison, first)), *_certainty(comparison, rivals),
            *_seeds(comparison)]


def _alone(comparison: Comparison, row: dict[str, Any]) -> list[Markup]:
    """About the only variant of a study."""
    sentences = [say("{} reaches test IoU {}.", name(row["variant"]), _score(comparison, row)),
                 say("It is the only variant, so there is nothing to compare it with.")]
    if row["enough_seeds"]:
        return sentences + _seeds(comparison)
    seeds = comparison.by_seed(row["variant"])
    return [*sentences, say("Too few seeds to say how much it varies: {} (at least {} are needed).",
                            listed(map(number, seeds), ","), comparison.summary["fewest_seeds"])]


def _score(comparison: Comparison, row: dict[str, Any]) -> Markup:
    level = round(100 * comparison.summary["confidence"])
    return say("{} ({} % interval {} to {})", number(row["mean"]), level, number(row["low"]), number(row["high"]))


def _too_few_seeds(comparison: Comparison, ranked: list[dict[str, Any]]) -> list[Markup]:
    """Why no variant is called best, the highest mean with its seeds, and what is known of those with enough seeds."""
    first = ranked[0]
    compared = [row for row in ranked if row["enough_seeds"]]
    sentences = [_lack(comparison, ranked)]
    if not first["enough_seeds"]:
        seeds = comparison.by_seed(first["variant"])
        shown = say("; its seeds: {}", listed(map(number, seeds), ",")) if len(seeds) > 1 else say(" with one seed")
        sentences.append(say("{} has the highest mean test IoU, {}{}.", name(first["variant"]), number(first["mean"]),
                             shown))
    elif len(compared) == 1:
        sentences.append(say("{} has the highest mean test IoU, {}.", name(first["variant"]),
                             _score(comparison, first)))
    if len(compared) > 1:
        sentences.append(say("Of the {} variants with enough seeds, {} has the highest mean test IoU, {}.",
                             len(compared), name(compared[0]["variant"]), _score(comparison, compared[0])))
        sentences += _certainty(comparison, _rivals(comparison, compared))
    return sentences


def _lack(comparison: Comparison, ranked: list[dict[str, Any]]) -> Markup:
    """How many seeds there are, or which variants have too few if others have enough."""
    fewest = comparison.summary["fewest_seeds"]
    few = [row["variant"] for row in ranked if not row["enough_seeds"]]
    trained = [row["variant"] for row in ranked if row["variant"] not in comparison.summary["seedless"]]
    text = "Too few seeds to name a best variant: "
    if few == trained:
        seeds = comparison.seeds_of(few)
        were = "was" if seeds == "1" else "were"
        return say(text + "{} {} trained, and at least {} are needed.", seeds, were, fewest)
    variants = listed(map(name, few)) if len(few) <= NAMED else f"{len(few)} of {len(ranked)} variants"
    return say(text + "{} {} fewer than {}.", variants, "has" if len(few) == 1 else "have", fewest)


def _rivals(comparison: Comparison, ranked: list[dict[str, Any]]) -> dict[str, dict[str, Any] | None]:
    """The differences between the first variant and each other."""
    return {row["variant"]: comparison.pair(ranked[0]["variant"], row["variant"]) for row in ranked[1:]}


def _open(rivals: dict[str, dict[str, Any] | None]) -> list[str]:
    """The variants over which the lead is not settled."""
    return [rival for rival, pair in rivals.items() if pair is None or not pair["settled"]]


def _certainty(comparison: Comparison, rivals: dict[str, dict[str, Any] | None]) -> list[Markup]:
    """Whether the lead over the next is settled, and over whom else it is not."""
    runner_up, pair = next(iter(rivals.items()))
    others = _grouped([rival for rival in _open(rivals) if rival != runner_up], len(rivals) - 1)
    if pair is None:
        return [say("It was not compared with {}.", name(runner_up))]
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
    """Names, or how many there are where they are many."""
    if len(rivals) > NAMED:
        if len(rivals) == of:
            return say("any of the other {} variants", of)
        return say("{} and {} others", listed(map(name, rivals[:2]), ","), len(rivals) - 2)
    return listed(map(name, rivals), "or")


def _p(value: float | None) -> str:
    text = probability(value)
    return text if text.startswith("<") else f"= {text}"


def to_settle(pair: dict[str, Any], comparison: Comparison) -> str:
    """How many pictures or seeds would settle a pair; "" if it is settled or nothing is known."""
    if not pair["enough_seeds"]:
        return f"At least {comparison.summary['fewest_seeds']} seeds are needed."
    needed = {"test picture": pair["images_needed"], "seed": pair["seeds_needed"]}
    there = {"test picture": comparison.summary["counts"]["test"], "seed": len(comparison.summary["seeds"])}
    if pair["settled"] or all(n is None for n in needed.values()):
        return ""
    more = [count(int(n), noun) for noun, n in needed.items() if n is not None and n > there[noun]]
    if not more:
        if any(n is not None and n > 0 for n in needed.values()):
            return "One such comparison would likely be settled with what is there; among so many it is not."
        if pair["seeds_needed"] is None:
            return "More pictures alone would not settle it."
        return "Neither more pictures nor more seeds alone would settle it."
    never = [noun for noun, n in needed.items() if n == -1]
    alone = f"; more {'pictures' if 'test picture' in never else 'seeds'} alone would not" if never else ""
    return f"About {' or '.join(more)} would settle it{alone}."


def _seeds(comparison: Comparison) -> list[Markup]:
    if not comparison.summary["seeds"]:
        return [say("Nothing here was trained, so there are no seeds to vary.")]
    n = int(comparison.scores["seeds"].max())
    if n == 1:
        return [say("One seed was trained: seeds were not varied, so another could change this order.")]
    if n <= 3:
        return [say("With {} seeds the part of the interval that comes from seeds is itself poorly known.", n)]
    return []
