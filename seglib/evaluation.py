"""A predictor on one split: what it predicts, and every count that scores are made of.

Pictures are counted at the prepared size, and once more at their own. Shapes: N pictures, B batch, K classes, H, W.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from seglib.datasets.store import Split
from seglib.files import atomic_file, write_json
from seglib.metrics.boundary import BOUNDARY, boundary_BK6
from seglib.metrics.confusion import pixel_confusion
from seglib.metrics.counts import COUNTS, OWN
from seglib.metrics.display import displayed_BK
from seglib.metrics.objects import OBJECT, SHAPE, objects_of, shape_BK3
from seglib.metrics.planes import pixels_P
from seglib.metrics.ranking import ScoreHistogram, coarse_histograms, places_of, write_histograms
from seglib.pipeline.workspace import ResultFiles
from seglib.prediction.hints import Hint, hint_of
from seglib.prediction.predictor import Predictor
from seglib.training.batches import Feed

LARGEST_BATCH, BATCH_PIXELS = 64, 1 << 20  # pictures predicted at once, and their pixels; no influence on a score
PART_PIXELS = 1 << 19  # times classes: counted at once


@dataclasses.dataclass(frozen=True)
class SplitResult:
    """What evaluation counted on one split."""

    counts: pd.DataFrame  # one row per picture and class: see metrics.cases.COLUMNS
    objects: pd.DataFrame  # one row per true object: split, image, and the other columns of metrics.objects.OBJECT
    confusion: np.ndarray  # pixels by true and predicted class: int64 (K + 1, K + 2)
    ranking: ScoreHistogram
    ranking_NKB2: np.ndarray  # the same in coarse bins, one histogram per picture, for resampling: uint32
    masks: np.ndarray  # what is predicted, packed as the true masks are: (N, H, W)


@torch.no_grad()
def evaluate(predictor: Predictor, split: Split, *, tolerance: int) -> SplitResult:
    """Predict a whole split and count.

    tolerance: that of the boundary scores, in pixels. Pixels to ignore are in no count: they are taken out of
    prediction and truth alike. A predictor that needs a hint gets one, made from the truth.
    """
    name, ids, classes, task = split.folder.name, split.index()["id"].to_list(), predictor.classes, predictor.task
    own_masks = split.own_masks() if split.has_own_masks() else None
    ranking = ScoreHistogram(len(classes))
    parts, own, masks, coarse = [], [], [], []
    height, width = split.masks.shape[1:]
    size = min(LARGEST_BATCH, max(1, BATCH_PIXELS // (height * width)))
    feed = Feed(split, size, predictor.device, resident=False)
    for batch in tqdm(feed.batches(), total=feed.steps, desc=f"evaluating {name}", unit="batch", disable=None):
        truth, valid = task.targets(batch.masks_BHW, len(classes), ignores=batch.ignores)
        prediction = predictor.predict_batch(batch.images_BHWC, _hints(predictor, truth, valid))
        predicted = task.present(prediction.shares_BKHW)
        places = places_of(prediction.certainty_BKHW, truth)
        ranking.add(places, valid)
        coarse.append(coarse_histograms(places, valid))
        if own_masks is not None:
            own.append(_counts_at_own_size(predictor, prediction.shares_BKHW, own_masks))
        outputs, predicted, truth, valid = (None if tensor is None else tensor.cpu().numpy() for tensor in (
            prediction.outputs_BKHW, predicted, truth, valid))
        masks.append(task.pack(predicted.swapaxes(0, 1)))
        for some in _parts(truth.shape):
            parts.append(_count(*(None if planes is None else planes[some]
                                  for planes in (outputs, predicted, truth, valid)),
                                tolerance=tolerance, label_values=predictor.label_values))
    counts, objects, confusions = zip(*parts, strict=True)
    for objects_N7, first in zip(objects, np.cumsum([0, *map(len, counts[:-1])]), strict=True):
        objects_N7[:, OBJECT.index("picture")] += first
    counts_NKC = np.concatenate(counts)
    own_NK4 = np.concatenate(own) if own else counts_NKC[..., :len(COUNTS)]
    return SplitResult(_count_table(name, ids, classes, np.concatenate([counts_NKC, own_NK4], axis=-1)),
                       _object_table(name, ids, np.concatenate(objects)), sum(confusions), ranking,
                       np.concatenate(coarse), np.concatenate(masks))


def evaluate_splits(predictor: Predictor, dataset: Path, *, tolerance: int) -> dict[str, SplitResult]:
    """`evaluate`, on val and on test of a prepared dataset."""
    return {name: evaluate(predictor, Split.open(dataset, name), tolerance=tolerance) for name in ("val", "test")}


def write(found: Mapping[str, SplitResult], files: ResultFiles, *, predictor: dict[str, Any], tolerance: int,
          weights_sha256: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write what was counted on each split, and the predictions of test. Returns the counts and the objects.

    predictor: what evaluation.json says of the predictor: its kind, how it came to be (`fit`), and what it was told of
    the truth (`hint`). weights_sha256: of its weights file, if it has one.
    """
    counts, objects = (pd.concat([getattr(result, table) for result in found.values()], ignore_index=True)
                       for table in ("counts", "objects"))
    for path, table in ((files.counts, counts), (files.objects, objects)):
        with atomic_file(path) as temporary:
            table.to_parquet(temporary, index=False, compression="zstd")
    with atomic_file(files.predictions) as temporary, temporary.open("wb") as file:
        np.save(file, found["test"].masks)
    with atomic_file(files.confusion) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **{name: result.confusion for name, result in found.items()})
    write_histograms(files.ranking, {name: (result.ranking, result.ranking_NKB2) for name, result in found.items()})
    write_json(files.evaluation, {"predictor": predictor, "weights_sha256": weights_sha256, "tolerance": tolerance,
                                  "pictures": {name: len(result.masks) for name, result in found.items()}})
    return counts, objects


