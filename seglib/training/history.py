"""history.csv: what a training said while it ran, one row a span of iterations.

    iteration, epoch   where the span ends (counted from 1)
    split, span        train: "window" (a running mean of about `log_every` iterations) and "epoch"; val: "epoch"
    lr                 the learning rate of the span's last iteration; 0 for a model that only counts
    loss               the weighted sum; then, for each term: `<term>` unweighted, `<term>_weighted`, and, for windows,
                       `<term>_grad_norm`, the norm of the unweighted term's gradient in the output layer's weights at
                       the span's last iteration; empty for a model that only counts
    iou_score, dice_score, pixel_accuracy_score
                       the mean over classes of the split's dataset scores, for epochs
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seglib.files import atomic_file
from seglib.metrics.counts import pooled_scores

Row = dict[str, Any]
SCORES = ("iou", "dice", "pixel_accuracy")


class Diverged(ValueError):
    """A loss that is not a number any more."""


class RunningMean:
    """The mean of each loss term over some batches, summed where the values are: no wait for a GPU. T terms."""

    def __init__(self, terms: int, device: torch.device):
        self.sums_T = torch.zeros(terms, dtype=torch.float64, device=device)
        self.count = 0

    def add(self, values_T: Tensor, pictures: int = 1) -> None:
        """pictures: those of the batch, where each picture is to count the same; a mean over iterations leaves it out.
        """
        self.sums_T += pictures * values_T
        self.count += pictures

    def take(self) -> Tensor:
        """The means so far, float64 (T,); starts over."""
        means_T = self.sums_T / max(self.count, 1)
        self.sums_T.zero_()
        self.count = 0
        return means_T

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums_T, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums_T, self.count = state["sums"].to(self.sums_T.device), state["count"]


def window_ends(steps: int, log_every: int) -> set[int]:
    """The iterations of an epoch, 1 to `steps`, that end a window.

    The last one is among them, and windows are equally long but for one iteration: about `log_every`.
    """
    windows = max(1, round(steps / log_every))
    return {window * steps // windows for window in range(1, windows + 1)}


def row(weights: Mapping[str, float], means: Sequence[float], *, iteration: int, epoch: int, split: str, span: str,
        lr: float, grad_norms: Sequence[float] | None = None, counts_K4: Tensor | None = None) -> Row:
    """A row of history.csv. weights, means: of the loss's terms; empty for a model that only counts.

    Raises Diverged when the loss is not a number any more.
    """
    terms = dict(zip(weights, means, strict=True))
    total = sum(weights[name] * value for name, value in terms.items()) if terms else None
    if total is not None and not np.isfinite(total):
        values = ", ".join(f"{name} {value}" for name, value in terms.items())
        raise Diverged(f"the {split} loss is {total} at iteration {iteration} "
                       f"(epoch {epoch}, lr {lr:.3g}; {values}): lower train.lr, or try train.precision=fp32")
    content = {"iteration": iteration, "epoch": epoch, "split": split, "span": span, "lr": lr, "loss": total}
    for position, (name, value) in enumerate(terms.items()):
        content |= {name: value, f"{name}_weighted": weights[name] * value}
        content[f"{name}_grad_norm"] = grad_norms[position] if grad_norms else None
    scores = pooled_scores(counts_K4.cpu().numpy()) if counts_K4 is not None else {}
    return content | {f"{name}_score": scores.get(name) for name in SCORES}


def write(path: Path, rows: list[Row]) -> None:
    """Real numbers have nine digits, as many as a float32 needs; what is not there is empty, and so is what is NaN."""
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows([_cell(value) for value in row.values()] for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.9g}"
    return value
