"""What a comparison is of and what its words mean (summary.json), and its result in one line."""

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


def conclusion(ranking: pd.DataFrame, pairs: pd.DataFrame, seed_scores: pd.DataFrame, confidence: float) -> str:
    """The variant with the highest mean test score. It is called best only if its lead over every other is settled."""
    first = ranking.iloc[0]
    if ranking["enough_seeds"].all():
        of_first = pairs[(pairs["score"] == HEADLINE) & ((pairs["a"] == first["variant"]) | (
            pairs["b"] == first["variant"]))]
        is_best = len(of_first) and of_first["settled"].all()
        return (f"{'best on test' if is_best else 'highest mean on test'}: {first['variant']}, IoU {first['mean']:.3f} "
                f"({confidence:.0%} interval {first['low']:.3f} to {first['high']:.3f})")
    too_few = sorted(set(ranking.loc[~ranking["enough_seeds"], "seeds"]))
    of_first = seed_scores[(seed_scores["variant"] == first["variant"]) & (seed_scores["split"] == "test")]
    scores = ", ".join(f"{score:.3f}" for score in of_first.loc[of_first["seed"].notna(), HEADLINE])
    return (f"too few seeds ({', '.join(map(str, too_few))}) to call a variant best; highest mean test IoU: "
            f"{first['variant']}, {first['mean']:.3f}" + (f" (seeds {scores})" if scores else ""))
