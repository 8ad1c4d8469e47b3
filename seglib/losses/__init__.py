"""Loss terms: what params.yaml may name, and what each term takes. docs/adding-a-loss.md says how to add one.

A term is a function of a `seglib.losses.view.View`, with its options as keyword arguments. This module imports no
PyTorch, so that params and resolve can read TERMS quickly.
"""

import dataclasses
from typing import Literal

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
    """

    path: str
    takes: Literal["logits", "output"]
    bounded: bool = False
    tasks: tuple[str, ...] | None = None
    capturable: bool = True
    options: tuple[str, ...] = ()

    @property
    def needs_probabilities(self) -> bool:
        """Whether it makes no sense with `train.output: raw`."""
        return self.takes == "logits" or self.bounded

    def works_for(self, task: str) -> bool:
        """Whether it can train on a dataset of this task."""
        return self.tasks is None or task in self.tasks


TERMS: dict[str, Term] = {
    "mse": Term(path="seglib.losses.overlap:mse", takes="output"),
    "dice": Term(path="seglib.losses.overlap:dice", takes="output", options=("epsilon", "dice_reduction")),
    "iou": Term(path="seglib.losses.overlap:iou", takes="output", options=("epsilon", "dice_reduction")),
    "tversky": Term(path="seglib.losses.overlap:tversky", takes="output", bounded=True,
                    options=("epsilon", "tversky_alpha", "tversky_beta")),
    "bce": Term(path="seglib.losses.logits:bce", takes="logits"),
    "ce": Term(path="seglib.losses.logits:ce", takes="logits", tasks=("multiclass",), options=("class_weights",)),
    "focal": Term(path="seglib.losses.logits:focal", takes="logits", options=("focal_gamma",)),
    "boundary": Term(path="seglib.losses.boundary:boundary", takes="output", bounded=True,
                     capturable=False),
}
