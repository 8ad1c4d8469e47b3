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


class History:
    """Collects the losses and counts of each step on the device that computes them, and makes rows of them.

    weights: of the loss's terms. has_norms: whether steps that end a window come with norms. scores: those that have a
    column. steps, val_steps: batches in an epoch and in a
    validation. `record` and `record_validation` are part of a step: they only change tensors, which stay where they
    are. All else runs on the host. On a CPU a window's row is made when the window ends. On a GPU, which is not waited
    for within an epoch, all rows are made at the epoch's end. Shapes: S steps, V val_steps, T terms, K classes.
    """

    def __init__(self, weights: Mapping[str, float], *, has_norms: bool, scores: Sequence[str], classes: int,
                 steps: int, val_steps: int, log_every: int, device: torch.device):
        self.rows: list[Row] = []
        self.epoch = 0  # how many are over, or the number of the one under way
        self.step = 0  # of the epoch under way, how many are done; 0 between epochs
        self.window_loss: float | None = None  # of the last window that has a row
        self.window_ends = window_ends(steps, log_every)
        self.position = torch.zeros(1, dtype=torch.int64, device=device)  # `step`, on the device
        self._weights, self._has_norms, self._scores, self._steps = weights, has_norms, scores, steps
        self._waits_for_device = device.type == "cpu"
        self._values_ST, self._val_values_VT = (
            torch.zeros(length, len(weights), dtype=torch.float64, device=device) for length in (steps, val_steps))
        self._norms_ST = torch.zeros(steps, len(weights), dtype=torch.float64, device=device)
        self._counts_K4 = torch.zeros(classes, 4, dtype=torch.int64, device=device)
        self._rates: list[float] = []  # the learning rate of each step of the epoch
        self._pictures: list[int] = []  # in each batch of the validation

    @property
    def kept(self) -> list[Tensor]:
        """The tensors that a step changes."""
        return [self.position, self._values_ST, self._val_values_VT, self._norms_ST, self._counts_K4]

    def summary(self) -> str:
        """The last epoch in one line."""
        train, val = self.rows[-2:]
        return (f"lr {train['lr']:.3g}, loss {train['loss']:.4g}, val loss {val['loss']:.4g}, "
                f"val IoU {val['iou_score']:.3f}")

    def how_it_goes_on(self) -> str:
        """Where a training that an earlier run began goes on, in words."""
        if self.step:
            return f"goes on after step {self.step} of {self._steps} of epoch {self.epoch}, the last that was kept"
        return f"goes on after epoch {self.epoch}, the last that an earlier run ended"

    def pictures(self, sizes: Sequence[int]) -> int:
        """The number of pictures learnt from so far, each counted as often as it was seen.

        sizes: of an epoch's batches.
        """
        over = self.epoch - (self.step > 0)
        return over * sum(sizes) + sum(sizes[:self.step])

    def of_epoch(self) -> list[Row]:
        """The rows so far of the epoch under way, or those of the last epoch."""
        return [row for row in self.rows if row["epoch"] == self.epoch]

    def start_epoch(self) -> None:
        self.epoch += 1

    def start_steps(self, rates: Sequence[float]) -> None:
        """Begin the epoch's steps, or go on with them. rates: the learning rate of each step of the epoch."""
        self._rates = list(rates)
        self.position.fill_(self.step)

    def record(self, values: Mapping[str, Tensor], counts_K4: Tensor, *, grad_norms_T: Tensor | None) -> None:
        """Record the step at `position`, on the device. grad_norms_T: of a step that ends a window."""
        self._values_ST.copy_(_with_row(self._values_ST, self.position, _stacked(values)))
        if grad_norms_T is not None:
            self._norms_ST.copy_(_with_row(self._norms_ST, self.position, grad_norms_T.double()))
        self._counts_K4 += counts_K4
        self.position += 1

    def learnt(self) -> bool:
        """Count one more step of the epoch, after `record`. Returns whether it ended a window.

        Raises Diverged if the loss is not a number any more.
        """
        self.step += 1
        ended = self.step in self.window_ends
        if ended and (self._waits_for_device or self.step == self._steps):
            self._write_windows()
        if self.step == self._steps:
            values_ST = self._values_ST.cpu()
            self._write("train", values_ST.mean(0).tolist())
        return ended

    def start_validation(self) -> None:
        self._pictures = []
        self.position.zero_()

    def record_validation(self, values: Mapping[str, Tensor], counts_K4: Tensor) -> None:
        """Record the batch of the val split at `position`, on the device."""
        self._val_values_VT.copy_(_with_row(self._val_values_VT, self.position, _stacked(values)))
        self._counts_K4 += counts_K4
        self.position += 1

    def validated(self, pictures: int) -> None:
        """Count one more batch of the val split, after `record_validation`."""
        self._pictures.append(pictures)

    def end_validation(self) -> Row:
        """End the epoch, and return its val row. Raises Diverged as `learnt` does."""
        pictures_V1 = torch.tensor(self._pictures, dtype=torch.float64).unsqueeze(1)
        means_T = (self._val_values_VT.cpu()[:len(pictures_V1)] * pictures_V1).sum(0) / pictures_V1.sum()
        self._write("val", means_T.tolist())
        self.step = 0
        return self.rows[-1]

    def state_dict(self) -> dict[str, Any]:
        """The state between two steps or epochs."""
        return {"epoch": self.epoch, "step": self.step, "rows": self.rows, "counts": self._counts_K4,
                "values": self._values_ST[:self.step], "norms": self._norms_ST[:self.step]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.step, self.rows = state["epoch"], state["step"], state["rows"]
        self._counts_K4.copy_(state["counts"])
        self._values_ST[:self.step].copy_(state["values"])
        self._norms_ST[:self.step].copy_(state["norms"])

    def check(self) -> None:
        """Raise Diverged as `learnt` does; this waits for the device."""
        self._check(self._values_ST[:self.step].tolist())

    @property
    def _iteration(self) -> int:
        return (self.epoch - 1) * self._steps + self.step

    def _write_windows(self) -> None:
        """Make rows of the windows that have ended and have none."""
        values_ST, norms_ST = (of[:self.step].cpu().numpy() for of in (self._values_ST, self._norms_ST))
        self._check(values_ST.tolist())
        first = (self.epoch - 1) * self._steps
        written = self.rows[-1]["iteration"] - first if self.rows and self.rows[-1]["epoch"] == self.epoch else 0
        for end in sorted(end for end in self.window_ends if written < end <= self.step):
            norms_T = norms_ST[end - 1].tolist() if self._has_norms else None
            self.rows.append(row(
                self._weights, values_ST[written:end].mean(0).tolist(), iteration=first + end, epoch=self.epoch,
                split="train", span="window", lr=self._rates[end - 1], scores=self._scores,
                grad_norms=norms_T))
            self.window_loss, written = self.rows[-1]["loss"], end

    def _check(self, values_ST: list[list[float]]) -> None:
        """Raise Diverged, naming the first step of the epoch whose loss is not a number, if there is one."""
        for step, values_T in enumerate(values_ST):
            if not all(map(math.isfinite, values_T)):
                row(self._weights, values_T, iteration=(self.epoch - 1) * self._steps + step + 1, epoch=self.epoch,
                    split="train", span="window", lr=self._rates[step], scores=self._scores)

    def _write(self, split: str, means_T: list[float]) -> None:
        self.rows.append(row(self._weights, means_T, iteration=self._iteration, epoch=self.epoch, split=split,
                             span="epoch", lr=self._rates[-1], scores=self._scores, counts_K4=self._counts_K4))
        self._counts_K4.zero_()


def _stacked(values: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([value.detach().double() for value in values.values()])


def _with_row(rows_ST: Tensor, position: Tensor, row_T: Tensor) -> Tensor:
    """A copy with another row at a position that the device knows. `index_copy` would sort there to be deterministic.
    """
    is_row_S1 = (torch.arange(len(rows_ST), device=rows_ST.device) == position).unsqueeze(1)
    return torch.where(is_row_S1, row_T, rows_ST)
