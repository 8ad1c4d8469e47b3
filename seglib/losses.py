"""Loss terms and their weighted sums.

Shapes: B batch, K classes, H, W. `output_BKHW` is what `train.output` makes of the network's output (its sigmoid,
or the output itself), `target_BKHW` holds 0 or the class's target value, both float32. `valid_B1HW`, where given,
is False on pixels to ignore.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def mse(output_BKHW: Tensor, target_BKHW: Tensor, valid_B1HW: Tensor | None = None) -> Tensor:
    """Mean squared error over all classes and all pixels that are not ignored."""
    squared = (output_BKHW - target_BKHW).square()
    if valid_B1HW is None:
        return squared.mean()
    counted = valid_B1HW.sum() * output_BKHW.shape[1]
    return (squared * valid_B1HW).sum() / counted.clamp(min=1)


def dice(
    output_BKHW: Tensor,
    target_BKHW: Tensor,
    valid_B1HW: Tensor | None = None,
    *,
    epsilon: float,
    reduction: str,
) -> Tensor:
    """Dice loss with squares in the denominator (Milletari et al. 2016, V-Net), as the course's assignment gives it:

        1 - mean( 2 Σ output·target / (Σ output² + Σ target² + epsilon) )

    `reduction` "image": the sums run over H and W, the mean over images and classes. A class that an image does
    not hold scores 0 there whatever the output, so Dice alone never teaches a network to leave it out.
    "batch": the sums run over the whole batch flattened, classes included, and there is one Dice.
    """
    if valid_B1HW is not None:
        output_BKHW, target_BKHW = output_BKHW * valid_B1HW, target_BKHW * valid_B1HW
    over = (2, 3) if reduction == "image" else (0, 1, 2, 3)
    shared = (output_BKHW * target_BKHW).sum(over)
    total = output_BKHW.square().sum(over) + target_BKHW.square().sum(over)
    return 1 - (2 * shared / (total + epsilon)).mean()


class WeightedLoss(nn.Module):
    """A weighted sum of terms, which stay readable one by one.

    `terms` maps a term's name to its weight, in the order they are logged. `epsilon` and `dice_reduction` are
    `dice`'s. Raises ValueError for a term that does not exist.
    """

    def __init__(self, terms: Mapping[str, float], *, epsilon: float = 1e-6, dice_reduction: str = "image"):
        super().__init__()
        known = {
            "mse": mse,
            "dice": lambda *tensors: dice(*tensors, epsilon=epsilon, reduction=dice_reduction),
        }
        if unknown := set(terms) - set(known):
            raise ValueError(f"unknown loss terms {sorted(unknown)}; known: {', '.join(known)}")
        self.weights = dict(terms)
        self._terms = {name: known[name] for name in terms}

    def forward(self, output_BKHW: Tensor, target_BKHW: Tensor, valid_B1HW: Tensor | None = None) -> dict[str, Tensor]:
        """Every term, unweighted: scalars that carry gradients."""
        return {name: term(output_BKHW, target_BKHW, valid_B1HW) for name, term in self._terms.items()}

    def total(self, values: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of what `forward` gave."""
        return torch.stack([self.weights[name] * value for name, value in values.items()]).sum()
