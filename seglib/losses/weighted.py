"""A weighted sum of loss terms, which stay readable one by one."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seglib.losses import TERMS
from seglib.losses.view import View
from seglib.registry import lookup

Compute = Callable[[View], dict[str, Tensor]]


class WeightedLoss:
    """The weighted sum of the terms that `compute` gives. Called with a View, it gives every term, unweighted.

    weights: the weight of each term, in the order in which they are logged.
    compute: from a View to every term, unweighted: scalars that carry gradients, in the order of `weights`.
    """

    def __init__(self, weights: Mapping[str, float], compute: Compute):
        self.weights = dict(weights)
        self._compute = compute

    def __call__(self, view: View) -> dict[str, Tensor]:
        return self._compute(view)

    def total(self, values: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the terms' values: a scalar."""
        return torch.stack([self.weights[name] * value for name, value in values.items()]).sum()


def weighted_terms(weights: Mapping[str, float], **options: Any) -> WeightedLoss:
    """The weighted sum of registered terms. Each option goes to those of the terms that have it.

    Raises ValueError for a term that does not exist, and for an option that none of the terms has.
    """
    entries = {name: lookup(TERMS, name, "loss term") for name in weights}
    for option in options:
        if not any(option in entry.options for entry in entries.values()):
            raise ValueError(f"none of the loss terms {', '.join(weights)} has the option {option}")
    terms = {name: partial(entry.load(), **{key: options[key] for key in entry.options if key in options})
             for name, entry in entries.items()}
    return WeightedLoss(weights, lambda view: {name: term(view) for name, term in terms.items()})
