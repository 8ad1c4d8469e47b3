"""The plain CNN: its count in closed form, its reach."""

import pytest
import torch

from seglib.models.convnet import ConvNet


def test_its_parameters_are_those_of_its_layers():
    network = ConvNet(classes=5, width=32, layers=4, norm="none")
    assert sum(p.numel() for p in network.parameters()) == (27 * 32 + 32) + 3 * (9 * 32 * 32 + 32) + (32 * 5 + 5)


@pytest.mark.parametrize("layers", [1, 3])
def test_it_sees_as_far_as_its_layers(layers: int):
    network = ConvNet(classes=1, width=4, layers=layers, norm="none")
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, 0.1, 1.0)
    picture = torch.rand(1, 3, 15, 15, requires_grad=True)
    network(picture)[0, 0, 7, 7].backward()
    for axis in (2, 3):
        seen = picture.grad.sum(tuple({0, 1, 2, 3} - {axis})).nonzero()[:, 0]
        assert seen.tolist() == list(range(7 - layers, 7 + layers + 1))
