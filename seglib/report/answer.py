"""The answer at the top of the page: which variant is best, by how much, and how sure that is.

`compare` found it (`seglib/comparison/findings.py`); here it is put into sentences.
"""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from seglib.report.tables import Comparison
from seglib.report.words import NAMED, brief, count, listed, name, number, probability, say, signed

HELP = ("Verdicts need at least {} seeds of each variant: add them in params.yaml and run again. "
        "Existing trainings are not repeated.")


def answer(comparison: Comparison) -> list[Markup]:
    """Which variant has the highest mean, which others it is better than, which seeds failed, what equals a baseline.

    A variant is called best only if it is better than every other. With too few seeds, no variant is called best.
    """
    text = "{} predicts the same masks as the baseline {} on {} % of the test pictures."
    return _leader(comparison) + failures(comparison) + [
        say(text, name(row["variant"]), listed(map(name, row["baselines"])), int(100 * row["identical"]))
        for row in comparison.findings["equals_baseline"]]


def _leader(comparison: Comparison) -> list[Markup]:
    """A few sentences about the variant with the highest mean."""
    found = comparison.findings["answer"]
    first, lead = found["first"], found["lead"]
    if first is None:
        return [say("No test picture holds any class of this dataset, so nothing can be ranked.")]
    if found["variants"] == 1:
        return _alone(comparison, found)
    if found["too_few_seeds"]:
        return _too_few_seeds(comparison, found)
    is_best = not lead["unknown"] and not lead["equivalent"]
    text = "{0} segments best{1}: test IoU {2}." if is_best else "{0} has the highest mean test IoU, {2}."
    return [say(text, name(first["variant"]), _though(first), _score(comparison, first)),
            *_certainty(comparison, found), *_seeds(comparison)]


def _though(row: dict[str, Any]) -> str:
    """A clause about the variant's failed seeds; "" if none failed."""
    if not row["failed"]:
        return ""
    return f", though {row['failed']} of its {count(row['seeds'], 'seed')} failed"


def failures(comparison: Comparison) -> list[Markup]:
    """Sentences about failed seeds and the floor that decided it; nothing if none failed."""
    found = comparison.findings["failures"]
    if found is None:
        return []
    best = say(", that of the best baseline, {}", name(found["baseline"])) if found["baseline"] else \
        " (compare.failed_below)"
    floor = say("test IoU is not above {}{}", brief(found["score"]), best)
    if len(found["variants"]) > NAMED:
        return [say("{} of {} trainings failed: their {}. They belong to {} variants; see the table of scores. A "
                    "mean that combines failed and successful trainings describes neither.", found["failed"],
                    found["trainings"], floor, len(found["variants"]))]
    return [_failures_of(row, floor) for row in found["variants"]]


def _failures_of(row: dict[str, Any], floor: Markup) -> Markup:
    if row["failed"] == row["seeds"]:
        which = "The only seed" if row["seeds"] == 1 else f"All {row['seeds']} seeds"
        return say("{} of {} failed: {} {}.", which, name(row["variant"]), "its" if row["seeds"] == 1 else "their",
                   floor)
    return say("{} of {} of {} failed: {} {}. The mean of {} combines failed and successful trainings: look at each "
               "seed.",
               row["failed"], count(row["seeds"], "seed"), name(row["variant"]),
               "its" if row["failed"] == 1 else "their", floor, number(row["mean"]))


def _alone(comparison: Comparison, found: dict[str, Any]) -> list[Markup]:
    """About the only variant of a study."""
    first = found["first"]
    sentences = [say("{} reaches test IoU {}.", name(first["variant"]), _score(comparison, first)),
                 say("It is the only variant, so there is nothing but the baselines to compare it with.")]
    if not found["too_few_seeds"]:
        return sentences + _seeds(comparison)
    by_seed = listed(map(number, first["by_seed"]), ",")
    return [*sentences, say("There are too few seeds to say how much it varies: {}.", by_seed),
            say(HELP, comparison.summary["fewest_seeds"])]


def _score(comparison: Comparison, row: dict[str, Any]) -> Markup:
    """The mean with its interval, and what that is about."""
    level = round(100 * comparison.summary["confidence"])
    if row["low"] is None:
        return say("{} (no interval)", number(row["mean"]))
    return say("{} ({} % interval {} to {} for {})",
               number(row["mean"]), level, number(row["low"]), number(row["high"]), row["interval_of"])


