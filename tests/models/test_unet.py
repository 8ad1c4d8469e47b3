"""U-Net: the literature's parameter counts, the paper's reach, the source's way with odd sizes."""

import pytest
import torch

from seglib.models.unet import UNet


@pytest.mark.parametrize(("upsampling", "parameters"), [("transposed", 31_037_633), ("bilinear", 17_262_977)])
def test_parameter_counts_are_those_of_the_widely_used_code(upsampling: str, parameters: int):
    network = UNet(classes=1, width=64, upsampling=upsampling, norm="batch")
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_four_rows_out_see_188_rows_in_as_the_papers_388_see_572():
    network = UNet(classes=1, width=2, upsampling="transposed", norm="none").double()
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, 0.1, 1.0)  # positive: no path cancels another, no ReLU closes one
    first = 10 * 16 + 14  # without padding, rows come in fours that begin here
    lit = [first - 93, first - 92, first + 3 + 92, first + 3 + 93]
    pictures = torch.zeros(5, 3, 320, 16, dtype=torch.float64)
    pictures[range(4), :, lit] = 1000
    with torch.no_grad():
        dark, *found = network(pictures)[[4, 0, 1, 2, 3], 0, first:first + 4]
    assert [not torch.equal(rows, dark) for rows in found] == [False, True, True, False]


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_by_itself_it_pads_to_its_skips(upsampling: str):
    network = UNet(classes=2, width=4, upsampling=upsampling, norm="batch").eval()
    assert network(torch.rand(1, 3, 35, 61)).shape == (1, 2, 35, 61)


def test_without_batch_norm_weights_are_drawn_as_the_paper_says():
    torch.manual_seed(0)
    network = UNet(classes=1, width=64, upsampling="transposed", norm="none")
    second = network.down[0][1][0].weight  # "for a 3x3 convolution and 64 feature channels [...] N = 9 · 64 = 576"
    assert second.std().item() == pytest.approx((2 / 576) ** 0.5, rel=0.02)
    assert network.up[0].upsample.weight.std().item() == pytest.approx((2 / 1024) ** 0.5, rel=0.02)


@pytest.mark.parametrize("norm", [pytest.param(norm, marks=() if norm == "batch" else pytest.mark.slow)
                                  for norm in ("batch", "after_relu", "none")])
def test_it_learns_where_a_square_is(norm: str):
    torch.manual_seed(0)
    network = UNet(classes=1, width=8, upsampling="transposed", norm=norm)
    target = torch.zeros(4, 1, 32, 32)
    for i in range(4):
        target[i, :, 4 * i:4 * i + 12, 20 - 4 * i:32 - 4 * i] = 1
    pictures = target + 0.3 * torch.randn(4, 3, 32, 32)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(50):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(pictures), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((network(pictures) > 0) == target.bool()).float().mean() > 0.97  # 0.86 are background


def test_an_unknown_upsampling_is_refused():
    with pytest.raises(ValueError, match="upsampling is 'bilinear' or 'transposed', found 'learned'"):
        UNet(classes=1, width=4, upsampling="learned", norm="batch")
