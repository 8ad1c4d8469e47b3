"""Where the results of the variants were made, and which results that are compared were made in different ways."""

import itertools
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from seglib.comparison.variants import Variant
from seglib.files import canonical_json, read_json
from seglib.pipeline.provenance import PACKAGES, Provenance
from seglib.pipeline.workspace import ResultFiles, TrainingFiles

Row = dict[str, Any]
STEPS = ("training", "evaluation")

# The way a result was made, where "device" is the name of the GPU or "cpu". Threads are no part of it: they change
# rounding alone. Nor is the code, which differs between models; between the seeds of one variant it may not differ.
WAY = ("device", "precision", *PACKAGES)


def provenance_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """One row per result and step: its provenance. A predictor that no loss trains has an evaluation alone.

    `result` is the name of the training or of the predictor. Raises ValueError if a provenance file cannot be read.
    """
    rows = []
    for variant in variants:
        for result in variant.results:
            rows += [{"result": result.files.name, "variant": variant.label, "seed": result.seed, "step": step,
                      **_read(path).content()} for step, path in _paths(result.files).items()]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def _paths(files: ResultFiles) -> dict[str, Path]:
    """The provenance files of a result, by step."""
    evaluation = {"evaluation": files.evaluation_provenance}
    return {"training": files.provenance} | evaluation if isinstance(files, TrainingFiles) else evaluation


def _read(path: Path) -> Provenance:
    try:
        return Provenance.of(read_json(path))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it anew") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}; `dvc repro --force` makes all results anew") from None


def made(table: pd.DataFrame, *, compared: Collection[str]) -> dict[str, Any]:
    """Which results that are compared were made in different ways, by the table of provenance.

    A difference is a row {field, steps, values}: a field of `WAY`, the steps in which it differs, and its values.

    Args:
        compared: the variants that are compared with each other.

    Returns:
        variants: the differences between variants. Each of `values` is {value, variants}. Variants with the same share
            of each value do not differ; for example, each has one of three seeds from a GPU.
        seeds: the differences between the seeds of one variant, as {variants, differences}; variants with the same
            differences are one row. Each of `values` is {value, seeds}. The field may also be "fingerprint".
    """
    table = table[table["variant"].isin(compared)]
    table = table.assign(device=table["gpu"].where(table["gpu"].notna(), table["device"]))
    trained = table[table["seed"].notna()]
    alike: dict[str, Row] = {}
    for variant, rows in trained.groupby("variant", sort=False):
        differences = _joined((field, step, _between_seeds(rows[rows["step"] == step], field))
                              for field, step in itertools.product((*WAY, "fingerprint"), STEPS))
        if differences:
            row = alike.setdefault(canonical_json(differences), {"variants": [], "differences": differences})
            row["variants"].append(variant)
    # A predictor that no loss trains always runs on the CPU, so only its packages are compared with those of others.
    differences = _joined(
        (field, step, _between_variants(rows[rows["step"] == step], field))
        for field, step in itertools.product(WAY, STEPS) for rows in [table if field in PACKAGES else trained])
    return {"variants": differences, "seeds": list(alike.values())}


def _joined(found: Iterable[tuple[str, str, list[Row]]]) -> list[Row]:
    """The differences of (field, step, values); steps in which a field has the same different values are one row."""
    rows: dict[str, Row] = {}
    for field, step, values in found:
        if values:
            row = rows.setdefault(canonical_json([field, values]), {"field": field, "steps": [], "values": values})
            row["steps"].append(step)
    return list(rows.values())


def _between_seeds(rows: pd.DataFrame, field: str) -> list[Row]:
    """The seeds by their value of a field; empty if all have the same."""
    by_value = [{"value": value, "seeds": of["seed"].tolist()} for value, of in rows.groupby(field)]
    return by_value if len(by_value) > 1 else []


def _between_variants(rows: pd.DataFrame, field: str) -> list[Row]:
    """The variants by their values of a field; empty if all have the same shares of each value."""
    shares = rows.groupby("variant")[field].value_counts(normalize=True).unstack(fill_value=0)
    if (shares == shares.head(1).to_numpy()).all(axis=None):
        return []
    return [{"value": value, "variants": of["variant"].unique().tolist()} for value, of in rows.groupby(field)]
