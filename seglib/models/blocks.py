"""What U-Nets are made of: normalised convolutions, doubling, and joining with a skip.

Shapes: B batch, C channels, H, W.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def convolution(in_channels: int, out_channels: int, norm: str) -> nn.Sequential:
    """A 3×3 convolution and a ReLU; keeps H and W.

    norm: where batch norm stands: "batch" between the two, "after_relu" behind them, "none" nowhere. The convolution
    has a bias unless batch norm follows it at once, whose own would stand in for it.
    """
    layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=norm != "batch"), nn.ReLU()]
    match norm:
        case "batch":
            layers.insert(1, nn.BatchNorm2d(out_channels))
        case "after_relu":
            layers.append(nn.BatchNorm2d(out_channels))
        case "none":
            pass
        case other:
            raise ValueError(f"norm is 'batch', 'after_relu' or 'none', found {other!r}")
    return nn.Sequential(*layers)


def double_convolution(in_channels: int, out_channels: int, norm: str, *, between: int | None = None) -> nn.Sequential:
    """Two convolutions; `between` is the channel count between them, `out_channels` by default."""
    between = between or out_channels
    return nn.Sequential(convolution(in_channels, between, norm), convolution(between, out_channels, norm))


def draw_for_relus(module: nn.Module) -> None:
    """Draw a convolution's weights with a standard deviation of √(2 / N), each output having N inputs (He et al. 2015).

    For networks without batch norm, where only the weights keep a signal at its size through many layers: PyTorch's own
    draw has a sixth of that variance.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    elif isinstance(module, nn.ConvTranspose2d):  # 2×2 with stride 2: each output has one pixel of each channel
        nn.init.normal_(module.weight, std=(2 / module.in_channels) ** 0.5)


class Bilinear(nn.Module):
    """Doubles H and W, corner on corner (`align_corners=True`): (B, C, H, W) to (B, C, 2H, 2W).

    As two matrix products, because PyTorch has no deterministic gradient for `interpolate` on CUDA but a sorted
    `index_put`, which is slow. Along each side, an output at position p takes max(0, 1 - |p - j|) of input j.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        channels, height, width = x_BCHW.shape[1:]
        x_BHWC = x_BCHW.permute(0, 2, 3, 1)  # how channels-last memory lies, so that nothing is copied
        x_BHWC = (_doubling(height, x_BHWC) @ x_BHWC.flatten(2)).unflatten(2, (width, channels))
        return (_doubling(width, x_BHWC) @ x_BHWC).permute(0, 3, 1, 2)


def _doubling(length: int, like: Tensor) -> Tensor:
    """The matrix (2 · length, length) that doubles one side; dtype and device of `like`."""
    positions = torch.arange(2 * length, device=like.device) * ((length - 1) / (2 * length - 1))
    distances = (positions[:, None] - torch.arange(length, device=like.device)).abs()
    return (1 - distances).clamp_min(0).to(like.dtype)


def fit(x_BCHW: Tensor, skip_BCHW: Tensor) -> Tensor:
    """`x` brought to the height and width of `skip` about its centre: zeros around it, or cut where it is larger.

    Widely written as one `pad` by differences which nobody expects to be negative. See `resnet_unet`.
    """
    down, right = (skip - own for skip, own in zip(skip_BCHW.shape[2:], x_BCHW.shape[2:], strict=True))
    return functional.pad(x_BCHW, (right // 2, right - right // 2, down // 2, down - down // 2))


class Up(nn.Module):
    """Doubles what comes from below, joins it to its skip, and convolves twice.

    upsampling: "transposed" (a 2×2 convolution with stride 2, to as many channels as the skip has), "bilinear" (keeps
    the channels) or "none" (does not double, for a skip at the resolution of what comes from below).
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, *, upsampling: str, norm: str):
        super().__init__()
        joined = in_channels + skip_channels
        match upsampling:
            case "transposed":
                self.upsample: nn.Module = nn.ConvTranspose2d(in_channels, skip_channels, 2, stride=2)
                joined = 2 * skip_channels
            case "bilinear":
                self.upsample = Bilinear()
            case "none":
                self.upsample = nn.Identity()
            case other:
                raise ValueError(f"upsampling is 'bilinear' or 'transposed', found {other!r}")
        self.convolve = double_convolution(joined, out_channels, norm, between=joined // 2)

    def forward(self, x_BCHW: Tensor, skip_BCHW: Tensor) -> Tensor:
        return self.convolve(torch.cat([skip_BCHW, fit(self.upsample(x_BCHW), skip_BCHW)], dim=1))
