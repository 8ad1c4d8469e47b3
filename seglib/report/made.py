"""Where the results were made: a table of the ways, and sentences about results that were made in different ways.

`compare` found the differences (`seglib/comparison/provenance.py`); this module puts them into sentences.
"""

from typing import Any

import pandas as pd
from markupsafe import Markup

from seglib.report.tables import Comparison, records
from seglib.report.words import NONE, listed, say, variants_named

WAY = ("device", "gpu", "precision", "threads", "torch", "numpy", "pillow", "seglib")
STEPS = {"training": "trained", "evaluation": "evaluated"}
HOW = {"device": "on different devices", "precision": "in different precisions"}  # else it is a package
SHORT = 8  # digits of a fingerprint that are shown


def differences(comparison: Comparison) -> list[Markup]:
    """One sentence per difference between variants, and per difference between the seeds of variants."""
    found = comparison.findings["made"]
    return [*map(_between_variants, found["variants"]), *map(_between_seeds, found["seeds"])]


def _between_variants(row: dict[str, Any]) -> Markup:
    values = [say("{}: {}", of["value"], variants_named(of["variants"])) for of in row["values"]]
    return say("The variants were {} {} ({}), so a difference between them may come from that.",
               listed(STEPS[step] for step in row["steps"]),
               HOW.get(row["field"], f"with different versions of {row['field']}"), Markup("; ").join(values))


def _between_seeds(row: dict[str, Any]) -> Markup:
    return say("The seeds of {} were made in different ways ({}), so their spread is not that of seeds alone.",
               variants_named(row["variants"]), Markup("; ").join(map(_difference, row["differences"])))


def _difference(row: dict[str, Any]) -> Markup:
    is_code = row["field"] == "fingerprint"
    values = [say("{}: {}", of["value"][:SHORT] if is_code else of["value"], _seeds(of["seeds"]))
              for of in row["values"]]
    return say("{} of {} {}", "code" if is_code else row["field"], listed(row["steps"]), Markup("; ").join(values))


def _seeds(seeds: list[int]) -> Markup:
    return say("seed {}" if len(seeds) == 1 else "seeds {}", listed(seeds))


def ways(comparison: Comparison) -> list[dict[str, Any]]:
    """One row per way: its fields, and the `trainings` and `evaluations` that were made in this way."""
    table = comparison.provenance
    of_step = {step: table[table["step"] == step] for step in STEPS}
    rows = []
    for _, results in table.groupby(list(WAY), sort=False, dropna=False):
        rows.append(records(results[list(WAY)])[0] | {
            f"{step}s": _named(results[results["step"] == step], whole) for step, whole in of_step.items()})
    return rows


def _named(results: pd.DataFrame, whole: pd.DataFrame) -> str:
    """Which results of the whole these are: "all", or the variants, with their seeds if these are not all."""
    if len(results) == len(whole):
        return "all" if len(whole) else NONE
    named = []
    for variant, of in results.groupby("variant", sort=False):
        is_all = len(of) == (whole["variant"] == variant).sum()
        named.append(variant if is_all else f"{variant} ({_seeds(of['seed'].tolist())})")
    return ", ".join(named) or NONE


def fingerprints(comparison: Comparison) -> list[tuple[str, dict[str, list[str]]]]:
    """For each variant the first digits of the fingerprints of its code, by step."""
    table = comparison.provenance.assign(short=comparison.provenance["fingerprint"].str[:SHORT])
    return [(variant, {step: of.loc[of["step"] == step, "short"].unique().tolist() for step in STEPS})
            for variant, of in table.groupby("variant", sort=False)]
