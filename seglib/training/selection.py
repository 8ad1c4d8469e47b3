"""Which epoch's weights a training keeps, and which epoch was the last to be better than those before it."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from seglib.metrics.overlap import OVERLAP
from seglib.training.history import Row, score_column

LOSS = "loss"


class Selection:
    """Follows a training epoch by epoch.

    by: a key of OVERLAP or "loss": the val score that judges an epoch; None if nothing depends on it.
    keeps_best: whether the weights kept are those of the best epoch (of equally good ones the last), or those of the
    last epoch. `better_at` is the last epoch that was better than all before it.
    """

    def __init__(self, by: str | None, *, keeps_best: bool):
        self.by, self.keeps_best = by, keeps_best
        self.value, self.epoch, self.better_at = -math.inf, 0, 0
        self._weights: dict[str, Tensor] | None = None

    @property
    def title(self) -> str:
        """The score that judges an epoch, in words."""
        return f"val {LOSS if self.by == LOSS else OVERLAP[self.by].title}"

    def value_of(self, row: Row) -> float:
        """The value of an epoch, from its val row of the history: higher is better, minus infinity if it has none."""
        if self.by is None:
            return -math.inf
        value = -row[LOSS] if self.by == LOSS else row[score_column(self.by)]
        return -math.inf if math.isnan(value) else value  # a val split may hold none of the classes

    def see(self, row: Row, weights: Callable[[], dict[str, Tensor]]) -> None:
        """Take in an epoch's val row. `weights` gives those that the epoch left; it is called only if they are kept."""
        value = self.value_of(row)
        if value > self.value:
            self.better_at = row["epoch"]
        if value >= self.value or not self.keeps_best:
            self.epoch = row["epoch"]
            self._weights = {key: value.clone() for key, value in weights().items()} if self.keeps_best else None
        self.value = max(value, self.value)

    def weights(self, last: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of `epoch`. last: those that the last epoch left."""
        return last if self._weights is None else self._weights

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "epoch": self.epoch, "better_at": self.better_at, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self.epoch, self.better_at = state["value"], state["epoch"], state["better_at"]
        self._weights = state["weights"]
