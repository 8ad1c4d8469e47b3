"""Predict val and test with a training's weights, and count. `python -m stages.evaluate shapes munet-mse_dice-1234`"""

import numpy as np
import pandas as pd

import stages
from seglib.configs import EvaluateConfig
from seglib.datasets.store import DatasetInfo, Split
from seglib.evaluation import evaluate
from seglib.files import atomic_file, file_sha256, write_json
from seglib.metrics import ranking
from seglib.metrics.cases import cases_of, size_edges
from seglib.metrics.scores import SCORES
from seglib.metrics.scores.score import mean_score
from seglib.pipeline import records, tracking
from seglib.pipeline.locks import wait_for_cores
from seglib.pipeline.workspace import TrainingFiles
from seglib.prediction.network import NetworkPredictor
from seglib.training.device import memory_of


def main(dataset: str, training: str) -> None:
    """Write the counts of TRAINING (<model>-<loss>-<seed>), and its predictions of test."""
    files = TrainingFiles(dataset, training)
    info = DatasetInfo.read(files.prepared)
    config = EvaluateConfig.read(files.evaluate_config)
    predictor = NetworkPredictor(files.weights)
    with wait_for_cores(predictor.device), memory_of(predictor.device):
        found = {name: evaluate(predictor, Split.open(files.prepared, name), tolerance=config.tolerance)
                 for name in ("val", "test")}
    counts, objects = (pd.concat([getattr(result, table) for result in found.values()], ignore_index=True)
                       for table in ("counts", "objects"))

    for path, table in ((files.counts, counts), (files.objects, objects)):
        with atomic_file(path) as temporary:
            table.to_parquet(temporary, index=False, compression="zstd")
    with atomic_file(files.predictions) as temporary, temporary.open("wb") as file:
        np.save(file, found["test"].masks)
    with atomic_file(files.confusion) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **{name: result.confusion for name, result in found.items()})
    ranking.write_histograms(files.ranking, {name: (result.ranking, result.ranking_NKB2)
                                             for name, result in found.items()})
    write_json(files.evaluation, {"weights_sha256": file_sha256(files.weights),
                                  "pictures": {name: len(result.masks) for name, result in found.items()},
                                  "tolerance": config["tolerance"]})
    tracking.try_sync(records.leave_result(files))
    print(f"{dataset} {training}: test {_headline(counts, objects, info.classes)}")


def _headline(counts: pd.DataFrame, objects: pd.DataFrame, classes: list[str]) -> str:
    """The main scores of all test pixels, for the terminal. No output depends on them."""
    cases = cases_of(counts, objects, "test", classes, size_edges(objects))
    told = []
    for score in SCORES:
        if "main" in score.tables and score.aggregation == "dataset":
            value = mean_score(score.by_class(cases))
            told.append(f"{score.heading} {'none' if np.isnan(value) else f'{value:.3f}'}")
    return f"{', '.join(told)} (all pixels of {cases.pictures} pictures, mean over classes)"


if __name__ == "__main__":
    stages.run(main)
