"""One variant's predictions and counts on val and test. `python -m stages.evaluate shapes munet-mse_dice-1234`"""

import numpy as np
import pandas as pd

import stages
from seglib.datasets.store import DatasetInfo, Split
from seglib.evaluation import evaluate
from seglib.files import atomic_file, file_sha256, read_json, write_json
from seglib.metrics.ranking import average_precision
from seglib.metrics.scores import mean_score, none_for_nan, summarize
from seglib.pipeline import records, tracking
from seglib.pipeline.locks import wait_for_cores
from seglib.pipeline.workspace import TrainingFiles, evaluate_config
from seglib.prediction.network import NetworkPredictor
from seglib.training.device import memory_of


def main(dataset: str, variant: str) -> None:
    """Write the counts and scores of VARIANT (<model>-<loss>-<seed>), and its predictions of test."""
    files = TrainingFiles(dataset, variant)
    info = DatasetInfo.read(files.prepared)
    config = read_json(evaluate_config(dataset))
    predictor = NetworkPredictor(files.weights)
    with wait_for_cores(predictor.device), memory_of(predictor.device):
        found = {name: evaluate(predictor, Split.open(files.prepared, name), **config)
                 for name in ("val", "test")}
    counts, objects = (pd.concat([getattr(result, table) for result in found.values()], ignore_index=True)
                       for table in ("counts", "objects"))

    for path, table in ((files.counts, counts), (files.objects, objects)):
        with atomic_file(path) as temporary:
            table.to_parquet(temporary, index=False, compression="zstd")
    with atomic_file(files.predictions) as temporary, temporary.open("wb") as file:
        np.save(file, found["test"].masks)
    with atomic_file(files.ranking) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **{name: result.ranking_NKB2 for name, result in found.items()})
    scores = summarize(counts, objects, info.classes)
    for name, result in found.items():
        precisions = average_precision(result.ranking.counts)
        scores[name]["mean"]["pixel_ap"] = none_for_nan(mean_score(precisions))
        for label, value in zip(info.classes, precisions, strict=True):
            scores[name]["classes"][label]["pixel_ap"] = none_for_nan(value)
        scores[name]["confusion"] = result.confusion.tolist()
    write_json(files.scores, {"weights_sha256": file_sha256(files.weights), **scores})
    tracking.try_sync(records.leave_result(files))
    mean = scores["test"]["mean"]
    print(f"{dataset} {variant}: test IoU {_text(mean['iou_dataset'])}, Dice {_text(mean['dice_dataset'])}, "
          f"boundary IoU {_text(mean['boundary_iou_dataset'])} (all pixels of {scores['test']['images']} pictures, "
          "mean over classes)")


def _text(score: float | None) -> str:
    return "none" if score is None else f"{score:.3f}"


if __name__ == "__main__":
    stages.run(main)
