"""The section of the page that answers the coursework's questions, in sentences.

Every figure in them comes from `tables/coursework.json` (`seglib/comparison/coursework.py`). If the study did not run
what a question needs, the sentence says so.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from seglib.report.tables import Comparison
from seglib.report.views import column
from seglib.report.words import NAMED, brief, count, listed, name, number, say, with_interval

WINDOWS = {"first": "at first", "median": "in the middle", "last": "at the end"}
VARIED = {"losses": "losses on one model", "models": "models with one loss"}
GROUPS = {"size": "{} objects", "overlap": "{} objects", "objects": "pictures whose number of objects is {}"}
FINAL_LOSSES = {"loss": "the raw loss", "normalised": "the min-max normalised loss"}
# What a score is about.
SEEN = {"hole_share": "holes", "specks": "specks", "completeness": "completeness", "wrong_class": "wrong classes",
        "missed_small": "missed small objects", "missed_covered": "missed covered objects",
        "boundary_iou_dataset": "boundary IoU"}
Facts = dict[str, Any]


def coursework(comparison: Comparison) -> dict[str, Any] | None:
    """What the template `coursework.html` prints; None if the coursework did not study this dataset."""
    facts = comparison.coursework
    if facts is None:
        return None
    scale = facts["dice_scale"]
    return {"dice_scale": dice_scale(scale) if scale else [], "gradients": scale["gradients"] if scale else [],
            "windows": WINDOWS, "displayed": displayed(comparison), "variation": variation(facts["variation"]),
            "seen": seen(facts["seen"]), "falling_loss": falling_loss(facts["falling_loss"])}


def displayed(comparison: Comparison) -> dict[str, Any] | None:
    """The score of DLStudio's display bands, one row per split and variant; None if no variant has it."""
    definition = comparison.definition("displayed")
    cells = column(comparison, definition)
    if not any(cell["score"] and cell["score"]["mean"] is not None for cell in cells.values()):
        return None
    return definition | {"rows": [{"variant": variant, "split": split, "cell": cells[variant, split]}
                                  for split in ("test", "val") for variant in comparison.variants]}


# Should Dice be scaled, by how much, and why?

def dice_scale(facts: Facts) -> list[Markup]:
    sentences = _gradients(facts["equal"])
    sweeps = facts["sweeps"]
    if not sweeps:
        ran = f" (it ran k = {listed(map(brief, facts['ran']))})" if facts["ran"] else ""
        sentences.append(say("This study did not run MSE + k·Dice with more than one k on any model{}, so it does not "
                             "say which k is best.", ran))
    for sweep in sweeps:
        others = [other["settings"] for other in sweeps if other["model"] == sweep["model"]]
        told = [f"{key}: {value}" for key, value in sweep["settings"].items()
                if any(other.get(key) != value for other in others)]
        sentences.append(_sweep(sweep, f" ({', '.join(told)})" if told else ""))
    return sentences


def _gradients(scales: Sequence[Facts]) -> list[Markup]:
    """One sentence per scale of targets, because the scale decides what k means."""
    if not scales:
        return [say("This study did not train MSE and Dice together, so there are no gradients of both to compare.")]
    sentences = [say("Scaling Dice matters through the gradients: a term steers the training in proportion to the "
                     "length of its gradient times its weight.")]
    for scale in scales:
        of = f" of networks with targets: {scale['targets']}" if len(scales) > 1 else ""
        sentences.append(_equal_gradients(scale, of))
    return sentences


def _equal_gradients(scale: Facts, of: str) -> Markup:
    parts = []
    for window, when in WINDOWS.items():
        if scale["ranges"][window] is not None:
            low, high = map(brief, scale["ranges"][window])
            parts.append(f"{low} {when}" if low == high else f"{low} to {high} {when}")
    text = say("On the output layer{}, the gradients of both terms would be equally long at k = {}.", of, listed(parts))
    led = [say("{} in {}", term, _named(variants, scale["variants"])) for term, variants in scale["led"].items()
           if variants]
    if led:
        text += say(" The stronger term throughout, by more than a factor of 2, was {}.", listed(led))
    return text


def _named(variants: Sequence[str], of: int) -> Markup | str:
    return listed(map(name, variants)) if len(variants) <= NAMED else f"{len(variants)} of {of} variants"


def _k(point: Facts) -> str:
    return {None: "Dice alone", 0: "MSE alone"}.get(point["k"], f"k = {brief(point['k'])}")


def _sweep(sweep: Facts, settings: str) -> Markup:
    """settings: in what the sweep differs from the model's other sweeps; "" if there is no other."""
    text = say("{}{}, test IoU: {}.", name(sweep["model"]), settings,
               listed(f"{_k(point)}: {with_interval(point)}" for point in sweep["points"]))
    text += say(" {} has the highest mean of the mixtures.", _k(sweep["highest"]))
    against = sweep["against"]
    if decided := [f"{row['verdict']} than {_k(row)}" for row in against if row["verdict"] in ("better", "worse")]:
        text += say(" It is {}.", listed(decided))
    if equivalent := [_k(row) for row in against if row["verdict"] == "equivalent"]:
        text += say(" It is equivalent to {}.", listed(equivalent))
    if unknown := [_k(row) for row in against if row["verdict"] == "unknown"]:
        text += say(" Whether it is better than {} is unknown.", listed(unknown, "or"))
    if too_few := [_k(row) for row in against if row["verdict"] == "too few seeds"]:
        text += say(" Too few seeds to compare it with {}.", listed(too_few, "or"))
    return text


