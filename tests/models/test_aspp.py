"""Atrous spatial pyramid pooling: its shape, its branches, its reach."""

import torch

from seglib.models.aspp import ASPP


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
