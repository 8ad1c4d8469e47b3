"""Loss terms: what params.yaml may name, and what each term takes. docs/adding-a-loss.md says how to add one.

A term is a function of a `seglib.losses.view.View`, with its options as keyword arguments. This module imports no
PyTorch, so that params and resolve can read TERMS quickly.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from seglib.configs import LossConfig
from seglib.registry import LazyEntry


@dataclasses.dataclass(frozen=True, kw_only=True)
class Term(LazyEntry):
    """What is known of a term before its code is imported.

    path: of its function.
    takes: what it reads: the "logits", of which it makes probabilities itself, or the "output", as `train.output` says.
    bounded: whether it means something only if the output lies between 0 and its target, as a sigmoid does.
    tasks: the tasks that it works for; None for all.
    capturable: whether a CUDA graph can capture it. It cannot if it computes on the CPU.
    options: the names of its keyword arguments, each a key of `loss` in params.yaml.
    absent_costs: what a class that an image lacks costs there, if that depends on no output, so that this part of the
        term has no gradient; None if it depends on the output.
    absent_if: the option values for which `absent_costs` holds. With others, the cost depends on the output.
    """

    path: str
    takes: Literal["logits", "output"]
    bounded: bool = False
    tasks: tuple[str, ...] | None = None
    capturable: bool = True
    options: tuple[str, ...] = ()
    absent_costs: float | None = None
    absent_if: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def needs_probabilities(self) -> bool:
        """Whether it makes no sense with `train.output: raw`."""
        return self.takes == "logits" or self.bounded

    def works_for(self, task: str) -> bool:
        """Whether it can train on a dataset of this task."""
        return self.tasks is None or task in self.tasks

    def cost_of_absent(self, options: Mapping[str, Any]) -> float | None:
        """`absent_costs` with these options; None if the cost depends on the output."""
        return self.absent_costs if all(options.get(key) == value for key, value in self.absent_if.items()) else None


TERMS: dict[str, Term] = {
    "mse": Term(path="seglib.losses.overlap:mse", takes="output"),
    "dice": Term(path="seglib.losses.overlap:dice", takes="output", options=("epsilon", "dice_reduction"),
                 absent_costs=1.0, absent_if={"dice_reduction": "image"}),
    "iou": Term(path="seglib.losses.overlap:iou", takes="output", options=("epsilon", "dice_reduction"),
                absent_costs=1.0, absent_if={"dice_reduction": "image"}),
    "tversky": Term(path="seglib.losses.overlap:tversky", takes="output", bounded=True,
                    options=("epsilon", "tversky_alpha", "tversky_beta"), absent_costs=1.0),
    "bce": Term(path="seglib.losses.logits:bce", takes="logits"),
    "ce": Term(path="seglib.losses.logits:ce", takes="logits", tasks=("multiclass",), options=("class_weights",)),
    "focal": Term(path="seglib.losses.logits:focal", takes="logits", options=("focal_gamma",)),
    "boundary": Term(path="seglib.losses.boundary:boundary", takes="output", bounded=True, capturable=False,
                     absent_costs=0.0),
}


def absent_costs(loss: LossConfig) -> dict[str, float]:
    """The unweighted cost of a class that an image lacks, for each term in which no output changes that cost.

    The lowest value of such a loss is the sum of these costs, each times its weight, times the share of the pairs of an
    image and a class in which the image lacks the class. A model's own terms are unknown here, so they are left out.
    """
    costs = {name: TERMS[name].cost_of_absent(loss.options) for name in loss.terms if name in TERMS}
    return {name: cost for name, cost in costs.items() if cost is not None}