# What explains the variations?

def variation(facts: Facts | None) -> list[Markup]:
    if facts is None:
        return [say("Nothing could be ranked, so there is no variation to explain.")]
    spread, seeds = facts["spread"], facts["spread"]["seeds"]
    parts = [say("{} between {}", number(spread[what]), text) for what, text in VARIED.items()
             if spread[what] is not None]
    if seeds is not None:
        parts.append(say("{} between seeds of one variant", number(seeds)))
    sentences = []
    if parts:
        sentences.append(say("The standard deviation of test IoU is {}.", listed(parts)))
    sentences += [_beyond_seeds(left, VARIED[what]) for what, left in facts["beyond_seeds"].items()
                  if left is not None and not (left["decided"] and left["sd"] == 0)]
    if missing := [text for what, text in VARIED.items() if spread[what] is None]:
        sentences.append(say("This study did not run several {}, so their share is not known.",
                             listed(missing, "or")))
    if seeds is None:
        sentences.append(say("Seeds were not varied, so their share is not known."))
    elif facts["seeds"] <= 3:
        sentences.append(say("A standard deviation from {} is itself rough.", count(facts["seeds"], "seed")))
    if facts["groups"]:
        sentences.append(say("Pictures differ too. The completeness of {} is {}.", name(facts["variant"]),
                             listed(map(_extremes, facts["groups"]))))
    return sentences


def _beyond_seeds(left: Facts, what: str) -> Markup:
    if left["decided"]:
        return say("Without the variation between seeds, the standard deviation between {} is {}.", what,
                   number(left["sd"]))
    if left["sd"] == 0:
        return say("Seeds alone would explain the spread between {}.", what)
    return say("It is unknown whether the spread between {} is larger than seeds alone would give.", what)


def _extremes(group: Facts) -> Markup:
    highest, lowest = group["highest"], group["lowest"]
    text = GROUPS.get(group["by"], "{}")
    return say("{} in {} against {} in {}", number(highest["mean"]), say(text, highest["group"]),
               number(lowest["mean"]), say(text, lowest["group"]))


# What do the pictures show for each variant?

def seen(groups: Sequence[Facts]) -> list[Markup]:
    """Sentences about each group: one per pair that is decided, and one for each other verdict."""
    if not groups:
        return [say("This study did not run two losses on one model, nor two models with one loss, so there is nothing "
                    "to tell apart.")]
    return [sentence for group in groups for sentence in _seen_in(group)]


def _seen_in(group: Facts) -> Iterable[Markup]:
    who = say("losses on {}" if group["others"] == "losses" else "models with {}", name(group["fixed"]))
    if too_few := group["too_few_seeds"]:
        whose = say(" of {}", listed(map(name, too_few))) if len(too_few) < len(group["variants"]) else ""
        yield say("The {} are not compared because there are too few seeds{}.", who, whose)
    if left_out := group["left_out"]:
        yield say("Seeds of {} failed, so it is not compared on {}: a mask of nothing or of everything can win these."
                  if len(left_out) == 1 else
                  "Seeds of {} failed, so they are not compared on {}: a mask of nothing or of everything can win "
                  "these.",
                  listed(map(name, left_out)), listed((SEEN[score] for score in group["left_out_of"]), "or"))
    marks: dict[tuple[str, str], list[str]] = {}
    for row in group["better"]:
        better, worse = row["better"], row["worse"]
        marks.setdefault((better["variant"], worse["variant"]), []).append(
            f"{SEEN[row['score']]} ({number(better['mean'])} against {number(worse['mean'])})")
    for (better, worse), scores in marks.items():
        yield say("{} is better than {} on {}.", name(better), name(worse), listed(scores))
    if group["equivalent"]:
        yield say("The {} are equivalent on {}.", who, listed(SEEN[score] for score in group["equivalent"]))
    if group["unknown"]:
        yield say("It is unknown whether the {} differ on {}.", who,
                  listed((SEEN[score] for score in group["unknown"]), "or"))


# Why can a falling loss and a good picture disagree?

def falling_loss(facts: Facts) -> list[Markup]:
    sentences = [say("Losses of different kinds have different scales and zero points, so a lower curve is not a "
                     "better picture.")]
    if facts["decided"]:
        sentences += [_disagreement(facts["disagreement"][loss], text) for loss, text in FINAL_LOSSES.items()]
    elif facts["too_few"]:
        sentences.append(say("There are too few seeds to decide whether a variant with a lower final loss has a lower "
                             "score."))
    elif facts["pairs"]:
        sentences.append(say("No trained variant is known to be better than another, so final losses cannot be "
                             "compared with scores."))
    if facts["steps"]:
        both = facts["steps_with_falling_iou"]
        sentences.append(say("Within one training, of {} from an epoch to the next in which the val loss fell, the val "
                             "IoU fell too in {}.", count(facts["steps"], "step"), f"{both:,}" if both else "none"))
    return sentences


def _disagreement(found: Facts | None, loss: str) -> Markup:
    if found is None:
        return say("No pair is known in which the better variant ends with a higher value of {}.", loss)
    better, worse = found["better"], found["worse"]
    return say("By {}, {} ends lower than {} ({} against {}, means over seeds), but {} is better: test IoU {} against "
               "{}.", loss, name(worse["variant"]), name(better["variant"]), brief(worse["loss"]),
               brief(better["loss"]), name(better["variant"]), number(better["score"]), number(worse["score"]))
