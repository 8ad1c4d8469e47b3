"""What a comparison is about and what its words mean: summary.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from seglib.comparison.tables import json_rows
from seglib.comparison.variants import HEADLINE, Variant
from seglib.datasets.store import DatasetInfo, Split
from seglib.files import file_sha256
from seglib.metrics.decisions import FEWEST_SEEDS
from seglib.metrics.scores import AGGREGATIONS, SCORES

PIXEL_AP = {"title": "pixel AP", "unit": "", "better": "higher",
            "formula": "the area under the interpolated precision-recall curve over all pixels of the split, ranked by "
                       "the network's output (VOC, all points); the plain mean over classes"}


def summary(dataset: str, info: DatasetInfo, variants: Sequence[Variant], *, sizes: Sequence[float],
            config: dict[str, Any], evaluation: dict[str, Any], prepared: Path, snapshots: dict[str, str],
            confidence: float) -> dict[str, Any]:
    rejected = pd.read_csv(prepared / "rejected.csv").groupby(["split", "what", "reason"]).size()
    return {
        "dataset": dataset,
        "task": info.task.name,
        "exclusive": info.task.exclusive,
        "classes": info.classes,
        "counts": info.counts,
        "image_size": info.image_size,
        "resize": info.resize,
        "resized": Split.open(prepared, "test").has_own_masks(),
        "selection": info.selection,
        "rejected": json_rows(rejected.reset_index(name="n")),
        "cases": {v.label: {"best": v.best_case().seed, "worst": v.worst_case().seed} for v in variants},
        "configs": {variant.label: variant.config for variant in variants},
        "names": {variant.label: variant.names for variant in variants},
        "coursework": config["coursework"],
        "seeds": sorted({run.seed for variant in variants for run in variant.runs} - {None}),
        "seedless": [variant.label for variant in variants if variant.seeds is None],
        "fewest_seeds": FEWEST_SEEDS,
        "snapshots": snapshots,
        "headline": HEADLINE,
        "scores": {score.name: {"title": score.title, "formula": score.formula, "unit": score.unit,
                                "better": score.better} for score in SCORES} | {"pixel_ap": PIXEL_AP},
        "aggregations": AGGREGATIONS,
        "tolerance": evaluation["tolerance"],
        "sizes": list(sizes),
        "resamples": config["resamples"],
        "confidence": confidence,
        "data_sha256": info.files | {"dataset.json": file_sha256(prepared / "dataset.json")},
    }
