"""The lowest value of a loss on some pictures. It is above 0 if classes that a picture lacks cost something.

Shapes: N pictures, K classes.
"""

import dataclasses
from collections.abc import Mapping
from typing import Self

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossFloor:
    """The lowest value of a loss on some pictures, because classes that a picture lacks have a cost."""

    costs: Mapping[str, float]  # the terms in which such a class costs something, whatever is predicted
    lacking: int  # the pairs of a picture and a class in which the picture lacks the class
    pairs: int
    loss: float  # the lowest value of the loss on these pictures
    teaches_absence: bool  # whether the loss teaches the network to leave a class out of a picture

    @classmethod
    def of(cls, there_NK: np.ndarray, weights: Mapping[str, float], costs: Mapping[str, float], *, exclusive: bool
           ) -> Self:
        """The floor on some pictures.

        Args:
            there_NK: whether each picture holds each class, bool.
            weights: the weight of each term of the loss.
            costs: the result of `seglib.losses.absent_costs`.
            exclusive: whether classes exclude each other.
        """
        lacking, pairs = int((~there_NK).sum()), there_NK.size
        weighted = {term: weights[term] * cost for term, cost in costs.items()}
        # If classes exclude each other, raising one lowers the others.
        teaches = exclusive or any(weight > 0 for term, weight in weights.items() if term not in costs)
        return cls(costs={term: costs[term] for term, cost in weighted.items() if cost > 0}, lacking=lacking,
                   pairs=pairs, loss=sum(weighted.values()) * lacking / pairs, teaches_absence=teaches)

    def __str__(self) -> str:
        costs = " and ".join(f"{cost:g} in {term}" for term, cost in self.costs.items())
        return (f"cannot fall below {self.loss:.4g}: in {self.lacking} of the {self.pairs} pairs of a picture and a "
                f"class, the picture lacks the class, which costs {costs} whatever is predicted")
