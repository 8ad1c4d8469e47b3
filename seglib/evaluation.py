"""A finished network on one split: what it predicts, and every count that later figures are made of.

Pictures are counted at the network's size, and once more at their own. Shapes: N pictures, B batch, K classes, H, W.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from seglib.datasets.store import Split, pack
from seglib.metrics.boundary import BOUNDARY, boundary_K6
from seglib.metrics.confusion import pixel_confusion
from seglib.metrics.counts import COUNTS, OWN, count_BK4
from seglib.metrics.display import displayed_K
from seglib.metrics.objects import SHAPE, objects_of, shape_K3
from seglib.metrics.ranking import ScoreHistogram, coarse_histograms
from seglib.training.inference import Predictor

LARGEST_BATCH, BATCH_PIXELS = 64, 1 << 20  # pictures predicted at once, and their pixels; no influence on a score


@dataclasses.dataclass(frozen=True)
class SplitResult:
    """What evaluation found on one split."""

    counts: pd.DataFrame  # a row a picture and class: see metrics.scores.COLUMNS
    objects: pd.DataFrame  # a row a true object: split, image, and the columns of metrics.objects.objects_of
    confusion: np.ndarray  # pixels by true and predicted class: int64 (K + 1, K + 2)
    ranking: ScoreHistogram
    ranking_NKB2: np.ndarray  # the same in coarse bins, a picture each, for resampling: uint32
    masks: np.ndarray  # what is predicted, packed as the true masks are: (N, H, W)


def evaluate(predictor: Predictor, split: Split, classes: list[str], *, tolerance: int) -> SplitResult:
    """Predict a whole split and count. `tolerance`, in pixels, is that of the boundary scores.

    Pixels to ignore are in no count: they are taken out of prediction and truth alike.
    """
    name, ids, task = split.folder.name, split.index()["id"].to_list(), predictor.encoding.task
    own_masks = split.own_masks() if split.has_own_masks() else None
    rows, objects, masks, coarse = [], [], [], []
    confusion = np.zeros((len(classes) + 1, len(classes) + 2), np.int64)
    ranking = ScoreHistogram(len(classes))
    height, width = split.masks.shape[1:]
    size = min(LARGEST_BATCH, max(1, BATCH_PIXELS // (height * width)))
    for logits, truth, valid in tqdm(predictor.split(split, batch_size=size), total=-(-len(split) // size),
                                     desc=f"evaluating {name}", unit="batch", disable=None):
        predicted, scores = predictor.encoding.present(logits), predictor.encoding.ranking_scores(logits)
        ranking.add(scores, truth, valid)
        coarse.append(coarse_histograms(scores, truth, valid))
        counts_BK4 = count_BK4(predicted, truth, valid).cpu().numpy()
        displayed_BK = _displayed(predictor, logits, truth, valid)
        own_BK4 = counts_BK4 if own_masks is None else _counts_at_own_size(predictor, logits, own_masks)
        masks += [pack(planes, task=task) for planes in predicted.cpu().numpy()]
        if valid is not None:
            predicted, truth = predicted & valid, truth & valid
        for predicted_KHW, truth_KHW, counts_K4, displayed_K1, own_K4, valid_HW in zip(
                predicted.cpu().numpy(), truth.cpu().numpy(), counts_BK4, displayed_BK[..., None], own_BK4,
                [None] * len(truth) if valid is None else valid[:, 0].cpu().numpy(), strict=True):
            rows.append(np.concatenate([counts_K4, boundary_K6(predicted_KHW, truth_KHW, tolerance=tolerance),
                                        shape_K3(predicted_KHW, truth_KHW), displayed_K1, own_K4], axis=1))
            objects += [{"image": ids[len(rows) - 1], **found} for found in objects_of(predicted_KHW, truth_KHW)]
            confusion += pixel_confusion(predicted_KHW, truth_KHW, valid_HW)
    return SplitResult(_count_table(name, ids, classes, np.stack(rows)), _object_table(name, objects), confusion,
                       ranking, np.concatenate(coarse), np.stack(masks))


def _counts_at_own_size(predictor: Predictor, logits_BKHW: Tensor, own_masks: Iterator[np.ndarray]) -> np.ndarray:
    """int64 (B, K, 4): each output brought back to its picture's own size, against the next of the masks of that size.

    What the network never saw, because it was cropped away, is predicted as no class.
    """
    found = []
    for logits_KHW in logits_BKHW:
        mask_HW = next(own_masks)
        signed_HW = torch.from_numpy(mask_HW.view(f"i{mask_HW.itemsize}").copy()).to(logits_KHW.device)
        truth_1KHW, valid = predictor.encoding.planes(signed_HW[None])
        shares_KHW = predictor.own_size(logits_KHW, mask_HW.shape)
        predicted_KHW = predictor.encoding.present_of(shares_KHW) & shares_KHW.any(0)
        found.append(count_BK4(predicted_KHW[None], truth_1KHW, valid)[0].cpu().numpy())
    return np.stack(found)


def _displayed(predictor: Predictor, logits: Tensor, truth: Tensor, valid: Tensor | None) -> np.ndarray:
    """(B, K): NaN for a network that does not aim at label values."""
    header = predictor.header
    if header.targets != "label":
        return np.full(logits.shape[:2], np.nan)
    truth = truth if valid is None else truth & valid
    return np.stack([displayed_K(outputs, planes, header.label_values) for outputs, planes in
                     zip(logits.float().cpu().numpy(), truth.cpu().numpy(), strict=True)])


def _count_table(split: str, ids: list[str], classes: list[str], values_NKC: np.ndarray) -> pd.DataFrame:
    columns = (*COUNTS, *BOUNDARY, *SHAPE, "displayed", *OWN)
    real = ("hd95", "displayed")  # the others are whole numbers
    return pd.DataFrame({
        "split": split, "image": np.repeat(ids, len(classes)), "class": np.tile(classes, len(ids)),
        **{name: values_NKC[..., i].ravel().astype(np.float64 if name in real else np.int64)
           for i, name in enumerate(columns)}})


def _object_table(split: str, rows: list[dict]) -> pd.DataFrame:
    names = ["image", "class", "area", "covered", "found", "wrong", "taken_for"]
    table = pd.DataFrame(rows, columns=names).astype(dict.fromkeys(names[1:], np.int64))
    table.insert(0, "split", split)
    return table
