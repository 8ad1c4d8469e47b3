"""What varies over runs alone, a number a run: how a loss curve runs, and how large the terms' gradients are."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from seglib.comparison.variants import Run, Variant

EARLY = 0.2  # the share of the iterations that counts as "the first"


def _windows(run: Run) -> pd.DataFrame:
    return run.history[(run.history["split"] == "train") & (run.history["span"] == "window")]


def _curve(run: Run) -> tuple[np.ndarray, float]:
    """The running mean of the loss, and its extent."""
    loss = _windows(run)["loss"].to_numpy()
    return loss, float(np.ptp(loss))


def curve_roughness(run: Run) -> float:
    """Total variation of the loss curve over its extent: 1 where it only falls, more the more it goes back up."""
    loss, extent = _curve(run)
    return float(np.abs(np.diff(loss)).sum() / extent) if extent else float("nan")


def curve_early_gain(run: Run) -> float:
    """The share of the curve's whole fall that lies in the first fifth of the iterations."""
    windows = _windows(run)
    loss, extent = _curve(run)
    early = loss[windows["iteration"] <= EARLY * windows["iteration"].iloc[-1]]
    return float((loss[0] - early[-1]) / extent) if extent and len(early) else float("nan")


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


QUANTITIES: dict[str, Callable[[Run], float]] = {
    "curve_roughness": curve_roughness, "curve_early_gain": curve_early_gain, "curve_normalised": curve_normalised,
    "balancing_scale": balancing_scale}


def of_variant(variant: Variant, name: str) -> np.ndarray:
    """The quantity of each seed, (S,)."""
    return np.array([QUANTITIES[name](run) for run in variant.runs])
