"""Sentences about the losses of a comparison: what classes that a picture lacks mean for them."""

import itertools
from typing import Any

from markupsafe import Markup

from seglib.report.tables import Comparison
from seglib.report.words import brief, listed, say, variants_named


def absent_classes(comparison: Comparison) -> list[Markup]:
    """The cost of such a class, and the val loss that is out of reach. Nothing if no loss or picture has one."""
    found = comparison.summary["absent"]
    variants: dict[str, dict[str, Any]] = {
        label: found["variants"][label] for label in comparison.variants if label in found["variants"]}
    if not variants or not found["lacking"]:
        return []
    costs = {term: cost for of in variants.values() for term, cost in of["costs"].items()}
    sentences = [say("A class that a picture lacks costs {} there, whatever is predicted, and gives no gradient.",
                     listed(f"{cost:g} in {term}" for term, cost in costs.items()))]
    if floors := _floors(variants):
        share = 100 * found["lacking"] / found["pairs"]
        sentences.append(say("In {:.0f} % of the pairs of a val picture and a class ({:,} of {:,}), the picture lacks "
                             "the class. So the val loss cannot fall below {}.",
                             share, found["lacking"], found["pairs"], Markup("; ").join(floors)))
    if untaught := [label for label, of in variants.items() if not of["teaches"]]:
        sentences.append(say("No term of the loss of {} teaches the network to leave a class out of a picture.",
                             variants_named(untaught)))
    return sentences


def _floors(variants: dict[str, dict[str, Any]]) -> list[Markup]:
    """"0.7 with a and b", the lowest first."""
    rows = sorted((of["floor"], place, label) for place, (label, of) in enumerate(variants.items()) if of["floor"])
    return [say("{} with {}", brief(floor), variants_named([label for *_, label in same]))
            for floor, same in itertools.groupby(rows, key=lambda row: row[0])]