def _too_few_seeds(comparison: Comparison, found: dict[str, Any]) -> list[Markup]:
    """Why no variant is called best, the highest mean with its seeds, and what is known of those with enough seeds."""
    first, lead = found["first"], found["lead"]
    sentences = [_lack(comparison, found)]
    if not first["enough_seeds"]:
        seeds = first["by_seed"]
        shown = say(" (seeds: {})", listed(map(number, seeds), ",")) if len(seeds) > 1 else say(" with one seed")
        sentences.append(say("{} has the highest mean test IoU, {}{}.", name(first["variant"]), number(first["mean"]),
                             shown))
    elif lead is None:
        sentences.append(say("{} has the highest mean test IoU, {}.", name(first["variant"]),
                             _score(comparison, first)))
    if lead is not None:
        sentences.append(say("{} has the highest mean of the {} variants with enough seeds: test IoU {}.",
                             name(lead["variant"]), found["compared"], _score(comparison, lead)))
        sentences += _certainty(comparison, found)
    return [*sentences, say(HELP, comparison.summary["fewest_seeds"])]


def _lack(comparison: Comparison, found: dict[str, Any]) -> Markup:
    """How many seeds there are, or which variants have too few if others have enough."""
    fewest, few = comparison.summary["fewest_seeds"], found["too_few_seeds"]
    text = "There are too few seeds to name a best variant: "
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
    """How the variant that leads compares with the next one, and with the others that it is not better than."""
    lead = found["lead"]
    runner_up = lead["next"]
    pair = comparison.pair(lead["variant"], runner_up)
    difference = say("{} ({} to {})", *(signed(pair[key]) for key in ("difference", "low", "high")))
    if pair["verdict"] == "better":
        sentences = [say("It is better than the next, {}: {}; Holm p {}.", name(runner_up), difference,
                         _p(pair["p_holm"]))]
    elif pair["verdict"] == "equivalent":
        sentences = [say("The next, {}, is equivalent to it: they differ by less than {}; {}.", name(runner_up),
                         comparison.summary["margin"], difference)]
    else:
        sentences = [say("Whether it is better than the next, {}, is unknown: {}.", name(runner_up), difference)]
        if text := would_show(pair, comparison):
            sentences.append(say("{}", text))
    for verdict, text, join, each in (("equivalent", "It is equivalent to {}.", "and", "each"),
                                      ("unknown", "Whether it is better than {} is unknown.", "or", "any")):
        if others := [rival for rival in lead[verdict] if rival != runner_up]:
            sentences.append(say(text, _grouped(others, found["compared"] - 2, join, each)))
    return sentences


def _grouped(rivals: list[str], of: int, join: str, each: str) -> Markup:
    """The names, joined by a word, or how many there are if there are many."""
    if len(rivals) > NAMED:
        if len(rivals) == of:
            return say("{} of the other {} variants", each, of)
        return say("{} and {} others", listed(map(name, rivals[:2]), ","), len(rivals) - 2)
    return listed(map(name, rivals), join)


def _p(value: float | None) -> str:
    text = probability(value)
    return text if text.startswith("<") else f"= {text}"


def would_show(pair: dict[str, Any], comparison: Comparison) -> str:
    """How many seeds, or pictures (or groups), would show a difference of the margin; "" if the pair is decided."""
    if pair["verdict"] == "too few seeds":
        return f"At least {comparison.summary['fewest_seeds']} seeds are needed."
    if pair["verdict"] != "unknown" or pair["seeds_low"] is pair["units_low"] is None:
        return ""
    unit = "test group" if comparison.summary.get("units") else "test picture"
    needed = [_needed(pair["seeds_low"], pair["seeds_high"], "seed"),
              _needed(pair["units_low"], pair["units_high"], unit)]
    return (f"Detecting a difference of {comparison.summary['margin']} in 4 of 5 studies takes "
            f"{' or '.join(filter(None, needed))}.")


def _needed(low: float | None, high: float | None, noun: str) -> str:
    """"5 to 40 seeds"; "" if no number is enough."""
    if low is None:
        return ""
    if high is None:
        return f"at least {count(int(low), noun)}"
    return count(int(low), noun) if low == high else f"{int(low):,} to {count(int(high), noun)}"


def _seeds(comparison: Comparison) -> list[Markup]:
    """What the number of seeds means for the interval; nothing if there are more than 3."""
    if not comparison.summary["seeds"]:
        return [say("Nothing here was trained, so there are no seeds to vary.")]
    n = comparison.findings["answer"]["most_seeds"]
    if n <= 3:
        return [say("With {} seeds, the part of the interval that comes from seeds is itself poorly known.", n)]
    return []
