"""A study without a network: made-up outputs, counted by the real evaluate stage into the files that compare reads.

Shapes: N pictures, K classes, H, W.
"""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from seglib import tasks
from seglib.configs import TrainSettings
from seglib.datasets.store import OWN_MASKS, Contents, DatasetInfo, Split
from seglib.datasets.store_tables import OwnMaskWriter
from seglib.pipeline.provenance import Provenance
from seglib.pipeline.workspace import TrainingFiles
from seglib.prediction.hints import Hint
from seglib.prediction.predictor import Prediction, Predictor
from seglib.training.encoding import Encoding
from stages import evaluate, predict
from tests.conftest import write_config

CLASSES = ["disk", "star", "box", "ghost"]  # no picture holds a ghost
LABELS = [50.0, 100.0, 150.0, 200.0]
SIDE = 14
Planes = dict[str, np.ndarray]  # by split, bool (N, K, H, W)


class MadeUp(Predictor):
    """A predictor that says what it was given: logits (N, K, H, W) of each split of data/prepared/shapes."""

    def __init__(self, logits: Mapping[str, np.ndarray], *, targets: str = "unit", task: str = "multilabel",
                 resize: str = "stretch"):
        super().__init__(classes=CLASSES, task=tasks.get(task), image_size=(SIDE, SIDE), resize=resize,
                         device=torch.device("cpu"))
        self.label_values = LABELS if targets == "label" else None
        self.encoding = Encoding(pixels="unit", targets=targets, output="sigmoid" if targets == "unit" else "raw",
                                 label_values=tuple(LABELS), task=tasks.get(task))
        self.made_up = {image.tobytes(): torch.from_numpy(logits_KHW) for split, logits_NKHW in logits.items()
                        for image, logits_KHW in zip(Split.open(Path("data/prepared/shapes"), split).images,
                                                     logits_NKHW, strict=True)}

    def predict_batch(self, images_BHWC: Tensor, hints: Sequence[Hint] | None = None) -> Prediction:
        logits_BKHW = torch.stack([self.made_up[image.numpy().tobytes()] for image in images_BHWC])
        return Prediction(shares_BKHW=self.encoding.share_of_target(logits_BKHW),
                          certainty_BKHW=self.encoding.certainty(logits_BKHW), outputs_BKHW=logits_BKHW)


def objects(random: np.random.Generator, pictures: int, *, present: float = 0.7) -> np.ndarray:
    """A box of each class but the ghost, in most pictures: bool (N, K, H, W)."""
    planes = np.zeros((pictures, len(CLASSES), SIDE, SIDE), bool)
    for n in range(pictures):
        for k in range(len(CLASSES) - 1):
            if random.random() < present:
                (top, left), (height, width) = random.integers(0, SIDE - 3, 2), random.integers(2, 8, 2)
                planes[n, k, top:top + height, left:left + width] = True
    return planes


def spoiled(random: np.random.Generator, truth: np.ndarray, share: float) -> np.ndarray:
    """The truth with this share of its pixels turned over."""
    return truth ^ (random.random(truth.shape) < share)


def logits_of(random: np.random.Generator, planes: np.ndarray) -> np.ndarray:
    """Logits that say these planes, more or less surely."""
    return (np.where(planes, 1.0, -1.0) * random.uniform(0.1, 3, planes.shape)).astype(np.float32)


def exclusive(planes: np.ndarray) -> np.ndarray:
    """The planes of classes that exclude each other: the last of several wins, what is left is the ghost's."""
    owner = np.full((len(planes), SIDE, SIDE), len(CLASSES) - 1)
    for k in range(len(CLASSES) - 1):
        owner[planes[:, k]] = k
    return owner[:, None] == np.arange(len(CLASSES))[:, None, None]


def write_dataset(truth: Planes, ignore: Planes | None = None, *, task: str = "multilabel", resize: str = "stretch",
                  own: dict[str, list[np.ndarray]] | None = None) -> DatasetInfo:
    """data/prepared/shapes under the current folder; `ignore`: bool (N, H, W) a split.

    own: a split's packed masks at the pictures' own sizes.
    """
    folder = Path("data/prepared/shapes")
    for split, planes in truth.items():
        (folder / split).mkdir(parents=True)
        random = np.random.default_rng(len(planes))
        ignored = ignore[split] if ignore else [None] * len(planes)
        masks = np.stack([tasks.get(task).pack(p, i) for p, i in zip(planes, ignored, strict=True)])
        np.save(folder / split / "images.npy", random.integers(0, 256, (len(planes), SIDE, SIDE, 3), dtype=np.uint8))
        np.save(folder / split / "masks.npy", masks)
        pd.DataFrame({"id": [f"{split}-{n}" for n in range(len(planes))]}).to_parquet(folder / split / "index.parquet")
        if own:
            with OwnMaskWriter(folder / split / OWN_MASKS) as writer:
                for n, mask_HW in enumerate(own[split]):
                    writer.append(f"{split}-{n}", mask_HW)
    (folder / "rejected.csv").write_text("split,what,id,source,reason\n")
    info = DatasetInfo(task=tasks.get(task), classes=CLASSES, label_values=LABELS, image_size=[SIDE, SIDE],
                       resize=resize, class_pixels=[1] * len(CLASSES), valid_pixels=1, train_val_sha256="")
    info.write(folder)
    Contents(counts={split: len(planes) for split, planes in truth.items()}, selection={}, files={}, annotations={},
             allowed=[]).write(folder)
    return info


