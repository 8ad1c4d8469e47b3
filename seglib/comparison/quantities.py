"""One number per training: how its curves run, how large its terms' gradients are, what it learned.

A quantity is NaN for a result that has none: one whose training was too short, or that was not trained.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from seglib.comparison.variants import Result, Variant
from seglib.configs import EvaluateConfig
from seglib.datasets.store import DatasetInfo, Split
from seglib.metrics.boundary import boundary_BK6
from seglib.metrics.scores import BY_NAME, HEADLINE
from seglib.metrics.scores.ratio import divided
from seglib.metrics.scores.score import mean_of_known, mean_score
from seglib.pipeline.workspace import TrainingFiles, prepared_folder

EARLY = 0.2  # the share of the iterations that counts as "the first"
POOR = 0.5  # the IoU below which a mask is poor


def _windows(result: Result) -> pd.DataFrame:
    return result.history[(result.history["split"] == "train") & (result.history["span"] == "window")]


def _curve(result: Result) -> tuple[np.ndarray, float]:
    """The running mean of the loss, and its extent; nothing for a result without a loss."""
    loss = _windows(result)["loss"].to_numpy(np.float64)
    return loss, float(np.ptp(loss)) if len(loss) else 0.0


def curve_roughness(result: Result) -> float:
    """Total variation of the loss curve over its extent: 1 if it only falls, and larger the more it goes back up."""
    loss, extent = _curve(result)
    return float(np.abs(np.diff(loss)).sum() / extent) if extent else float("nan")


def curve_early_gain(result: Result) -> float:
    """The share of the curve's whole fall that lies in the first fifth of the iterations."""
    loss, extent = _curve(result)
    if not extent:
        return float("nan")
    iterations = _windows(result)["iteration"]
    early = loss[iterations <= EARLY * iterations.iloc[-1]]
    return float((loss[0] - early[-1]) / extent) if len(early) else float("nan")


def curve_normalised(result: Result) -> float:
    """The mean of the min-max normalised curve: what "lower" means to readers of such curves."""
    loss, extent = _curve(result)
    return float((loss.mean() - loss.min()) / extent) if extent else float("nan")


def balancing_scale(result: Result) -> float:
    """The k at which k·Dice has a gradient as large as MSE's, on the output layer: the median over the training."""
    if not {"mse_grad_norm", "dice_grad_norm"} <= set(result.history.columns):
        return float("nan")
    windows = _windows(result)
    scale = float((windows["mse_grad_norm"] / windows["dice_grad_norm"]).median())
    return scale if np.isfinite(scale) else float("nan")


def _val_score_by(name: str, epoch: int) -> Callable[[Result], float]:
    """The best val score of the first `epoch` epochs; NaN for a training that had fewer."""
    def quantity(result: Result) -> float:
        val = result.epochs("val")
        if val["epoch"].max() < epoch:
            return float("nan")
        return float(val.loc[val["epoch"] <= epoch, f"{name}_score"].max())
    return quantity


def _val_losses(result: Result) -> pd.Series:
    """By epoch; empty for a result without a loss."""
    return result.epochs("val").set_index("epoch")["loss"].dropna()


def lowest_val_loss_epoch(result: Result) -> float:
    """The epoch of the lowest val loss: a training whose train loss still falls after it overfits."""
    losses = _val_losses(result)
    return float(losses.idxmin()) if len(losses) else float("nan")


def val_loss_rise(result: Result) -> float:
    """How far the val loss ends above its lowest, as a share of the lowest: 0 if it never rises again."""
    losses = _val_losses(result)
    lowest = losses.min()
    return float(losses.iloc[-1] / lowest - 1) if len(losses) and lowest > 0 else float("nan")


def last_val_loss(result: Result) -> float:
    """The val loss of the last epoch."""
    losses = _val_losses(result)
    return float(losses.iloc[-1]) if len(losses) else float("nan")


