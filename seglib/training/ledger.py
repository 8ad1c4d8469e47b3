"""What one training says of itself: the rows of its history, as they come. Shapes: K classes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seglib.training import history
from seglib.training.history import Row, RunningMean


class Ledger:
    """Adds up losses and counts where they are computed, and writes the rows of `history`.

    weights: of the loss's terms. On a CPU a window's row is written when the window ends. A GPU is not waited for
    within an epoch: there, all of them are written at the epoch's end.
    """

    def __init__(self, weights: Mapping[str, float], *, classes: int, steps: int, log_every: int,
                 device: torch.device):
        self.rows: list[Row] = []
        self.epoch = 0
        self.window_loss: float | None = None  # of the last window that has a row
        self.window_ends = history.window_ends(steps, log_every)
        self._weights, self._steps = weights, steps
        self._waits_for_device = device.type == "cpu"
        self._window, self._epoch = RunningMean(len(weights), device), RunningMean(len(weights), device)
        self._counts_K4 = torch.zeros(classes, 4, dtype=torch.int64, device=device)
        self._ended: list[tuple[int, float, Tensor, Tensor | None]] = []  # windows without a row yet

    def summary(self) -> str:
        """The last epoch, in a line."""
        train, val = self.rows[-2:]
        return (f"lr {train['lr']:.3g}, loss {train['loss']:.4g}, val loss {val['loss']:.4g}, "
                f"val IoU {val['iou_score']:.3f}")

    def start_epoch(self) -> None:
        self.epoch += 1

    def learnt(self, step: int, values: Mapping[str, Tensor], counts_K4: Tensor, *, lr: float,
               grad_norms: Tensor | None) -> None:
        """One step of the epoch, counted from 1. `grad_norms`, a number a term, of a step that ends a window.

        Raises ValueError when the loss is not a number any more.
        """
        self._window.add(values)
        self._epoch.add(values)
        self._counts_K4 += counts_K4
        if step in self.window_ends:
            self._ended.append((self._iteration(step), lr, self._window.take(), grad_norms))
            if self._waits_for_device or step == self._steps:
                self._write_windows()
        if step == self._steps:
            self._write("train", lr)

    def validated(self, values: Mapping[str, Tensor], counts_K4: Tensor, *, pictures: int) -> None:
        """One batch of the val split."""
        self._epoch.add(values, pictures)
        self._counts_K4 += counts_K4

    def end_validation(self) -> Row:
        self._write("val", self.rows[-1]["lr"])
        return self.rows[-1]

    def state_dict(self) -> dict[str, Any]:
        """Between epochs."""
        return {"epoch": self.epoch, "rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.rows = state["epoch"], state["rows"]

    def _iteration(self, step: int) -> int:
        return (self.epoch - 1) * self._steps + step

    def _write_windows(self) -> None:
        iterations, rates, means, grad_norms = zip(*self._ended, strict=True)
        # Read together: each reading is a wait. A network without an output layer has no norms in any window.
        all_norms = [None] * len(means) if grad_norms[0] is None else torch.stack(grad_norms).tolist()
        for iteration, lr, of_terms, norms in zip(iterations, rates, torch.stack(means).tolist(), all_norms,
                                                  strict=True):
            self.rows.append(history.row(self._weights, of_terms, iteration=iteration, epoch=self.epoch, split="train",
                                         span="window", lr=lr, grad_norms=norms))
            self.window_loss = self.rows[-1]["loss"]
        self._ended = []

    def _write(self, split: str, lr: float) -> None:
        self.rows.append(history.row(
            self._weights, self._epoch.take().tolist(), iteration=self._iteration(self._steps), epoch=self.epoch,
            split=split, span="epoch", lr=lr, counts_K4=self._counts_K4))
        self._counts_K4.zero_()
