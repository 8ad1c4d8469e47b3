"""What a comparison is about and what its words mean: summary.json."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from seglib.comparison.failures import Floor
from seglib.comparison.tables import json_rows
from seglib.comparison.variants import SPLITS, Variant, trained
from seglib.configs import CompareConfig, used
from seglib.datasets.samples import TALLIES
from seglib.datasets.store import Contents, DatasetInfo, Split
from seglib.files import file_sha256
from seglib.metrics.decisions import FEWEST_SEEDS
from seglib.metrics.scores import HEADLINE, SCORES
from seglib.metrics.scores.score import AGGREGATIONS, Facts


def summary(dataset: str, info: DatasetInfo, variants: Sequence[Variant], *, facts: Facts, sizes: Sequence[float],
            config: CompareConfig, floor: Floor | None, prepared: Path, snapshots: dict[str, str],
            confidence: float) -> dict[str, Any]:
    """The content of summary.json."""
    contents = Contents.read(prepared)
    cases = {split: of[0] for split in SPLITS if (of := variants[0].cases_S(split))[0].units_N is not None}
    rejected = pd.read_csv(prepared / "rejected.csv").groupby(["split", "what", "reason"]).size()
    return {
        "dataset": dataset,
        "task": info.task.name,
        "exclusive": info.task.exclusive,
        "classes": info.classes,
        "counts": contents.counts,
        **({"units": {split: of.units for split, of in cases.items()}} if cases else {}),
        "image_size": info.image_size,
        "resize": info.resize,
        "resized": facts.resized,
        "selection": contents.selection,
        "annotations": {tally: of | {"meaning": TALLIES[tally]} for tally, of in contents.annotations.items()},
        "allowed": contents.allowed,
        "rejected": json_rows(rejected.reset_index(name="n")),
        "cases": {v.label: {"best": v.best_case().seed, "worst": v.worst_case().seed} for v in trained(variants)},
        "configs": {variant.label: used(variant.config) for variant in variants},
        "names": {variant.label: variant.names for variant in variants},
        "coursework": config.coursework,
        "seeds": sorted({result.seed for variant in variants for result in variant.results} - {None}),
        "seedless": [variant.label for variant in variants if variant.seeds is None],
        "fewest_seeds": FEWEST_SEEDS,
        "snapshots": snapshots,
        "baselines": [variant.label for variant in variants if variant.baseline],
        "weights_sha256": {result.files.name: result.weights_sha256
                           for variant in trained(variants) for result in variant.results},
        "headline": HEADLINE.name,
        "scores": [score.described(facts) for score in SCORES],
        "aggregations": {name: dataclasses.asdict(aggregation) for name, aggregation in AGGREGATIONS.items()},
        "tolerance": config.tolerance,
        "sizes": list(sizes),
        "margin": config.margin,
        "floor": dataclasses.asdict(floor) if floor else None,
        "confidence": confidence,
        "data_sha256": contents.files | {"dataset.json": file_sha256(prepared / "dataset.json")},
    }


def facts_of(prepared: Path, info: DatasetInfo) -> Facts:
    """What decides which scores say something about this dataset."""
    return Facts(resized=Split.open(prepared, "test").has_own_masks(), exclusive=info.task.exclusive)
