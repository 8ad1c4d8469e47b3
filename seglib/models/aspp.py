"""Atrous spatial pyramid pooling (Chen et al. 2017, DeepLabv3, section 3.3).

Shapes: B batch, C channels, H, W.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def _branch(in_channels: int, out_channels: int, rate: int | None) -> nn.Sequential:
    """A 1×1 convolution (`rate` None) or a 3×3 one with holes, batch norm, ReLU; keeps H and W."""
    if rate is None:
        convolution = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    else:
        convolution = nn.Conv2d(in_channels, out_channels, 3, padding=rate, dilation=rate, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())


class ASPP(nn.Module):
    """A 1×1 branch, a 3×3 branch an atrous rate, and image pooling; joined and projected back to `channels`.

    (B, channels, H, W) to the same shape. The pooled branch has no batch norm: it holds one value an image and
    channel, and a batch of one image would have no variance to divide by.
    """

    def __init__(self, channels: int, rates: Sequence[int]):
        super().__init__()
        self.branches = nn.ModuleList(_branch(channels, channels, rate) for rate in (None, *rates))
        self.pooled = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU())
        self.project = _branch((len(rates) + 2) * channels, channels, None)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        # mean((2, 3)), not AdaptiveAvgPool2d: the latter's backward pass is not deterministic on CUDA.
        pooled = self.pooled(x_BCHW.mean((2, 3), keepdim=True)).expand_as(x_BCHW)
        return self.project(torch.cat([*(branch(x_BCHW) for branch in self.branches), pooled], dim=1))
