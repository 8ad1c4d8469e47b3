"""A plain convolutional network at full resolution: what a course on segmentation starts from.

Shapes: B batch, K classes, H, W.
"""

import itertools

from torch import Tensor, nn

from seglib.models.blocks import convolution, draw_for_relus


class ConvNet(nn.Module):
    """(B, 3, H, W) to logits (B, K, H, W); any H and W. A pixel's logits see 2 · `layers` + 1 pixels a side.

    classes: K.
    width: channels of every layer.
    layers: how many 3×3 convolutions stand before the 1×1 one that writes the logits.
    norm: where batch norm stands: "batch" (between convolution and ReLU), "after_relu" or "none".
    """

    divisor = 1
    encoder = None

    def __init__(self, *, classes: int, width: int, layers: int, norm: str):
        super().__init__()
        self.layers = nn.Sequential(*(convolution(in_channels, out_channels, norm) for in_channels, out_channels
                                      in itertools.pairwise([3, *[width] * layers])))
        self.output_layer = nn.Conv2d(width, classes, 1)
        if norm == "none":
            self.apply(draw_for_relus)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.output_layer(self.layers(x_BCHW))
