"""What trainings said while they ran, as tables: curves, gradients, and where each training ended. Shapes: S seeds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from seglib.comparison.quantities import lowest_val_loss_epoch, score_gap, val_loss_rise
from seglib.comparison.variants import Run, Variant
from seglib.training.overfit import ENOUGH

EPOCH_SCORES = ("iou_score", "dice_score", "pixel_accuracy_score")


def curve_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """Loss and scores against iterations, one row per point: windows of the running mean and epochs of train and val.

    `normalised` is (loss - min) / (max - min) of its own curve, as the sources drew it; it hides the scale, so two
    normalised curves say nothing about which loss is lower. The scores are those of epochs. Then every term unweighted,
    and the norm of its gradient. What a model without a loss has no value of is empty.
    """
    parts = []
    for variant in variants:
        for run in variant.runs:
            for (split, span), curve in run.history.groupby(["split", "span"], sort=False):
                terms = {name: curve[name] for term in variant.config["loss"]["terms"]
                         for name in (term, f"{term}_grad_norm")}
                parts.append(pd.DataFrame({
                    "variant": variant.label, "model": variant.names[0][0],
                    "loss_name": variant.names[0][1] if variant.config["loss"]["terms"] else "",
                    "seed": pd.array([run.seed] * len(curve), dtype="Int64"), "curve": f"{split} {span}",
                    "iteration": curve["iteration"], "epoch": curve["epoch"], "loss": curve["loss"],
                    "normalised": _normalised(curve["loss"]), "lr": curve["lr"],
                    **{name: curve[name] for name in EPOCH_SCORES}, **terms}))
    return pd.concat(parts, ignore_index=True)


def _normalised(loss: pd.Series) -> pd.Series:
    extent = loss.max() - loss.min()
    return loss * 0.0 if extent == 0 else (loss - loss.min()) / extent


def gradient_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """Norms of the unweighted terms' gradients on the output layer: first, median, last; mean over seeds."""
    rows = []
    for variant in variants:
        for term, weight in variant.config["loss"]["terms"].items():
            norms = [run.history[f"{term}_grad_norm"].dropna().to_numpy() for run in variant.runs]
            rows.append({"variant": variant.label, "term": term, "weight": weight,
                         **{name: float(np.mean([pick(values) for values in norms])) for name, pick in (
                             ("first", lambda values: values[0]), ("median", np.median),
                             ("last", lambda values: values[-1]))}})
    return pd.DataFrame(rows, columns=["variant", "term", "weight", "first", "median", "last"])


def training_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """One row per training: how long it was, which epoch's weights were kept and why, and what they scored on val.

    epochs, trained: how many were asked for and how many there were; fewer mean that it was stopped early.
    overfit: how many training pictures it was trained and validated on, where it was asked to learn them by heart.
    learnt: whether it could; empty where that was not asked.
    kept, kept_by: the epoch whose weights were evaluated, and the val score it was chosen by (empty: the last one).
    val_iou, val_dice: of that epoch. score_gap, lowest_val_loss_epoch, val_loss_rise: see `quantities`.
    Models that were not trained in epochs have no row.
    """
    rows = []
    for variant in variants:
        for run in variant.runs if variant.config["loss"]["terms"] else []:
            train, val = variant.config["train"], run.epochs("val")
            judge = train.get("best_by", "iou") if train.get("keep") == "best" else None
            kept = kept_epoch(run, judge)
            at = val[val["epoch"] == kept].iloc[-1]
            rows.append({"variant": variant.label, "seed": run.seed, "epochs": train.get("epochs"),
                         "trained": int(val["epoch"].iloc[-1]), "overfit": train.get("overfit"),
                         "learnt": at["iou_score"] >= ENOUGH if "overfit" in train else None,
                         "kept": kept, "kept_by": judge,
                         "val_iou": at["iou_score"], "val_dice": at["dice_score"], "score_gap": score_gap(run),
                         "lowest_val_loss_epoch": lowest_val_loss_epoch(run), "val_loss_rise": val_loss_rise(run)})
    return pd.DataFrame(rows, columns=["variant", "seed", "epochs", "trained", "overfit", "learnt", "kept", "kept_by",
                                       "val_iou", "val_dice", "score_gap", "lowest_val_loss_epoch", "val_loss_rise"])


def kept_epoch(run: Run, judge: str | None) -> int:
    """The epoch whose weights were kept: of those with the best val `judge` the last, as training.selection has it.

    None: the last of all, as where the val split holds no class and so has no score.
    """
    val = run.epochs("val")
    if judge is None:
        return int(val["epoch"].iloc[-1])
    values = -val["loss"] if judge == "loss" else val[f"{judge}_score"]
    values = values.fillna(-np.inf).to_numpy()
    return int(val["epoch"].iloc[np.flatnonzero(values == values.max())[-1]])
