"""What every model must do: any size, train and eval, bf16, channels-last, one picture a batch."""

import pytest
import torch

from seglib import models
from seglib.models.aspp import ASPP

CONFIGS = {
    "munet": {"kind": "munet", "depth": 4, "width": 8, "upsampling": "learned"},
    "munet_deep": {"kind": "munet", "depth": 8, "width": 8, "upsampling": "learned"},
    "munet_dlstudio": {"kind": "munet", "depth": 4, "width": 8, "upsampling": "dlstudio"},
    "munet_aspp": {"kind": "munet", "depth": 4, "width": 8, "upsampling": "learned", "aspp_rates": [2, 4, 6]},
}


@pytest.fixture(params=CONFIGS)
def network(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    return models.build(CONFIGS[request.param], classes=3)


@pytest.mark.parametrize("size", [(64, 64), (61, 37), (16, 8), (9, 130)])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_any_size_keeps_its_size(network: torch.nn.Module, size: tuple[int, int], mode: str):
    getattr(network, mode)()
    assert network(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_one_picture_a_batch_trains(network: torch.nn.Module):
    network.train()
    network(torch.rand(1, 3, 32, 32)).square().mean().backward()
    assert network.output_layer.weight.grad.abs().sum() > 0


def test_channels_last_and_bf16_agree_with_fp32(network: torch.nn.Module):
    network.eval()
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = network(picture)
        network.to(memory_format=torch.channels_last)
        torch.testing.assert_close(network(picture.contiguous(memory_format=torch.channels_last)), expected,
                                   rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            error = (network(picture).float() - expected).norm() / expected.norm()
    assert error < 0.05  # bf16 keeps 8 bits of a number


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown model kind 'vnet'; known: munet"):
        models.build({"kind": "vnet"}, classes=1)


def test_aspp_keeps_shape_and_has_its_five_branches():
    pyramid = ASPP(16, [2, 4, 6])
    assert pyramid(torch.rand(2, 16, 8, 8)).shape == (2, 16, 8, 8)
    c = 16
    branches = (c * c + 2 * c) + 3 * (9 * c * c + 2 * c) + (c * c + c)  # 1×1, three atrous, image pooling
    projection = 5 * c * c + 2 * c
    assert sum(p.numel() for p in pyramid.parameters()) == branches + projection


def test_aspp_reaches_as_far_as_its_rates():
    pyramid = ASPP(1, [6]).eval()
    picture = torch.zeros(1, 1, 15, 15, requires_grad=True)
    pyramid.branches[1][0](picture)[0, 0, 7, 7].backward()
    rows = picture.grad[0, 0].nonzero()[:, 0].unique().tolist()
    assert rows == [1, 7, 13]
