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
from seglib.loss_floor import LossFloor
from seglib.metrics.boundary import BAND, band_of
from seglib.metrics.conventions import CONVENTIONS
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
        "conventions": {name: {"title": one.title, "definition": one.definition} for name, one in CONVENTIONS.items()},
        "tolerance": config.tolerance,
        "boundary_band": _boundary_band(config, info),
        "absent": _absent(variants, config, info),
        "sizes": list(sizes),
        "margin": config.margin,
        "floor": dataclasses.asdict(floor) if floor else None,
        "confidence": confidence,
        "data_sha256": contents.files | {"dataset.json": file_sha256(prepared / "dataset.json")},
    }


def _absent(variants: Sequence[Variant], config: CompareConfig, info: DatasetInfo) -> dict[str, Any]:
    """The cost of classes that a picture lacks, for each variant whose loss has such a cost.

    The variants are those with a term in which such a class costs the same whatever is predicted: `costs` has that cost
    in each of these terms, and `teaches` says whether the loss teaches the network to leave a class out. `floor` is the
    lowest val loss that follows, null if the training validated on other pictures (`train.overfit`).
    """
    cases = variants[0].cases_S("val")[0]
    there_NK = cases["tp"] + cases["fn"] > 0
    told = {}
    for variant in trained(variants):
        weights, train = variant.config["loss"]["terms"], variant.config["train"]
        costs = config.absent_costs[variant.names[0][1]]
        floor = LossFloor.of(there_NK, weights, costs, exclusive=info.task.exclusive)
        if any(weights[term] > 0 for term in costs):
            told[variant.label] = {"costs": costs, "teaches": floor.teaches_absence,
                                   "floor": floor.loss if train["overfit"] is None else None}
    return {"pairs": there_NK.size, "lacking": int((~there_NK).sum()), "variants": told}


def _boundary_band(config: CompareConfig, info: DatasetInfo) -> dict[str, Any]:
    """How wide boundary IoU's band was, in pixels, and the share of the picture's diagonal that it was asked to be."""
    if config.boundary_band is not None:
        return {"pixels": config.boundary_band, "share": None}
    return {"pixels": band_of(*info.image_size), "share": BAND}


def facts_of(prepared: Path, info: DatasetInfo) -> Facts:
    """What decides which scores say something about this dataset."""
    return Facts(resized=Split.open(prepared, "test").has_own_masks(), exclusive=info.task.exclusive)
