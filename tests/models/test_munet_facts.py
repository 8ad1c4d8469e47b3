"""The counted facts of an mUnet, against a network that really runs and against the published counts."""

import pytest
import torch

from seglib.models.munet import MUnet
from seglib.models.munet_facts import facts_of
from tests.conftest import ROOT


def arguments(depth: int = 4, width: int = 8, upsampling: str = "dlstudio", **others: object) -> dict[str, object]:
    return {"depth": depth, "width": width, "upsampling": upsampling, "skip_connections": True, "aspp_rates": None,
            **others}


def test_the_published_networks_counts():
    """As counted on DLStudio's own code."""
    found = facts_of(arguments(16, 64), classes=5)
    assert (found.parameters, found.idle_parameters) == (6_999_109, 1_922_112)
    assert (found.reached, found.iou_ceiling, found.dice_ceiling) == (0.25, 0.25, pytest.approx(0.4))


@pytest.mark.parametrize("upsampling", ["dlstudio", "learned"])
@pytest.mark.parametrize("depth", [4, 8])
@pytest.mark.parametrize("aspp_rates", [None, [2, 4]])
def test_they_are_those_of_a_network_that_runs(upsampling: str, depth: int, aspp_rates: list[int] | None):
    torch.manual_seed(0)
    given = arguments(depth, upsampling=upsampling, aspp_rates=aspp_rates)
    network, found = MUnet(classes=3, **given), facts_of(given, classes=3)
    first, second = (network.eval()(picture) for picture in torch.rand(2, 1, 3, 64, 64))
    assert found.reached == (first != second).float().mean()
    first.sum().backward()
    trained = [p for p in network.parameters() if p.grad is not None]
    assert found.parameters == sum(p.numel() for p in network.parameters())
    assert found.parameters - found.idle_parameters == sum(p.numel() for p in trained)
    assert found.convolutions == sum(p.dim() == 4 for p in trained)
    assert found.aspp_rates == aspp_rates and found.depth == depth


def test_the_table_in_the_docs_holds_these_counts():
    text = (ROOT / "docs/munet.md").read_text()
    sizes = [(depth, width, rates) for depth, width in ((16, 64), (4, 32)) for rates in (None, [2, 4, 6])]
    published, fixed = ([facts_of(arguments(depth, width, upsampling, aspp_rates=rates), classes=5)
                         for depth, width, rates in sizes] for upsampling in ("dlstudio", "learned"))
    for title, counts in (("`dlstudio`, as published", [found.parameters for found in published]),
                          ("of these never run", [found.idle_parameters for found in published]),
                          ("`learned`, the fix", [found.parameters for found in fixed]),
                          ("convolutional layers that run, in both", [found.convolutions for found in published])):
        assert f"| {title} | {' | '.join(f'{count:,}' for count in counts)} |" in text
    assert [found.convolutions for found in published] == [found.convolutions for found in fixed]