def val_boundary_iou_epoch_1(result: Result) -> float:
    """Boundary IoU of the masks that the training kept of a few val pictures after its first epoch.

    The counts are summed over these pictures, and the score is the mean over classes. NaN if no such masks were kept.
    """
    if not isinstance(result.files, TrainingFiles):
        return float("nan")
    with np.load(result.files.snapshots) as content:
        epochs, chosen, masks_EPHW = (content[name] for name in ("epochs", "pictures", "masks"))
    if 1 not in epochs:
        return float("nan")
    prepared = prepared_folder(result.files.dataset)
    info, val = DatasetInfo.read(prepared), Split.open(prepared, "val")
    truth_PHW = val.masks[chosen]
    predicted_PKHW, truth_PKHW = (
        np.stack([info.task.unpack(mask, len(info.classes)) & ~info.task.ignored(truth_HW)
                  for mask, truth_HW in zip(masks_PHW, truth_PHW, strict=True)])
        for masks_PHW in (masks_EPHW[list(epochs).index(1)], truth_PHW))
    config = EvaluateConfig.read(result.files.evaluate_config)
    counts_PK6 = boundary_BK6(predicted_PKHW, truth_PKHW, tolerance=config.tolerance, band=config.boundary_band)
    tp_K, fp_K, fn_K = counts_PK6[..., :3].sum(0).T
    return mean_score(divided(tp_K, tp_K + fp_K + fn_K))


def score_gap(result: Result) -> float:
    """IoU of the last epoch on the training pictures, as the network saw them, less that on val."""
    train, val = (result.epochs(split)["iou_score"] for split in ("train", "val"))
    return float(train.iloc[-1] - val.iloc[-1]) if len(train) and len(val) else float("nan")


def poor_mask_accuracy(result: Result) -> float:
    """The highest pixel accuracy of a test picture whose IoU is below 0.5, both as means over its classes.

    NaN if no picture is that poor.
    """
    iou_N, accuracy_N = (mean_of_known(score.by_picture(result.cases["test"]))
                         for score in (HEADLINE, BY_NAME["pixel_accuracy_dataset"]))
    poor = accuracy_N[iou_N < POOR]
    return float(poor.max()) if poor.size else float("nan")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantity:
    title: str
    """How the page calls it"""
    of: Callable[[Result], float]
    lowest: float = 0.0
    highest: float = math.inf

    def values_S(self, variant: Variant) -> np.ndarray:
        """The quantity of each seed, (S,)."""
        return np.array([self.of(result) for result in variant.results])


QUANTITIES = {
    "curve_roughness": Quantity(title="curve roughness", of=curve_roughness),
    "curve_early_gain": Quantity(title="curve early gain", of=curve_early_gain, lowest=-1, highest=1),
    "curve_normalised": Quantity(title="curve normalised", of=curve_normalised, highest=1),
    "balancing_scale": Quantity(title="balancing scale", of=balancing_scale),
    "val_dice_by_epoch_10": Quantity(title="best val Dice of the first 10 epochs", of=_val_score_by("dice", 10),
                                     highest=1),
    "val_pixel_accuracy_by_epoch_10": Quantity(title="best val pixel accuracy of the first 10 epochs",
                                               of=_val_score_by("pixel_accuracy", 10), highest=1),
    "val_iou_by_epoch_16": Quantity(title="best val IoU of the first 16 epochs", of=_val_score_by("iou", 16),
                                    highest=1),
    "lowest_val_loss_epoch": Quantity(title="epoch of the lowest val loss", of=lowest_val_loss_epoch),
    "val_loss_rise": Quantity(title="rise of the val loss after its lowest, as a share of that", of=val_loss_rise),
    "last_val_loss": Quantity(title="val loss of the last epoch", of=last_val_loss),
    "val_boundary_iou_epoch_1": Quantity(title="boundary IoU of a few val pictures after the first epoch",
                                         of=val_boundary_iou_epoch_1, highest=1),
    "score_gap": Quantity(title="IoU on training pictures less that on val", of=score_gap, lowest=-1, highest=1),
    "poor_mask_accuracy": Quantity(title="highest pixel accuracy of a mask with IoU below 0.5", of=poor_mask_accuracy,
                                   highest=1)}
