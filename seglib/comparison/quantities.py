"""What varies over runs alone, one number per run: the course of its curves, its terms' gradients, what it learned.

A quantity is NaN for a run that has none: one that was too short for it, or was not trained on a loss.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from seglib.comparison.variants import Run, Variant, mean_of_known
from seglib.metrics.scores import image_scores

EARLY = 0.2  # the share of the iterations that counts as "the first"
POOR = 0.5  # the IoU below which a mask is poor


def _windows(run: Run) -> pd.DataFrame:
    return run.history[(run.history["split"] == "train") & (run.history["span"] == "window")]


def _curve(run: Run) -> tuple[np.ndarray, float]:
    """The running mean of the loss, and its extent; none of a model without a loss."""
    loss = _windows(run)["loss"].to_numpy(np.float64)
    return loss, float(np.ptp(loss)) if len(loss) else 0.0


def curve_roughness(run: Run) -> float:
    """Total variation of the loss curve over its extent: 1 where it only falls, more the more it goes back up."""
    loss, extent = _curve(run)
    return float(np.abs(np.diff(loss)).sum() / extent) if extent else float("nan")


def curve_early_gain(run: Run) -> float:
    """The share of the curve's whole fall that lies in the first fifth of the iterations."""
    loss, extent = _curve(run)
    if not extent:
        return float("nan")
    iterations = _windows(run)["iteration"]
    early = loss[iterations <= EARLY * iterations.iloc[-1]]
    return float((loss[0] - early[-1]) / extent) if len(early) else float("nan")


def curve_normalised(run: Run) -> float:
    """The mean of the min-max normalised curve, which is what "lower" means to who looks at such curves."""
    loss, extent = _curve(run)
    return float((loss.mean() - loss.min()) / extent) if extent else float("nan")


def balancing_scale(run: Run) -> float:
    """The k at which k·Dice has a gradient as large as MSE's, on the output layer: the median over the training."""
    if not {"mse_grad_norm", "dice_grad_norm"} <= set(run.history.columns):
        return float("nan")
    windows = _windows(run)
    scale = float((windows["mse_grad_norm"] / windows["dice_grad_norm"]).median())
    return scale if np.isfinite(scale) else float("nan")


def _val_score_by(name: str, epoch: int) -> Callable[[Run], float]:
    """The best val score of the first so many epochs; NaN for a run that trained fewer."""
    def quantity(run: Run) -> float:
        val = run.epochs("val")
        if val["epoch"].max() < epoch:
            return float("nan")
        return float(val.loc[val["epoch"] <= epoch, f"{name}_score"].max())
    return quantity


def _val_losses(run: Run) -> pd.Series:
    """By epoch; empty for a model without a loss."""
    return run.epochs("val").set_index("epoch")["loss"].dropna()


def lowest_val_loss_epoch(run: Run) -> float:
    """The epoch of the lowest val loss: from there on a training that goes on lowering its own loss overfits."""
    losses = _val_losses(run)
    return float(losses.idxmin()) if len(losses) else float("nan")


def val_loss_rise(run: Run) -> float:
    """How far the val loss ends above its lowest, as a share of that: 0 where it never rises again."""
    losses = _val_losses(run)
    lowest = losses.min()
    return float(losses.iloc[-1] / lowest - 1) if len(losses) and lowest > 0 else float("nan")


def score_gap(run: Run) -> float:
    """IoU of the last epoch on the training pictures, as the network was shown them, less that on val."""
    train, val = (run.epochs(split)["iou_score"] for split in ("train", "val"))
    return float(train.iloc[-1] - val.iloc[-1]) if len(train) and len(val) else float("nan")


def poor_mask_accuracy(run: Run) -> float:
    """The highest pixel accuracy of a test picture whose IoU is below 0.5, both as means over its classes.

    NaN where no picture is that poor.
    """
    iou_N, accuracy_N = (mean_of_known(image_scores(run.cases["test"], name), axis=1)
                         for name in ("iou", "pixel_accuracy"))
    poor = accuracy_N[iou_N < POOR]
    return float(poor.max()) if poor.size else float("nan")


QUANTITIES: dict[str, Callable[[Run], float]] = {
    "curve_roughness": curve_roughness, "curve_early_gain": curve_early_gain, "curve_normalised": curve_normalised,
    "balancing_scale": balancing_scale, "val_dice_by_epoch_10": _val_score_by("dice", 10),
    "val_pixel_accuracy_by_epoch_10": _val_score_by("pixel_accuracy", 10),
    "val_iou_by_epoch_16": _val_score_by("iou", 16), "lowest_val_loss_epoch": lowest_val_loss_epoch,
    "val_loss_rise": val_loss_rise, "score_gap": score_gap, "poor_mask_accuracy": poor_mask_accuracy}

# What pages call those whose name does not say it.
TITLES = {
    "pixel_ap": "pixel AP", "val_dice_by_epoch_10": "best val Dice of the first 10 epochs",
    "val_pixel_accuracy_by_epoch_10": "best val pixel accuracy of the first 10 epochs",
    "val_iou_by_epoch_16": "best val IoU of the first 16 epochs",
    "lowest_val_loss_epoch": "epoch of the lowest val loss",
    "val_loss_rise": "rise of the val loss after its lowest, as a share of that",
    "score_gap": "IoU on training pictures less that on val",
    "poor_mask_accuracy": "highest pixel accuracy of a mask with IoU below 0.5"}


def of_variant(variant: Variant, name: str) -> np.ndarray:
    """The quantity of each seed, (S,)."""
    return np.array([QUANTITIES[name](run) for run in variant.runs])
