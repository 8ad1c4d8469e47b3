"""The same predictions under other conventions: a table, and sentences about orders that a convention reverses.

`compare` found both (`seglib/comparison/conventions.py`); this module puts them into words.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from seglib.report.tables import Comparison, records
from seglib.report.words import NAMED, count, name, number, say

Row = dict[str, Any]
BETTER, EQUIVALENT, TOO_FEW = "better", "equivalent", "too few seeds"


def conventions(comparison: Comparison) -> dict[str, Any]:
    """One column per score and convention, and one row per variant with the mean and its place in each."""
    told = comparison.summary["conventions"]
    columns = list(dict.fromkeys(comparison.conventions[["score", "convention"]].itertuples(index=False, name=None)))
    at = {(row["variant"], row["score"], row["convention"]): row for row in records(comparison.conventions)}
    groups = [{"title": _heading(comparison, score), "columns": [told[convention]["title"] for _, convention in of]}
              for score, of in ((score, list(of)) for score, of in itertools.groupby(columns, lambda key: key[0]))]
    return {"groups": groups, "sentences": reversals(comparison), "definitions": list(told.values()),
            "rows": [{"variant": variant, "cells": [at[variant, *column] for column in columns]}
                     for variant in comparison.variants]}


def reversals(comparison: Comparison) -> list[Markup]:
    """Sentences about pairs of variants whose means change places; nothing if no pair does.

    A pair is named with its figures if either order is decided, or if there are too few seeds to decide any.
    """
    pairs = [list(of) for _, of in itertools.groupby(
        sorted(records(comparison.reversals), key=lambda row: (row["a"], row["b"])),
        key=lambda row: (row["a"], row["b"]))]
    few = [rows for rows in pairs if rows[0]["headline_verdict"] == TOO_FEW]
    decided = [rows for rows in pairs if BETTER in {rows[0]["headline_verdict"], *(row["verdict"] for row in rows)}]
    open_ = [rows for rows in pairs if rows not in few and rows not in decided]
    sentences = _named(comparison, decided) + _named(comparison, few)
    if few:
        sentences.append(say("With fewer than {} seeds, this is only the order of these trainings' means; another seed "
                             "could change it.", comparison.summary["fewest_seeds"]))
    if open_:
        named = [say("{} and {}", name(rows[0]["a"]), name(rows[0]["b"])) for rows in open_]
        text = ("{} {} places under another convention ({}). Neither IoU over all pixels nor that "
                "convention decides {} order, so this is no contradiction.")
        sentences.append(say(text, count(len(open_), "pair"), "changes" if len(open_) == 1 else "change",
                             _some(named, "pairs"), "its" if len(open_) == 1 else "their"))
    return sentences


def _named(comparison: Comparison, pairs: Sequence[list[Row]]) -> list[Markup]:
    """The sentences about the first of these pairs, and how many more there are."""
    said = [sentence for rows in pairs[:NAMED] for sentence in _pair(comparison, rows)]
    if len(pairs) > NAMED:
        said.append(say("The same is true of {}: see tables/reversals.csv.", count(len(pairs) - NAMED, "other pair")))
    return said


def _pair(comparison: Comparison, rows: Sequence[Row]) -> list[Markup]:
    """The order by the headline score, then who is ahead by which conventions, and whether that is decided."""
    first, a, b = rows[0], name(rows[0]["a"]), name(rows[0]["b"])
    means = say("({} against {})", number(first["headline_a"]), number(first["headline_b"]))
    text = {BETTER: "By IoU over all pixels, {} is better than {} {}.",
            EQUIVALENT: "By IoU over all pixels, {} is equivalent to {} {}.",
            TOO_FEW: "By IoU over all pixels, the mean of {} is above that of {} {}."}
    said = [say(text.get(first["headline_verdict"], "By IoU over all pixels, it is unknown whether {} is better than "
                         "{} {}."), a, b, means)]
    ends = {BETTER: "Under other conventions, {} is better: {}.",
            EQUIVALENT: "Under other conventions, the mean of {} is higher, but the two are equivalent: {}.",
            TOO_FEW: "Under other conventions, the mean of {} is higher: {}."}
    for verdict in sorted({row["verdict"] for row in rows}, key=lambda verdict: verdict != BETTER):
        of = [_figure(comparison, row) for row in rows if row["verdict"] == verdict]
        end = ends.get(verdict, "Under other conventions, the mean of {} is higher, but it is unknown which is better: "
                                "{}.")
        said.append(say(end, b, _some(of, "conventions", ";")))
    return said


def _figure(comparison: Comparison, row: Row) -> Markup:
    title = comparison.summary["conventions"][row["convention"]]["title"]
    return say("{} ({}) {} against {}", _heading(comparison, row["score"]), title, number(row["mean_b"]),
               number(row["mean_a"]))


def _heading(comparison: Comparison, score: str) -> str:
    return comparison.definition(f"{score}_dataset")["heading"]


def _some(parts: Sequence[Markup], noun: str, join: str = ",") -> Markup:
    """The first few, and how many more."""
    more = [say("{} more {}", len(parts) - NAMED, noun)] if len(parts) > NAMED else []
    return Markup(f"{join} ").join([*parts[:NAMED], *more])
