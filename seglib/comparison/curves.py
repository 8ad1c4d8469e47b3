"""The histories of trainings as tables: curves, gradients, and how each training ended. Shapes: S seeds."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from seglib.comparison.quantities import lowest_val_loss_epoch, score_gap, val_loss_rise
from seglib.comparison.variants import Result, Variant, trained
from seglib.training.overfit import ENOUGH

EPOCH_SCORES = ("iou_score", "dice_score", "pixel_accuracy_score")
COLUMNS = ("variant", "model", "loss_name", "seed", "curve", "iteration", "epoch", "loss", "normalised", "lr",
           *EPOCH_SCORES)


def curve_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """Loss and scores against iterations, one row per point: windows of the running mean and epochs of train and val.

    `normalised` is (loss - min) / (max - min) of its own curve, as the sources drew it. It hides the scale, so two
    normalised curves do not say which loss is lower. The scores are those of epochs. The last columns are each
    unweighted term and the norm of its gradient. Variants that were not trained have no row.
    """
    parts = [_curves_of(variant, result) for variant in trained(variants) for result in variant.results]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _curves_of(variant: Variant, result: Result) -> pd.DataFrame:
    model, loss = variant.names[0]
    terms = [name for term in variant.config["loss"]["terms"] for name in (term, f"{term}_grad_norm")]
    parts = []
    for (split, span), curve in result.history.groupby(["split", "span"], sort=False):
        parts.append(pd.DataFrame({
            "variant": variant.label, "model": model, "loss_name": loss,
            "seed": pd.array([result.seed] * len(curve), dtype="Int64"), "curve": f"{split} {span}",
            "iteration": curve["iteration"], "epoch": curve["epoch"], "loss": curve["loss"],
            "normalised": _normalised(curve["loss"]), "lr": curve["lr"],
            **{name: curve[name] for name in (*EPOCH_SCORES, *terms)}}))
    return pd.concat(parts, ignore_index=True)


def _normalised(loss: pd.Series) -> pd.Series:
    extent = loss.max() - loss.min()
    return loss * 0.0 if extent == 0 else (loss - loss.min()) / extent


def gradient_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """Norms of the unweighted terms' gradients on the output layer: first, median, last; mean over seeds.

    They are empty for a model without an output layer.
    """
    rows = []
    for variant in trained(variants):
        for term, weight in variant.config["loss"]["terms"].items():
            norms = [result.history[f"{term}_grad_norm"].dropna().to_numpy() for result in variant.results]
            rows.append({"variant": variant.label, "term": term, "weight": weight,
                         **{name: float(np.mean([pick(values) if len(values) else np.nan for values in norms]))
                            for name, pick in (("first", itemgetter(0)), ("median", np.median),
                                               ("last", itemgetter(-1)))}})
    return pd.DataFrame(rows, columns=["variant", "term", "weight", "first", "median", "last"])


def training_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """One row per training: how long it was, which epoch's weights were kept and why, and what they scored on val.

    epochs, trained: how many epochs were asked for and how many there were; fewer mean that it was stopped early.
    overfit: how many training pictures it was trained and validated on, if it was asked to learn them by heart.
    learnt: whether it could; empty if that was not asked.
    kept, kept_by: the epoch whose weights were evaluated, and the val score it was chosen by (empty: the last one).
    val_iou, val_dice: the scores of that epoch. score_gap, lowest_val_loss_epoch, val_loss_rise: see `quantities`.
    Variants that were not trained have no row.
    """
    rows = [_training_row(variant, result) for variant in trained(variants) for result in variant.results]
    return pd.DataFrame(rows, columns=["variant", "seed", "epochs", "trained", "overfit", "learnt", "kept", "kept_by",
                                       "val_iou", "val_dice", "score_gap", "lowest_val_loss_epoch", "val_loss_rise"])


def _training_row(variant: Variant, result: Result) -> dict[str, Any]:
    train, val = variant.config["train"], result.epochs("val")
    kept = kept_epoch(result)
    at = val[val["epoch"] == kept].iloc[-1]
    return {"variant": variant.label, "seed": result.seed, "epochs": train["epochs"],
            "trained": int(val["epoch"].iloc[-1]), "overfit": train["overfit"],
            "learnt": at["iou_score"] >= ENOUGH if train["overfit"] is not None else None,
            "kept": kept, "kept_by": train["best_by"] if train["keep"] == "best" else None,
            "val_iou": at["iou_score"], "val_dice": at["dice_score"], "score_gap": score_gap(result),
            "lowest_val_loss_epoch": lowest_val_loss_epoch(result), "val_loss_rise": val_loss_rise(result)}


def kept_epoch(result: Result) -> int:
    """The epoch whose weights were kept."""
    val = result.epochs("val")
    return int(val.loc[val["kept"] == 1, "epoch"].iloc[0])
