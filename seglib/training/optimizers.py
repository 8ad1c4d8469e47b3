"""Optimizers by name. This module imports no PyTorch, so that params can read OPTIMIZERS quickly."""

import dataclasses
from typing import Any

from seglib.registry import LazyEntry


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer(LazyEntry):
    """What is known of an optimizer before its code is imported.

    path: of its class, which takes `lr` and `weight_decay`.
    state_size: how many numbers it keeps for each weight.
    takes_momentum: whether it has an argument `momentum`.
    takes_capturable: whether it has an argument `capturable`, which keeps its state on a GPU.
    arguments: what else it is given.
    """

    path: str
    state_size: int
    takes_momentum: bool = False
    takes_capturable: bool = False
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)


# `weight_decay` is decoupled from the gradient in adamw, and added to it (L2) in the others.
OPTIMIZERS: dict[str, Optimizer] = {
    "adamw": Optimizer(path="torch.optim:AdamW", state_size=2, takes_capturable=True, arguments={"fused": True}),
    "adam": Optimizer(path="torch.optim:Adam", state_size=2, takes_capturable=True, arguments={"fused": True}),
    "radam": Optimizer(path="torch.optim:RAdam", state_size=2, takes_capturable=True),
    "sgd": Optimizer(path="torch.optim:SGD", state_size=1, takes_momentum=True, arguments={"fused": True}),
}
