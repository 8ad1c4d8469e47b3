"""The same test predictions under the conventions of other libraries, side by side, and which orders they reverse."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from seglib.comparison.evidence import Evidence, known
from seglib.comparison.variants import Variant, compared
from seglib.metrics import pairwise
from seglib.metrics.conventions import BASES, CONVENTIONS
from seglib.metrics.inference import Blocks
from seglib.metrics.scores import HEADLINE, Ratio

COLUMNS = ["variant", "score", "convention", "mean", "place"]
REVERSAL_COLUMNS = ["a", "b", "headline_a", "headline_b", "headline_verdict", "score", "convention", "mean_a", "mean_b",
                    "low", "high", "verdict"]
ROUNDING = 1e-12  # means that differ by less are equal
SCORES = [(base, name, CONVENTIONS[name].scores[base]) for base in BASES for name in CONVENTIONS
          if base in CONVENTIONS[name].scores]


def convention_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """One row per (variant, score, convention) on test.

    score: one of `metrics.conventions.BASES`. convention: a key of `CONVENTIONS`. mean: over seeds. place: that of the
    mean among the variants, 1 for the highest; equal means share a place. It is an order of means and no rank: no test
    decides it. Baselines, and variants without a score, have no place.
    """
    ranked = [variant.label for variant in compared(variants)]
    rows = []
    for base, name, score in SCORES:
        means = {variant.label: float(_blocks(variant, score).mean) for variant in variants}
        rows += [{"variant": label, "score": base, "convention": name, "mean": mean,
                  "place": _place(mean, [means[other] for other in ranked]) if label in ranked else None}
                 for label, mean in means.items()]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"place": "Int64"})


def reversal_table(evidence: Evidence, pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of variants and convention under which the order of their means is not that of the headline.

    `a` has the higher headline mean, `b` the higher mean by the convention. headline_verdict: that of `pairs`, which
    says whether the first order is decided. mean_a, mean_b, low, high, verdict: by the convention; the interval is of
    b's mean less a's, and "better" means that b is better. p is Holm-corrected over all pairs of the convention.
    """
    of_headline = pairs[pairs["score"] == HEADLINE.name]
    verdicts = {frozenset((row.a, row.b)): row.verdict for row in of_headline.itertuples()}
    variants = compared(evidence.variants)
    headline = {variant.label: float(_blocks(variant, HEADLINE).mean) for variant in variants}
    rows = []
    for base, name, score in SCORES:
        for row in _reversed(variants, headline, score, evidence.margin):
            verdict = verdicts[frozenset((row["a"], row["b"]))]
            rows.append(row | {"headline_verdict": verdict, "score": base, "convention": name})
    return pd.DataFrame(rows, columns=REVERSAL_COLUMNS)


def _reversed(variants: Sequence[Variant], headline: dict[str, float], score: Ratio, margin: float
              ) -> list[dict[str, Any]]:
    """The pairs that one convention reverses. Pairs are tested only if there are any."""
    scored = [variant for variant in variants if np.isfinite(headline[variant.label])]
    blocks = {variant.label: _blocks(variant, score) for variant in scored}
    mean = {label: float(of.mean) for label, of in blocks.items()}
    order = sorted(mean, key=lambda label: -mean[label])
    found = [(b, a) for b, a in itertools.combinations(order, 2)
             if mean[b] - mean[a] > ROUNDING and headline[a] - headline[b] > ROUNDING]
    if not found:
        return []
    tested = {(order[pair.a], order[pair.b]): pair
              for pair in pairwise.compare([blocks[label] for label in order], margin=margin)}
    rows = []
    for b, a in found:
        low, high = known(tested[b, a].difference)
        rows.append({"a": a, "b": b, "headline_a": headline[a], "headline_b": headline[b], "mean_a": mean[a],
                     "mean_b": mean[b], "low": low, "high": high, "verdict": tested[b, a].verdict})
    return rows


def _blocks(variant: Variant, score: Ratio) -> Blocks:
    return score.blocks(variant.cases_S("test"), variant.seeds is not None)


def _place(mean: float, means: Sequence[float]) -> int | None:
    return None if np.isnan(mean) else 1 + sum(other > mean + ROUNDING for other in means)