def _hints(predictor: Predictor, truth_BKHW: Tensor, valid_B1HW: Tensor | None) -> list[Hint] | None:
    """What the truth tells a predictor that declares a hint; None for all others."""
    if predictor.hint is None:
        return None
    known_BKHW = truth_BKHW if valid_B1HW is None else truth_BKHW & valid_B1HW
    return [hint_of(planes_KHW, predictor.hint) for planes_KHW in known_BKHW.cpu().numpy()]


def _parts(shape_BKHW: tuple[int, ...]) -> Iterator[slice]:
    """Slices of a batch's pictures, each of at most `PART_PIXELS` pixels, times classes."""
    size = max(1, PART_PIXELS // math.prod(shape_BKHW[1:]))
    return (slice(start, start + size) for start in range(0, shape_BKHW[0], size))


def _count(outputs_BKHW: np.ndarray | None, predicted_BKHW: np.ndarray, truth_BKHW: np.ndarray,
           valid_B1HW: np.ndarray | None, *, tolerance: int, label_values: list[float] | None
           ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of some pictures at the prepared size, float64 (B, K, C); their objects; their confusion."""
    if valid_B1HW is not None:
        predicted_BKHW, truth_BKHW = predicted_BKHW & valid_B1HW, truth_BKHW & valid_B1HW
    displayed = (np.full(truth_BKHW.shape[:2], np.nan) if label_values is None
                 else displayed_BK(outputs_BKHW, truth_BKHW, label_values))
    counts_BKC = np.concatenate([
        _counts_BK4(predicted_BKHW, truth_BKHW, valid_B1HW),
        boundary_BK6(predicted_BKHW, truth_BKHW, tolerance=tolerance),
        shape_BK3(predicted_BKHW, truth_BKHW), displayed[..., None]], axis=-1)
    return (counts_BKC, objects_of(predicted_BKHW, truth_BKHW),
            pixel_confusion(predicted_BKHW, truth_BKHW, valid_B1HW))


def _counts_BK4(predicted_BKHW: np.ndarray, truth_BKHW: np.ndarray, valid_B1HW: np.ndarray | None) -> np.ndarray:
    """As `metrics.counts.count_BK4`, in a tenth of its time. No plane may hold an ignored pixel."""
    pictures, classes, height, width = truth_BKHW.shape
    pixels_B1 = height * width if valid_B1HW is None else pixels_P(valid_B1HW)[:, None]
    tp, predicted, true = (pixels_P(planes_BKHW.reshape(-1, height, width)).reshape(pictures, classes)
                           for planes_BKHW in (predicted_BKHW & truth_BKHW, predicted_BKHW, truth_BKHW))
    return np.stack([tp, predicted - tp, true - tp, pixels_B1 - predicted - true + tp], axis=-1)


def _counts_at_own_size(predictor: Predictor, shares_BKHW: Tensor, own_masks: Iterator[np.ndarray]) -> np.ndarray:
    """int64 (B, K, 4): each prediction brought back to its picture's own size, against the next of the own masks.

    What a crop cut away is predicted as no class.
    """
    found, task = [], predictor.task
    for shares_KHW in shares_BKHW:
        mask_HW = next(own_masks)
        predicted_KHW = predictor.present_at(shares_KHW, mask_HW.shape)
        truth_KHW, valid_HW = task.unpack(mask_HW, len(shares_KHW)), ~task.ignored(mask_HW)
        planes = (predicted_KHW & valid_HW, truth_KHW & valid_HW, valid_HW[None])
        found.append(_counts_BK4(*(planes_KHW[None] for planes_KHW in planes)))
    return np.concatenate(found)


def _count_table(split: str, ids: list[str], classes: list[str], values_NKC: np.ndarray) -> pd.DataFrame:
    columns = (*COUNTS, *BOUNDARY, *SHAPE, "displayed", *OWN)
    real = ("hd95", "displayed")  # the others are whole numbers
    return pd.DataFrame({
        "split": split, "image": np.repeat(ids, len(classes)), "class": np.tile(classes, len(ids)),
        **{name: values_NKC[..., i].ravel().astype(np.float64 if name in real else np.int64)
           for i, name in enumerate(columns)}})


def _object_table(split: str, ids: list[str], objects_N7: np.ndarray) -> pd.DataFrame:
    images = [ids[n] for n in objects_N7[:, 0]]
    return pd.DataFrame({"split": split, "image": images} | dict(zip(OBJECT[1:], objects_N7.T[1:], strict=True)))
