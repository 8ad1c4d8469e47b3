"""What U-Nets are made of, against PyTorch's own interpolation and closed forms."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seglib.models.blocks import Bilinear, Up, convolution, fit


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 4), (7, 12)])
def test_bilinear_doubling_is_pytorchs_with_its_gradient(size: tuple[int, int]):
    x = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=True)
    target = torch.rand(2, 3, *(2 * side for side in size), dtype=torch.float64)
    theirs = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    ours = Bilinear()(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)  # ours has float32 weights
    gradients = [torch.autograd.grad((doubled * target).sum(), x)[0] for doubled in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6)


def test_bilinear_doubling_keeps_memory_channels_last():
    x = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert Bilinear()(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("length", "target", "expected"), [
    (3, 5, [0, 1, 2, 3, 0]), (3, 4, [1, 2, 3, 0]), (3, 3, [1, 2, 3]), (4, 2, [2, 3]), (5, 2, [3, 4]),
])
def test_fit_pads_or_cuts_about_the_centre(length: int, target: int, expected: list[int]):
    x = torch.arange(1, length + 1).view(1, 1, -1, 1)
    assert fit(x, torch.zeros(1, 1, target, 1))[0, 0, :, 0].tolist() == expected
    assert fit(x.mT, torch.zeros(1, 1, 1, target))[0, 0, 0].tolist() == expected


def block(norm: str, x: Tensor) -> Tensor:
    torch.manual_seed(0)
    return convolution(3, 16, norm)(x)


def test_where_batch_norm_stands_shows_in_the_output():
    x = torch.randn(4, 3, 16, 16)
    before, behind, without = block("batch", x), block("after_relu", x), block("none", x)
    assert (before >= 0).all() and (without >= 0).all()  # a ReLU comes last
    # Normalised values, of which the ReLU keeps the positive: half of a symmetric distribution.
    assert 0.4 < (before > 0).float().mean() < 0.6
    torch.testing.assert_close(behind.mean((0, 2, 3)), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(behind.var((0, 2, 3), correction=0), torch.ones(16), atol=1e-2, rtol=0)
    assert without.mean((0, 2, 3)).std() > 0.01  # no two channels are made alike


@pytest.mark.parametrize(("norm", "parameters"), [("batch", 9 * 3 * 16 + 2 * 16), ("after_relu", 9 * 3 * 16 + 3 * 16),
                                                  ("none", 9 * 3 * 16 + 16)])
def test_a_convolution_has_a_bias_unless_batch_norm_follows(norm: str, parameters: int):
    assert sum(p.numel() for p in convolution(3, 16, norm).parameters()) == parameters


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="norm is 'batch', 'after_relu' or 'none', found 'layer'"):
        convolution(3, 3, "layer")
    with pytest.raises(ValueError, match="upsampling is 'bilinear' or 'transposed', found 'nearest'"):
        Up(8, 4, 4, upsampling="nearest", norm="batch")
