"""One variant's predictions and pixel counts on val and test. `python -m stages.evaluate shapes munet-mse_dice-1234`"""

import numpy as np
import pandas as pd

import stages
from seglib import records, tracking
from seglib.datasets.store import DatasetInfo, Split, pack
from seglib.files import atomic_file, file_sha256, write_json
from seglib.metrics.counts import COUNTS, count_BK4
from seglib.metrics.scores import summarize
from seglib.training.device import turn
from seglib.training.inference import Predictor
from seglib.workspace import VariantFiles

BATCH_SIZE = 64  # pictures predicted at once; no influence on a score


def main(dataset: str, variant: str) -> None:
    """Write counts.parquet, scores.json and, of test, predictions.npy for VARIANT (<model>-<loss>-<seed>)."""
    files = VariantFiles(dataset, variant)
    info = DatasetInfo.read(files.prepared)
    predictor = Predictor(files.weights)
    with turn(predictor.device):
        tables, masks = zip(*(_evaluate(predictor, Split.open(files.prepared, name), info.classes)
                              for name in ("val", "test")), strict=True)
    table = pd.concat(tables, ignore_index=True)

    with atomic_file(files.counts) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")
    with atomic_file(files.predictions) as temporary, temporary.open("wb") as file:
        np.save(file, masks[-1])
    scores = summarize(table, info.classes)
    write_json(files.scores, {"weights_sha256": file_sha256(files.weights), **scores})
    tracking.try_sync(records.leave_result(files))
    mean = scores["test"]["mean"]
    print(f"{dataset} {variant}: test IoU {_text(mean['iou_dataset'])}, Dice {_text(mean['dice_dataset'])} "
          f"(all pixels of {scores['test']['images']} pictures, mean over classes)")


def _evaluate(predictor: Predictor, split: Split, classes: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """A split's counts, a row an (image, class), and its predicted masks, packed as the true ones are."""
    counts, masks = [], []
    for predicted, truth, valid in predictor.split(split, batch_size=BATCH_SIZE):
        counts.append(count_BK4(predicted, truth, valid).cpu().numpy())
        masks += [pack(planes) for planes in predicted.cpu().numpy()]
    counts_NK4 = np.concatenate(counts)
    return pd.DataFrame({
        "split": split.folder.name, "image": np.repeat(split.index()["id"].to_list(), len(classes)),
        "class": np.tile(classes, len(split)),
        **{name: counts_NK4[..., i].ravel() for i, name in enumerate(COUNTS)}}), np.stack(masks)


def _text(score: float | None) -> str:
    return "none" if score is None else f"{score:.3f}"


if __name__ == "__main__":
    stages.run(main)