def write_variant(name: str, logits: Planes, *, history: pd.DataFrame, terms: Mapping[str, float],
                  train: Mapping[str, Any], targets: str = "unit", task: str = "multilabel",
                  snapshots: Mapping[int, np.ndarray] | None = None) -> TrainingFiles:
    """Configuration, what train leaves and, by the evaluate stage, all results of one training: <model>-<loss>-<seed>.

    snapshots: packed masks (P, H, W) of the first val pictures, by epoch.
    """
    files = TrainingFiles("shapes", name)
    model, unset = {"kind": files.model}, dict.fromkeys(field.name for field in dataclasses.fields(TrainSettings))
    write_config(files.evaluate_config, {"model": model, "tolerance": 1, "boundary_band": None})
    write_config(files.train_config, {"model": model, "loss": {"terms": dict(terms)}, "train": unset | dict(train),
                                      "seed": files.seed})
    files.weights.parent.mkdir(parents=True)
    files.weights.write_bytes(name.encode())
    history.to_csv(files.history, index=False)
    Provenance.here(torch.device("cpu"), precision="fp32", threads=1, fingerprint="0" * 64).write(files.provenance)
    masks = np.stack(list(snapshots.values())) if snapshots else np.zeros((0, 0, SIDE, SIDE), np.uint8)
    np.savez(files.snapshots, epochs=np.array(list(snapshots or {}), int), pictures=np.arange(masks.shape[1]),
             masks=masks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "NetworkPredictor", lambda path: MadeUp(logits, targets=targets, task=task))
        patch.setattr(evaluate, "wait_for_cores", lambda device: contextlib.nullcontext())
        patch.setattr("seglib.pipeline.records.leave_result", lambda files: None)
        evaluate.main("shapes", name)
    return files


def write_predictors(logits: Mapping[str, Planes], *, task: str = "multilabel", baselines: Sequence[str] = ()) -> None:
    """Configuration and, by the predict stage, all results of predictors that no loss trains; all of the dataset's."""
    write_config(Path("conf/shapes.predict.json"), {"tolerance": 1, "boundary_band": None, "predictors": {
        name: {"model": {"kind": name}, "title": name, "fit": "counts", "hint": None, "baseline": name in baselines}
        for name in logits}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict.prediction, "build", lambda model, prepared: MadeUp(logits[model.kind], task=task))
        patch.setattr(predict, "wait_for_cores", lambda device: contextlib.nullcontext())
        predict.main("shapes")


def history_of(loss: np.ndarray, **grad_norms: float) -> pd.DataFrame:
    """A history whose running means are `loss`, one every 10 iterations, and whose terms have these gradients."""
    windows = pd.DataFrame({"iteration": 10 * np.arange(1, len(loss) + 1), "epoch": 1, "split": "train",
                            "span": "window", "lr": 0.01, "loss": loss,
                            **{f"{term}_grad_norm": norm for term, norm in grad_norms.items()}})
    ends = epochs_of([loss[-1]], [loss[-1] + 1]).assign(iteration=10 * len(loss))
    table = pd.concat([windows, ends], ignore_index=True)
    return table.assign(**dict.fromkeys(grad_norms, table["loss"]))


def epochs_of(train: Sequence[float], val: Sequence[float], *, kept: int | None = None, **scores: Sequence[float]
              ) -> pd.DataFrame:
    """The rows of epochs alone, 10 iterations each, with these losses.

    kept: the epoch whose weights were kept; None: the last.
    scores: by split and name (val_iou), .5, .6 and .7 of those that are not given.
    """
    parts = []
    for split, loss in (("train", train), ("val", val)):
        given = {name: scores.get(f"{split}_{name}", default)
                 for name, default in (("iou", 0.5), ("dice", 0.6), ("pixel_accuracy", 0.7))}
        epochs = np.arange(1, len(loss) + 1)
        parts.append(pd.DataFrame({
            "iteration": 10 * epochs, "epoch": epochs, "split": split, "span": "epoch", "lr": 0.01,
            "loss": np.asarray(loss, float), **{f"{name}_score": value for name, value in given.items()},
            "kept": (epochs == (kept or len(loss))).astype(float) if split == "val" else np.nan}))
    return pd.concat(parts, ignore_index=True)
