"""history.csv: losses and scores of a training while it ran, one row per span of iterations.

    iteration, epoch   where the span ends (counted from 1)
    split, span        train: "window" (a running mean of about `log_every` iterations) and "epoch"; val: "epoch"
    lr                 the learning rate of the span's last iteration
    loss               the weighted sum; then, for each term: `<term>` unweighted, `<term>_weighted`, and, for windows,
                       `<term>_grad_norm`, the norm of the unweighted term's gradient in the output layer's weights at
                       the span's last iteration
    iou_score, dice_score, pixel_accuracy_score, and `<train.best_by>_score` if it is another
                       the mean over classes of the split's dataset scores, for epochs
    kept               for epochs of val: 1 if the weights of this epoch were kept, else 0
"""

import csv
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seglib.files import atomic_file
from seglib.metrics.overlap import pooled

Row = dict[str, Any]


class Diverged(ValueError):
    """A loss that is not a number any more."""


class RunningMean:
    """The mean of each loss term over some batches, summed on the values' device: no wait for a GPU. T terms."""

    def __init__(self, terms: int, device: torch.device):
        self.sums_T = torch.zeros(terms, dtype=torch.float64, device=device)
        self.count = 0

    def add(self, values_T: Tensor, pictures: int = 1) -> None:
        """Add the values of one batch. pictures: its size, if each picture is to count the same, and not each batch."""
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


def score_column(name: str) -> str:
    """The column of a key of OVERLAP."""
    return f"{name}_score"


