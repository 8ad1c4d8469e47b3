"""Predict val and test with a training's weights, and count. `python -m stages.evaluate shapes munet-mse_dice-1234`"""

from typing import TYPE_CHECKING

import torch

import stages
from seglib.configs import EvaluateConfig
from seglib.evaluation import evaluate_splits, write
from seglib.files import file_sha256
from seglib.pipeline.code import RunningCode
from seglib.pipeline.locks import spare_cores, wait_for_cores
from seglib.pipeline.provenance import Provenance
from seglib.pipeline.workspace import TrainingFiles
from seglib.prediction.network import NetworkPredictor
from seglib.training.device import memory_of

if TYPE_CHECKING:
    import pandas as pd


def main(dataset: str, training: str) -> None:
    """Write the counts of TRAINING (<model>-<loss>-<seed>), and its predictions of test."""
    files = TrainingFiles(dataset, training)
    code = RunningCode(files.evaluate_config)
    config = EvaluateConfig.read(files.evaluate_config)
    predictor = NetworkPredictor(files.weights)
    with wait_for_cores(predictor.device), spare_cores() as spare, memory_of(predictor.device):
        found = evaluate_splits(predictor, files.prepared, tolerance=config.tolerance,
                                boundary_band=config.boundary_band, spare=spare)
    code.check()
    counts, objects = write(found, files, tolerance=config.tolerance, boundary_band=config.boundary_band,
                            weights_sha256=file_sha256(files.weights),
                            predictor={"kind": config.model.kind, "fit": "gradients", "hint": None})
    Provenance.here(predictor.device, precision=predictor.precision, threads=torch.get_num_threads(),
                    fingerprint=code.fingerprint).write(files.evaluation_provenance)
    _record(files, counts, objects, predictor.classes)


def _record(files: TrainingFiles, counts: "pd.DataFrame", objects: "pd.DataFrame", classes: list[str]) -> None:
    """Leave what MLflow will show, and print the main scores.

    `compare` brings the records of all trainings to MLflow: to import MLflow takes longer than an evaluation.
    """
    from seglib.metrics.scores.headline import headline  # pandas: nothing before needs it
    from seglib.pipeline import records

    records.leave_result(files)
    print(f"{files.dataset} {files.name}: test {headline(counts, objects, classes)}")


if __name__ == "__main__":
    stages.run(main)
