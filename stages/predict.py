"""Evaluate the predictors of a dataset that no loss trains, each of them once. `python -m stages.predict shapes`"""

import torch

import stages
from seglib import prediction
from seglib.configs import PredictConfig
from seglib.evaluation import evaluate_splits, write
from seglib.files import atomic_folder
from seglib.metrics.scores.headline import headline
from seglib.pipeline.code import RunningCode
from seglib.pipeline.locks import spare_cores, wait_for_cores
from seglib.pipeline.provenance import Provenance
from seglib.pipeline.workspace import PredictorFiles, dataset_config, predictors_folder, prepared_folder
from seglib.training.device import memory_of, prepare_process

CPU = torch.device("cpu")


def main(dataset: str) -> None:
    """Write the counts of each predictor that conf/DATASET.predict.json names, and its predictions of test."""
    code = RunningCode(dataset_config(dataset, "predict"))
    config, prepared = PredictConfig.read(dataset_config(dataset, "predict")), prepared_folder(dataset)
    prepare_process(threads=1)  # what follows uses all free cores by processes
    with atomic_folder(predictors_folder(dataset)) as out:
        for name, one in config.predictors.items():
            with wait_for_cores(CPU), spare_cores() as spare, memory_of(CPU):
                predictor = prediction.build(one.model, prepared)
                found = evaluate_splits(predictor, prepared, tolerance=config.tolerance,
                                        boundary_band=config.boundary_band, spare=spare)
            files = PredictorFiles(out / name)
            counts, objects = write(found, files, tolerance=config.tolerance, boundary_band=config.boundary_band,
                                    weights_sha256=None,
                                    predictor={"kind": one.model.kind, "fit": one.fit, "hint": one.hint})
            Provenance.here(CPU, precision=predictor.precision, threads=torch.get_num_threads(),
                            fingerprint=code.fingerprint).write(files.evaluation_provenance)
            print(f"{dataset} {one.title}: test {headline(counts, objects, predictor.classes)}")
            code.check()


if __name__ == "__main__":
    stages.run(main)
