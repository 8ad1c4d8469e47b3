"""U-Net (Ronneberger, Fischer, Brox 2015), as it is widely written: padded convolutions with batch norm.

The paper's convolutions have no padding, so that its 572×572 pixels in are 388×388 out, and no batch norm. Shapes:
B batch, K classes, H, W.
"""

import itertools

from torch import Tensor, nn
from torch.nn import functional

from seglib.models.blocks import Up, double_convolution, draw_for_relus


class UNet(nn.Module):
    """(B, 3, H, W) to logits (B, K, H, W); H and W from 16.

    Where a side is no multiple of 16, a doubled map is a pixel short of its skip and is padded with zeros, as in the
    source; behind `Padded`, which knows the divisor, it never is.

    classes: K.
    width: channels at full resolution, twice as many at each of the four levels below; 64 in the paper.
    upsampling: "transposed", as in the paper, or "bilinear", which halves the channels in the convolutions instead.
    norm: where batch norm stands: "batch" (between convolution and ReLU), "after_relu" or "none". Without it, weights
        are drawn as the paper says (section 3), whose network has none.
    """

    divisor = 16
    encoder = None

    def __init__(self, *, classes: int, width: int, upsampling: str, norm: str):
        super().__init__()
        levels = [width << level for level in range(5)]
        # Bilinear doubling cannot lessen the channels, so what a level hands up is halved before.
        handed_up = [width, *(channels // 2 if upsampling == "bilinear" else channels for channels in levels[1:])]
        self.down = nn.ModuleList(double_convolution(in_channels, out_channels, norm)
                                  for in_channels, out_channels in itertools.pairwise([3, *levels[:4], handed_up[4]]))
        self.up = nn.ModuleList(
            Up(handed_up[level + 1], levels[level], handed_up[level], upsampling=upsampling, norm=norm)
            for level in (3, 2, 1, 0))
        self.output_layer = nn.Conv2d(width, classes, 1)
        if norm == "none":
            self.apply(draw_for_relus)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        skips = [self.down[0](x_BCHW)]
        for down in self.down[1:]:
            skips.append(down(functional.max_pool2d(skips[-1], 2)))
        x_BCHW = skips.pop()
        for up in self.up:
            x_BCHW = up(x_BCHW, skips.pop())
        return self.output_layer(x_BCHW)
