"""Pictures of any size: pad them to what a network divides by, crop its logits back."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class Padded(nn.Module):
    """Wraps a network whose input sides must be multiples of its `divisor`, and passes on its attributes."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    @property
    def divisor(self) -> int:
        return self.network.divisor

    @property
    def output_layer(self) -> nn.Module | None:
        """The layer whose weight writes the logits, where the gradients of loss terms are compared; or None."""
        return self.network.output_layer

    @property
    def encoder(self) -> nn.Module | None:
        """The part that may come pretrained, and that a training may freeze; or None."""
        return self.network.encoder

    def loss_terms(self, view: Any) -> dict[str, Tensor]:
        """The network's own loss terms, unweighted scalars, of a `seglib.losses.view.View`.

        Only a network whose `seglib.models.Kind` names `loss_terms` has them.
        """
        return self.network.loss_terms(view)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Pictures of any size to logits of the same height and width.

        Edges are repeated rather than filled with black, which a network could take for an object's border.
        """
        height, width = x_BCHW.shape[-2:]
        down, right = -height % self.divisor, -width % self.divisor
        if down or right:
            x_BCHW = functional.pad(x_BCHW, (0, right, 0, down), mode="replicate")
        return self.network(x_BCHW)[..., :height, :width]
