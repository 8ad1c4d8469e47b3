"""The variants of a dataset with their runs. A *variant* is model × loss; its seeds are repetitions.

A model that is only counted, not trained, has neither loss nor seed: it is one variant with one run.

Shapes: S seeds, N pictures, K classes.
"""

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from seglib.datasets.store import DatasetInfo
from seglib.files import canonical_json, read_json
from seglib.metrics.scores import Cases, cases_of, class_scores, image_scores, mean_score, size_edges
from seglib.pipeline.workspace import TrainingFiles, live_trainings

HEADLINE = "iou_dataset"  # the score that ranks


@dataclasses.dataclass(frozen=True)
class Run:
    """One trained and evaluated seed of a variant."""

    files: TrainingFiles
    seed: int | None  # None where nothing is random
    history: pd.DataFrame
    cases: dict[str, Cases]  # by split
    objects: pd.DataFrame
    summary: dict[str, Any]  # scores.json, whose classes stand in the order of their names
    classes: list[str]

    @cached_property
    def class_scores(self) -> dict[str, dict[str, np.ndarray]]:
        """By split, every score by class, (K,); the pixel-wise average precision among them."""
        found = {split: class_scores(cases) for split, cases in self.cases.items()}
        for split, scores in found.items():
            by_class = [self.summary[split]["classes"][name]["pixel_ap"] for name in self.classes]
            scores["pixel_ap"] = np.array([np.nan if value is None else value for value in by_class])
        return found

    def ranking(self, split: str) -> np.ndarray:
        """Pixel scores of each picture in coarse bins, (N, K, B, 2)."""
        with np.load(self.files.ranking) as content:
            return content[split]

    @cached_property
    def final_loss(self) -> float:
        """The training loss of the last epoch: what "best case" and "worst case" are chosen by."""
        return float(self.epochs("train")["loss"].iloc[-1])

    def epochs(self, split: str) -> pd.DataFrame:
        """The history's rows of whole epochs."""
        return self.history[(self.history["split"] == split) & (self.history["span"] == "epoch")]

    def picture_iou(self, picture: int) -> float:
        """The mean IoU of one test picture over its classes; NaN with nothing there and nothing found."""
        return mean_score(image_scores(self.cases["test"], "iou")[picture])


@dataclasses.dataclass(frozen=True)
class Variant:
    """One model × loss with its runs, by seed. `label` joins the names of variants that are the same configuration.

    Without a loss the label is the model's name alone.
    """

    label: str
    names: list[tuple[str, str]]  # model, loss
    config: dict[str, Any]  # without the seed
    runs: list[Run]

    @property
    def seeds(self) -> int | None:
        """The number of seeds; None if the model is deterministic and has no seed."""
        return None if self.runs[0].seed is None else len(self.runs)

    def scores_S(self, split: str, name: str) -> np.ndarray:
        """The mean over classes of score `name`, a value a seed; NaN where no class has it."""
        return np.array([mean_score(run.class_scores[split][name]) for run in self.runs])

    def picture_scores(self, name: str) -> np.ndarray:
        """Each test picture's score `name`, the mean over its classes and over seeds: (N,), NaN without any."""
        base = name.removesuffix("_dataset").removesuffix("_image_mean")
        return mean_of_known(np.stack([image_scores(run.cases["test"], base) for run in self.runs]), axis=(0, 2))

    def best_case(self) -> Run:
        return min(self.runs, key=lambda run: run.final_loss)

    def worst_case(self) -> Run:
        return max(self.runs, key=lambda run: run.final_loss)


def mean_of_known(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """The mean along `axis` of what is not NaN; NaN where nothing is known, without a word."""
    known = ~np.isnan(values)
    total, number = np.where(known, values, 0).sum(axis), known.sum(axis)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def load(dataset: str, info: DatasetInfo) -> list[Variant]:
    """The dataset's variants by their mean test score, the highest first; those of one configuration are one."""
    configs: dict[str, dict[str, Any]] = {}
    names: dict[str, list[tuple[str, str]]] = {}
    files_of: dict[str, dict[int | None, TrainingFiles]] = {}
    for files in live_trainings(dataset):
        config = read_json(files.conf)
        seed = config.pop("seed")
        key = canonical_json(config)
        configs[key] = config
        if (files.model, files.loss) not in names.setdefault(key, []):
            names[key].append((files.model, files.loss))
        files_of.setdefault(key, {}).setdefault(seed, files)
    variants = [Variant(_label(names[key], config), names[key], config,
                        [_run(files_of[key][seed], seed, info) for seed in sorted(files_of[key], key=lambda s: s or 0)])
                for key, config in configs.items()]
    return sorted(variants, key=lambda v: -np.nan_to_num(v.scores_S("test", HEADLINE).mean(), nan=-1.0))


def _label(names: list[tuple[str, str]], config: dict[str, Any]) -> str:
    shown = [" ".join(pair) for pair in names] if config["loss"]["terms"] else [model for model, _ in names]
    return " = ".join(dict.fromkeys(shown))


def _run(files: TrainingFiles, seed: int | None, info: DatasetInfo) -> Run:
    counts, objects = pd.read_parquet(files.counts), pd.read_parquet(files.objects)
    sizes = size_edges(objects)
    cases = {split: cases_of(counts, objects, split, info.classes, sizes) for split in ("val", "test")}
    return Run(files, seed, pd.read_csv(files.history), cases, objects, read_json(files.scores), info.classes)
