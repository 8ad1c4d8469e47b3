"""The variants of a dataset side by side: tables, and which seeds and pictures to show. From result files alone.

A *variant* here is model × loss; its seeds are repetitions. Shapes: N images, K classes.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from seglib.datasets.store import DatasetInfo
from seglib.files import canonical_json, read_json
from seglib.metrics.counts import class_scores, image_scores, mean_score
from seglib.metrics.scores import counts_of
from seglib.workspace import VariantFiles, live_variants

HEADLINE = "iou_dataset"  # the score that ranks


@dataclasses.dataclass(frozen=True)
class Run:
    """One trained and evaluated seed of a variant."""

    files: VariantFiles
    history: pd.DataFrame
    counts: dict[str, np.ndarray]  # split: int64 (N, K, 4)


@dataclasses.dataclass(frozen=True)
class Variant:
    """One model × loss with its runs, by seed. `label` joins the names of variants that are the same configuration."""

    label: str
    config: dict[str, Any]  # without the seed
    runs: list[Run]

    def scores(self, split: str, name: str) -> np.ndarray:
        """The mean over classes of score `name`, a value a seed; NaN where no class has it."""
        return np.array([mean_score(class_scores(run.counts[split])[name]) for run in self.runs])

    def final_loss(self, run: Run) -> float:
        """The training loss of the last epoch: what "best case" and "worst case" are chosen by."""
        history = run.history
        return float(history[(history["split"] == "train") & (history["span"] == "epoch")]["loss"].iloc[-1])

    def best_case(self) -> Run:
        return min(self.runs, key=self.final_loss)

    def worst_case(self) -> Run:
        return max(self.runs, key=self.final_loss)


def load(dataset: str, info: DatasetInfo) -> list[Variant]:
    """The dataset's variants, best first by the mean test score; those of one configuration are one."""
    configs: dict[str, dict[str, Any]] = {}
    labels: dict[str, list[str]] = {}
    seeds: dict[str, dict[int, VariantFiles]] = {}
    for files in live_variants(dataset):
        config = read_json(files.conf)
        del config["seed"]
        key = canonical_json(config)
        configs[key] = config
        name = f"{files.model} {files.loss}"
        if name not in labels.setdefault(key, []):
            labels[key].append(name)
        seeds.setdefault(key, {}).setdefault(files.seed, files)
    variants = [Variant(" = ".join(labels[key]), configs[key],
                        [_run(files, info) for _, files in sorted(seeds[key].items())]) for key in configs]
    return sorted(variants, key=lambda v: -np.nan_to_num(v.scores("test", HEADLINE).mean(), nan=-1.0))


def _run(files: VariantFiles, info: DatasetInfo) -> Run:
    table = pd.read_parquet(files.counts)
    counts = {split: counts_of(table, split, info.classes) for split in ("val", "test")}
    return Run(files, pd.read_csv(files.history), counts)


def score_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """A row a (variant, split, score): mean, sample sd, min and max over seeds, and how many seeds and images."""
    rows = []
    for variant in variants:
        for split in ("test", "val"):
            for name in class_scores(variant.runs[0].counts[split]):
                values = variant.scores(split, name)
                rows.append({"variant": variant.label, "split": split, "score": name, **spread(values),
                             "seeds": len(values), "images": len(variant.runs[0].counts[split])})
    return pd.DataFrame(rows)


def class_table(variants: Sequence[Variant], classes: Sequence[str]) -> pd.DataFrame:
    """A row a (variant, split, class): the mean over seeds of its scores; empty where the class is absent."""
    rows = []
    for variant in variants:
        for split in ("test", "val"):
            by_seed = [class_scores(run.counts[split]) for run in variant.runs]
            with_class = (variant.runs[0].counts[split][..., [0, 2]].sum(-1) > 0).sum(0)
            rows += [{"variant": variant.label, "split": split, "class": name, "images_with_class": int(with_class[k]),
                      **{score: float(np.mean([scores[score][k] for scores in by_seed])) for score in by_seed[0]}}
                     for k, name in enumerate(classes)]
    return pd.DataFrame(rows)


def spread(values: np.ndarray) -> dict[str, float]:
    return {"mean": float(values.mean()), "sd": float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
            "min": float(values.min()), "max": float(values.max())}


def curve_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """Loss against iterations, a row a point: windows of the running mean and epochs of train and val.

    `normalised` is (loss - min) / (max - min) of its own curve, as the sources drew it; it hides the scale, so two
    normalised curves say nothing about which loss is lower.
    """
    parts = []
    for variant in variants:
        for run in variant.runs:
            for (split, span), curve in run.history.groupby(["split", "span"], sort=False):
                loss = curve["loss"]
                extent = loss.max() - loss.min()
                parts.append(pd.DataFrame({
                    "variant": variant.label, "seed": run.files.seed, "curve": f"{split} {span}",
                    "iteration": curve["iteration"], "epoch": curve["epoch"], "loss": loss,
                    "normalised": (loss - loss.min()) / extent if extent > 0 else 0.0}))
    return pd.concat(parts, ignore_index=True)


def pick_pictures(variants: Sequence[Variant], count: int) -> list[int]:
    """Test pictures from the easiest to the hardest, evenly spaced by rank of their mean IoU over all runs.

    Pictures that no run has a score for (nothing there, nothing found) are never shown.
    """
    per_run = [image_scores(run.counts["test"], "iou") for variant in variants for run in variant.runs]
    scored = ~np.isnan(per_run)
    means = np.where(scored, per_run, 0).sum((0, 2)) / np.maximum(scored.sum((0, 2)), 1)
    means[~scored.any((0, 2))] = np.nan
    usable = np.flatnonzero(~np.isnan(means))
    ranked = usable[np.argsort(-means[usable], kind="stable")]
    places = np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int)
    return ranked[places].tolist()


def picture_score(run: Run, image: int) -> float:
    """The mean IoU of one test picture over its classes."""
    return mean_score(image_scores(run.counts["test"], "iou")[image])


def json_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as JSON rows, missing values as None."""
    return json.loads(table.to_json(orient="records"))