def window_ends(steps: int, log_every: int) -> set[int]:
    """The iterations of an epoch, 1 to `steps`, that end a window; the last one is among them.

    Windows have about `log_every` iterations each, and their lengths differ by one at most.
    """
    windows = max(1, round(steps / log_every))
    return {window * steps // windows for window in range(1, windows + 1)}


def row(weights: Mapping[str, float], means: Sequence[float], *, iteration: int, epoch: int, split: str, span: str,
        lr: float, scores: Sequence[str], grad_norms: Sequence[float] | None = None,
        counts_K4: Tensor | None = None) -> Row:
    """A row of history.csv, without `kept`. weights, means: of the loss's terms. scores: those that have a column.

    Raises Diverged if the loss is not a number any more.
    """
    terms = dict(zip(weights, means, strict=True))
    total = sum(weights[name] * value for name, value in terms.items())
    if not np.isfinite(total):
        values = ", ".join(f"{name} {value}" for name, value in terms.items())
        raise Diverged(f"the {split} loss is {total} at iteration {iteration} "
                       f"(epoch {epoch}, lr {lr:.3g}; {values}): lower train.lr, or try train.precision=fp32")
    content = {"iteration": iteration, "epoch": epoch, "split": split, "span": span, "lr": lr, "loss": total}
    for position, (name, value) in enumerate(terms.items()):
        content |= {name: value, f"{name}_weighted": weights[name] * value}
        content[f"{name}_grad_norm"] = grad_norms[position] if grad_norms else None
    counts_K4 = None if counts_K4 is None else counts_K4.cpu().numpy()
    return content | {score_column(name): None if counts_K4 is None else pooled(name, counts_K4) for name in scores}


def marked(rows: list[Row], kept_epoch: int) -> list[Row]:
    """The rows of a finished training, with the column `kept`."""
    return [row | {"kept": int(row["epoch"] == kept_epoch) if row["split"] == "val" else None} for row in rows]


def write(path: Path, rows: list[Row]) -> None:
    """Write history.csv. Real numbers have nine digits, as many as a float32 needs. None and NaN are empty."""
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows([_cell(value) for value in row.values()] for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.9g}"
    return value


@dataclasses.dataclass(frozen=True)
class _Window:
    """A window that has ended and has no row yet."""

    iteration: int
    lr: float
    means_T: Tensor
    grad_norms_T: Tensor | None


class History:
    """Adds up losses and counts on the device that computes them, and makes rows of them.

    weights: of the loss's terms. scores: those that have a column. On a CPU a window's row is made when the window
    ends. On a GPU, which is not waited for within an epoch, all rows are made at the epoch's end.
    """

    def __init__(self, weights: Mapping[str, float], *, scores: Sequence[str], classes: int, steps: int, log_every: int,
                 device: torch.device):
        self.rows: list[Row] = []
        self.epoch = 0  # how many are over, or the number of the one under way
        self.step = 0  # of the epoch under way, how many are done; 0 between epochs
        self.window_loss: float | None = None  # of the last window that has a row
        self.window_ends = window_ends(steps, log_every)
        self._weights, self._scores, self._steps, self._device = weights, scores, steps, device
        self._waits_for_device = device.type == "cpu"
        self._window, self._epoch = RunningMean(len(weights), device), RunningMean(len(weights), device)
        self._counts_K4 = torch.zeros(classes, 4, dtype=torch.int64, device=device)
        self._ended: list[_Window] = []  # windows without a row yet
        self._since: list[tuple[float, Tensor]] = []  # of each step since the last row: lr, and (T,)

    def summary(self) -> str:
        """The last epoch in one line."""
        train, val = self.rows[-2:]
        return (f"lr {train['lr']:.3g}, loss {train['loss']:.4g}, val loss {val['loss']:.4g}, "
                f"val IoU {val['iou_score']:.3f}")

    def start_epoch(self) -> None:
        self.epoch += 1

    def how_it_goes_on(self) -> str:
        """Where a training that an earlier run began goes on, in words."""
        if self.step:
            return f"goes on after step {self.step} of {self._steps} of epoch {self.epoch}, the last that was kept"
        return f"goes on after epoch {self.epoch}, the last that an earlier run ended"

    def pictures(self, images: int, batch_size: int) -> int:
        """The number of pictures learnt from so far, of `images` per epoch, each counted as often as it was seen."""
        over = self.epoch - (self.step > 0)
        return over * images + min(self.step * batch_size, images)

    def of_epoch(self) -> list[Row]:
        """The rows so far of the epoch under way, or those of the last epoch."""
        return [row for row in self.rows if row["epoch"] == self.epoch]

    def learnt(self, values: Mapping[str, Tensor], counts_K4: Tensor, *, lr: float, grad_norms: Tensor | None) -> None:
        """Add one more step of the epoch. grad_norms: one number per term, for a step that ends a window.

        Raises Diverged if the loss is not a number any more.
        """
        self.step += 1
        values_T = torch.stack([value.detach().double() for value in values.values()])
        self._window.add(values_T)
        self._epoch.add(values_T)
        self._since.append((lr, values_T))
        self._counts_K4 += counts_K4
        if self.step in self.window_ends:
            self._ended.append(_Window(self._iteration, lr, self._window.take(), grad_norms))
            if self._waits_for_device or self.step == self._steps:
                self._write_windows()
        if self.step == self._steps:
            self._write("train", lr)

    def validated(self, values: Mapping[str, Tensor], counts_K4: Tensor, *, pictures: int) -> None:
        """Add one batch of the val split."""
        self._epoch.add(torch.stack([value.detach().double() for value in values.values()]), pictures)
        self._counts_K4 += counts_K4

    def end_validation(self) -> Row:
        """End the epoch, and return its val row. Raises Diverged as `learnt` does."""
        self._write("val", self.rows[-1]["lr"])
        self.step = 0
        return self.rows[-1]

    def state_dict(self) -> dict[str, Any]:
        """The state between two steps or epochs."""
        return {"epoch": self.epoch, "step": self.step, "rows": self.rows, "counts": self._counts_K4,
                "window": self._window.state_dict(), "of_epoch": self._epoch.state_dict(),
                "ended": [dataclasses.astuple(window) for window in self._ended]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.step, self.rows = state["epoch"], state["step"], state["rows"]
        self._counts_K4 = state["counts"].to(self._device)
        self._window.load_state_dict(state["window"])
        self._epoch.load_state_dict(state["of_epoch"])
        self._ended = [_Window(iteration, lr, *(None if tensor is None else tensor.to(self._device) for tensor in both))
                       for iteration, lr, *both in state["ended"]]

    def check(self) -> None:
        """Raise Diverged as `learnt` does; this waits for the device."""
        self._check(self._epoch.sums_T.tolist())

    @property
    def _iteration(self) -> int:
        return (self.epoch - 1) * self._steps + self.step

    def _write_windows(self) -> None:
        means_WT = torch.stack([window.means_T for window in self._ended]).tolist()
        self._check(sum(means_WT, []))
        # They are read together, because each read waits. A network without an output layer has no norms in any window.
        norms_WT = [None] * len(self._ended) if self._ended[0].grad_norms_T is None else (
            torch.stack([window.grad_norms_T for window in self._ended]).tolist())
        for window, means_T, norms_T in zip(self._ended, means_WT, norms_WT, strict=True):
            self.rows.append(row(self._weights, means_T, iteration=window.iteration, epoch=self.epoch, split="train",
                                 span="window", lr=window.lr, scores=self._scores, grad_norms=norms_T))
            self.window_loss = self.rows[-1]["loss"]
        self._ended, self._since = [], []

    def _check(self, summed: list[float]) -> None:
        """Raise Diverged, naming the first step whose loss is not a number, if some sum is none."""
        if all(map(math.isfinite, summed)):
            return
        first = self._iteration - len(self._since) + 1
        for iteration, (lr, values_T) in enumerate(self._since, first):
            row(self._weights, values_T.tolist(), iteration=iteration, epoch=self.epoch, split="train", span="window",
                lr=lr, scores=self._scores)

    def _write(self, split: str, lr: float) -> None:
        self.rows.append(row(
            self._weights, self._epoch.take().tolist(), iteration=self._iteration, epoch=self.epoch, split=split,
            span="epoch", lr=lr, scores=self._scores, counts_K4=self._counts_K4))
        self._counts_K4.zero_()
