"""Loss terms and their weighted sums. A term is a function of a `View`, with options as keywords; docs/adding-a-loss.md
says how to add one."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from seglib.losses.boundary import boundary
from seglib.losses.logits import bce, ce, focal, inverse_frequency
from seglib.losses.overlap import dice, iou, mse, tversky
from seglib.losses.view import View

__all__ = ["TERMS", "View", "WeightedLoss", "inverse_frequency"]

# What params.yaml may name. A term's options, and their defaults, are its keyword arguments.
TERMS: dict[str, Callable[..., Tensor]] = {
    "mse": mse,
    "dice": dice,
    "iou": iou,
    "tversky": tversky,
    "bce": bce,
    "ce": ce,
    "focal": focal,
    "boundary": boundary,
}


def options_of(term: str) -> set[str]:
    """The names of a term's options."""
    return {name for name, parameter in inspect.signature(TERMS[term]).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY}


class WeightedLoss(nn.Module):
    """A weighted sum of terms, which stay readable one by one.

    `terms` maps a term's name to its weight, in the order they are logged. Each option goes to those of the terms that
    have it. Raises ValueError for a term that does not exist, or an option that no term has.
    """

    def __init__(self, terms: Mapping[str, float], **options: Any):
        super().__init__()
        if unknown := set(terms) - set(TERMS):
            raise ValueError(f"unknown loss terms {sorted(unknown)}; known: {', '.join(TERMS)}")
        if unknown := set(options) - set().union(*map(options_of, TERMS)):
            raise ValueError(f"no loss term has the option {', '.join(sorted(unknown))}")
        self.weights = dict(terms)
        self._terms = {name: partial(TERMS[name], **{key: value for key, value in options.items()
                                                     if key in options_of(name)}) for name in terms}

    def forward(self, view: View) -> dict[str, Tensor]:
        """Every term, unweighted: scalars that carry gradients."""
        return {name: term(view) for name, term in self._terms.items()}

    def total(self, values: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of what `forward` gave."""
        return torch.stack([self.weights[name] * value for name, value in values.items()]).sum()
