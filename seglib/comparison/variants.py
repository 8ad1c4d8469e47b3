"""The variants of a dataset with their results. A variant is model × loss; its seeds are repetitions.

A predictor that no loss trains is a variant too: it has one result and no seed.

Shapes: S seeds, N pictures, K classes.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pyarrow import parquet

from seglib.configs import PredictConfig, TrainConfig
from seglib.datasets.store import DatasetInfo
from seglib.files import canonical_json, read_json
from seglib.metrics.cases import Cases, cases_of, size_edges
from seglib.metrics.ranking import SplitHistograms
from seglib.metrics.scores import HEADLINE, Ratio, class_scores
from seglib.metrics.scores.score import mean_of_known, mean_score
from seglib.pipeline.workspace import (
    PredictorFiles,
    ResultFiles,
    TrainingFiles,
    dataset_config,
    live_trainings,
    predictors_folder,
    prepared_folder,
)

SPLITS = ("test", "val")
Units = Mapping[str, np.ndarray | None]  # by split, the unit of each picture: see `metrics.cases`
NO_HISTORY = pd.DataFrame(columns=["iteration", "epoch", "split", "span", "lr", "loss", "iou_score", "dice_score",
                                   "pixel_accuracy_score", "kept"])


@dataclasses.dataclass(frozen=True)
class Result:
    """One evaluated training of a variant, or the evaluation of a predictor."""

    files: ResultFiles
    seed: int | None  # None if nothing is random
    history: pd.DataFrame
    cases: dict[str, Cases]  # by split
    objects: pd.DataFrame
    weights_sha256: str | None  # None if there is no weights file

    @cached_property
    def class_scores(self) -> dict[str, dict[str, np.ndarray]]:
        """By split and by name, every score by class, (K,)."""
        return {split: class_scores(cases) for split, cases in self.cases.items()}

    def confusion(self, split: str) -> np.ndarray:
        """Pixels by true and predicted class: int64 (K + 1, K + 2), as `metrics.confusion` counts them."""
        with np.load(self.files.confusion) as matrices:
            return matrices[split]

    @cached_property
    def final_loss(self) -> float:
        """The training loss of the last epoch, which decides what "best case" and "worst case" are."""
        return float(self.epochs("train")["loss"].iloc[-1])

    def epochs(self, split: str) -> pd.DataFrame:
        """The history's rows of whole epochs."""
        return self.history[(self.history["split"] == split) & (self.history["span"] == "epoch")]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One model × loss with its results, by seed; or a predictor that no loss trains, with its result.

    `label` joins the names of variants with the same configuration. It says what a predictor was told of the truth.
    """

    label: str
    names: list[tuple[str, str]]  # model, loss; of a predictor its name and ""
    config: dict[str, Any]  # without the seed
    results: list[Result]
    fit: Literal["gradients", "counts", "none"]  # how it comes to be
    baseline: bool = False  # a baseline has no rank, is in no test, and is never best or worst

    @property
    def seeds(self) -> int | None:
        """The number of seeds; None if the model is deterministic and has no seed."""
        return None if self.results[0].seed is None else len(self.results)

    def cases_S(self, split: str) -> list[Cases]:
        return [result.cases[split] for result in self.results]

    def scores_S(self, split: str, name: str) -> np.ndarray:
        """Score `name` of each seed, the mean over its classes; NaN if no class has it."""
        return np.array([mean_score(result.class_scores[split][name]) for result in self.results])

    def picture_scores_N(self, score: Ratio) -> np.ndarray:
        """The score of each test picture, the mean over its classes and over seeds; NaN if none has it."""
        return mean_of_known(np.stack([score.by_picture(cases) for cases in self.cases_S("test")]), axis=(0, 2))

    def best_case(self) -> Result:
        return min(self.results, key=lambda result: result.final_loss)

    def worst_case(self) -> Result:
        return max(self.results, key=lambda result: result.final_loss)


def trained(variants: Sequence[Variant]) -> list[Variant]:
    """The variants whose models were trained by gradients: they have a loss, seeds and a history."""
    return [variant for variant in variants if variant.fit == "gradients"]


def compared(variants: Sequence[Variant]) -> list[Variant]:
    """The variants that are compared with each other: all but the baselines."""
    return [variant for variant in variants if not variant.baseline]


def load(dataset: str, info: DatasetInfo) -> list[Variant]:
    """The dataset's variants by their mean test score, the highest first; then the baselines."""
    def order(variant: Variant) -> tuple[bool, float]:
        return variant.baseline, -np.nan_to_num(variant.scores_S("test", HEADLINE.name).mean(), nan=-1.0)

    units = {split: _units_N(prepared_folder(dataset) / split / "index.parquet") for split in SPLITS}
    variants = sorted(_trained_variants(dataset, info, units) + _predictors(dataset, info, units), key=order)
    labels = [variant.label for variant in variants]
    if repeated := [label for label in labels if labels.count(label) > 1]:
        raise ValueError(f"two variants are called {repeated[0]}: rename a model, a loss or a predictor in params.yaml")
    return variants


def _units_N(index: Path) -> np.ndarray | None:
    """The unit of each picture of a split, int64 (N,), counted in the order of the pictures; None without groups."""
    if "unit" not in parquet.read_schema(index).names:
        return None
    return pd.factorize(pd.read_parquet(index, columns=["unit"])["unit"])[0].astype(np.int64)


def _trained_variants(dataset: str, info: DatasetInfo, units: Units) -> list[Variant]:
    """Trainings that differ in their seed alone are one variant, whatever their models and losses are called."""
    configs: dict[str, dict[str, Any]] = {}
    names: dict[str, list[tuple[str, str]]] = {}
    files_of: dict[str, dict[int, TrainingFiles]] = {}
    for files in live_trainings(dataset):
        config = TrainConfig.read(files.train_config).content()
        seed = config.pop("seed")
        key = canonical_json(config)
        configs[key] = config
        if (files.model, files.loss) not in names.setdefault(key, []):
            names[key].append((files.model, files.loss))
        files_of.setdefault(key, {}).setdefault(seed, files)
    return [Variant(label=" = ".join(f"{model} {loss}" for model, loss in names[key]), names=names[key], config=config,
                    results=[_result(files, seed, pd.read_csv(files.history), info, units)
                             for seed, files in sorted(files_of[key].items())],
                    fit="gradients")
            for key, config in configs.items()]


def _predictors(dataset: str, info: DatasetInfo, units: Units) -> list[Variant]:
    config = PredictConfig.read(dataset_config(dataset, "predict"))
    return [Variant(label=one.title if one.hint is None else f"{one.title} (told the true {one.hint})",
                    names=[(name, "")], config={"model": one.model.content()}, fit=one.fit, baseline=one.baseline,
                    results=[_result(PredictorFiles(predictors_folder(dataset) / name), None, NO_HISTORY, info,
                                     units)])
            for name, one in config.predictors.items()]


def _result(files: ResultFiles, seed: int | None, history: pd.DataFrame, info: DatasetInfo, units: Units) -> Result:
    counts, objects = pd.read_parquet(files.counts), pd.read_parquet(files.objects)
    sizes = size_edges(objects)
    cases = {split: cases_of(counts, objects, split, info.classes, sizes, SplitHistograms(files.ranking, split),
                             units[split]) for split in SPLITS}
    return Result(files=files, seed=seed, history=history, cases=cases, objects=objects,
                  weights_sha256=read_json(files.evaluation)["weights_sha256"])
