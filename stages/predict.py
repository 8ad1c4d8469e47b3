"""Evaluate the predictors of a dataset that no loss trains, each of them once. `python -m stages.predict shapes`"""

import torch

import stages
from seglib import prediction
from seglib.configs import PredictConfig
from seglib.evaluation import evaluate_splits, write
from seglib.files import atomic_folder
from seglib.metrics.scores.headline import headline
from seglib.pipeline.locks import wait_for_cores
from seglib.pipeline.workspace import PredictorFiles, dataset_config, predictors_folder, prepared_folder
from seglib.training.device import memory_of, prepare_process

CPU = torch.device("cpu")


def main(dataset: str) -> None:
    """Write the counts of each predictor that conf/DATASET.predict.json names, and its predictions of test."""
    config, prepared = PredictConfig.read(dataset_config(dataset, "predict")), prepared_folder(dataset)
    prepare_process(threads=None)
    with atomic_folder(predictors_folder(dataset)) as out:
        for name, one in config.predictors.items():
            with wait_for_cores(CPU), memory_of(CPU):
                predictor = prediction.build(one.model, prepared)
                found = evaluate_splits(predictor, prepared, tolerance=config.tolerance)
            counts, objects = write(found, PredictorFiles(out / name), tolerance=config.tolerance, weights_sha256=None,
                                    predictor={"kind": one.model.kind, "fit": one.fit, "hint": one.hint})
            print(f"{dataset} {one.title}: test {headline(counts, objects, predictor.classes)}")


if __name__ == "__main__":
    stages.run(main)
