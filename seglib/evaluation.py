"""A finished network on one split: what it predicts, and every count that later figures are made of.

Pictures are counted at the network's size, and once more at their own. Shapes: N pictures, B batch, K classes, H, W.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from torch import Tensor
from tqdm import tqdm

from seglib.datasets.store import Split
from seglib.metrics.boundary import BOUNDARY, boundary_BK6
from seglib.metrics.confusion import pixel_confusion
from seglib.metrics.counts import COUNTS, OWN
from seglib.metrics.display import displayed_BK
from seglib.metrics.objects import OBJECT, SHAPE, objects_of, shape_BK3
from seglib.metrics.planes import pixels_P
from seglib.metrics.ranking import ScoreHistogram, coarse_histograms, places_of
from seglib.training.inference import Predictor

LARGEST_BATCH, BATCH_PIXELS = 64, 1 << 20  # pictures predicted at once, and their pixels; no influence on a score
PART_PIXELS = 1 << 19  # times classes: what is counted at once


@dataclasses.dataclass(frozen=True)
class SplitResult:
    """What evaluation found on one split."""

    counts: pd.DataFrame  # one row per picture and class: see metrics.scores.COLUMNS
    objects: pd.DataFrame  # one row per true object: split, image, and the other columns of metrics.objects.OBJECT
    confusion: np.ndarray  # pixels by true and predicted class: int64 (K + 1, K + 2)
    ranking: ScoreHistogram
    ranking_NKB2: np.ndarray  # the same in coarse bins, a picture each, for resampling: uint32
    masks: np.ndarray  # what is predicted, packed as the true masks are: (N, H, W)


def evaluate(predictor: Predictor, split: Split, classes: list[str], *, tolerance: int) -> SplitResult:
    """Predict a whole split and count. `tolerance`, in pixels, is that of the boundary scores.

    Pixels to ignore are in no count: they are taken out of prediction and truth alike.
    """
    name, ids, encoding = split.folder.name, split.index()["id"].to_list(), predictor.encoding
    own_masks = split.own_masks() if split.has_own_masks() else None
    label_values = predictor.header.label_values if predictor.header.targets == "label" else None
    ranking = ScoreHistogram(len(classes))
    parts, own, masks, coarse = [], [], [], []
    height, width = split.masks.shape[1:]
    size = min(LARGEST_BATCH, max(1, BATCH_PIXELS // (height * width)))
    for logits, truth, valid in tqdm(predictor.split(split, batch_size=size), total=-(-len(split) // size),
                                     desc=f"evaluating {name}", unit="batch", disable=None):
        logits = logits.float().contiguous()  # as the planes lie in memory, which they are compared with
        predicted = encoding.present(logits)
        places = places_of(encoding.ranking_scores(logits), truth)
        ranking.add(places, valid)
        coarse.append(coarse_histograms(places, valid))
        if own_masks is not None:
            own.append(_counts_at_own_size(predictor, logits, own_masks))
        predicted, truth, valid = (None if tensor is None else tensor.cpu().numpy()
                                   for tensor in (predicted, truth, valid))
        outputs = None if label_values is None else logits.cpu().numpy()
        masks.append(encoding.task.pack(predicted.swapaxes(0, 1)))
        for some in _parts(truth.shape):
            parts.append(_count(*(None if planes is None else planes[some]
                                  for planes in (outputs, predicted, truth, valid)),
                                tolerance=tolerance, label_values=label_values))
    counts, objects, confusions = zip(*parts, strict=True)
    for objects_N7, first in zip(objects, np.cumsum([0, *map(len, counts[:-1])]), strict=True):
        objects_N7[:, OBJECT.index("picture")] += first
    counts_NKC = np.concatenate(counts)
    own_NK4 = np.concatenate(own) if own else counts_NKC[..., :len(COUNTS)]
    return SplitResult(_count_table(name, ids, classes, np.concatenate([counts_NKC, own_NK4], axis=-1)),
                       _object_table(name, ids, np.concatenate(objects)), sum(confusions), ranking,
                       np.concatenate(coarse), np.concatenate(masks))


def _parts(shape_BKHW: tuple[int, ...]) -> Iterator[slice]:
    """A batch's pictures, as many at a time as `PART_PIXELS` lets."""
    size = max(1, PART_PIXELS // math.prod(shape_BKHW[1:]))
    return (slice(start, start + size) for start in range(0, shape_BKHW[0], size))


def _count(outputs_BKHW: np.ndarray | None, predicted_BKHW: np.ndarray, truth_BKHW: np.ndarray,
           valid_B1HW: np.ndarray | None, *, tolerance: int, label_values: list[float] | None
           ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of some pictures but those at their own size, float64 (B, K, C), their objects, and their confusion.

    outputs_BKHW: asked for only with `label_values`.
    """
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
    """As `metrics.counts.count_BK4`, in a tenth of its time; no plane holds a pixel to ignore any more."""
    pictures, classes, height, width = truth_BKHW.shape
    pixels_B1 = height * width if valid_B1HW is None else pixels_P(valid_B1HW)[:, None]
    tp, predicted, true = (pixels_P(planes_BKHW.reshape(-1, height, width)).reshape(pictures, classes)
                           for planes_BKHW in (predicted_BKHW & truth_BKHW, predicted_BKHW, truth_BKHW))
    return np.stack([tp, predicted - tp, true - tp, pixels_B1 - predicted - true + tp], axis=-1)


def _counts_at_own_size(predictor: Predictor, logits_BKHW: Tensor, own_masks: Iterator[np.ndarray]) -> np.ndarray:
    """int64 (B, K, 4): each output brought back to its picture's own size, against the next of the masks of that size.

    What the network never saw, because it was cropped away, is predicted as no class.
    """
    found, task = [], predictor.encoding.task
    for logits_KHW in logits_BKHW:
        mask_HW = next(own_masks)
        shares_KHW = predictor.own_size(logits_KHW, mask_HW.shape)
        predicted_KHW = (predictor.encoding.present_of(shares_KHW) & shares_KHW.any(0)).cpu().numpy()
        truth_KHW, valid_HW = task.unpack(mask_HW, len(logits_KHW)), ~task.ignored(mask_HW)
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
