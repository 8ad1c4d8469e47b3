"""The answer at the top of the page: who is best, by how much, and how sure that is. From ranking.csv and pairs.csv."""

from typing import Any

from markupsafe import Markup

from seglib.report.tables import Comparison, records
from seglib.report.words import count, listed, name, number, probability, say, signed

NAMED = 4  # tied variants named one by one; beyond that they are counted


def answer(comparison: Comparison) -> list[Markup]:
    """One to four sentences; the first names the best, the second says whether that is settled."""
    ranked = records(comparison.ranking.dropna(subset="mean"))
    if not ranked:
        return [say("No class of this dataset stands in a test picture, so nothing can be ranked.")]
    best = ranked[0]
    level = round(100 * comparison.summary["confidence"])
    score = say("{} ({} % interval {} to {})", number(best["mean"]), level, number(best["low"]), number(best["high"]))
    if len(ranked) == 1:
        return [say("{} reaches test IoU {}.", name(best["variant"]), score),
                say("It is the only variant, so there is nothing to compare it with."), *_seeds(comparison)]
    rivals = {row["variant"]: comparison.pair(best["variant"], row["variant"]) for row in ranked[1:]}
    open_ = [rival for rival, pair in rivals.items() if pair is None or not pair["settled"]]
    text = "{} has the highest mean test IoU, {}." if open_ else "{} segments best: test IoU {}."
    return [say(text, name(best["variant"]), score), *_certainty(comparison, rivals, open_), *_seeds(comparison)]


def _certainty(comparison: Comparison, rivals: dict[str, dict[str, Any] | None], open_: list[str]) -> list[Markup]:
    """Whether the lead over the next is settled, and over whom else it is not."""
    runner_up, pair = next(iter(rivals.items()))
    others = _grouped([rival for rival in open_ if rival != runner_up], len(rivals) - 1)
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
    """How many pictures or seeds would settle an open pair; "" where it is settled or nothing is known."""
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
