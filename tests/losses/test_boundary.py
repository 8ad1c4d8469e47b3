"""The boundary term against brute force, MONAI and closed forms by hand. Shapes: B, K, H, W."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from monai.losses import BoundaryLoss

from seglib.losses.boundary import boundary, signed_distances
from tests.losses.views import batches, of_logits, of_output, plane


def brute_force(plane_HW: np.ndarray, valid_HW: np.ndarray) -> np.ndarray:
    """Pixel by pixel, the nearest known pixel on the other side of the outline."""
    pixels = list(itertools.product(*map(range, plane_HW.shape)))
    sides = {side: [p for p in pixels if valid_HW[p] and plane_HW[p] == side] for side in (True, False)}
    distances_HW = np.zeros(plane_HW.shape)
    if all(sides.values()):
        for pixel in pixels:
            inside = bool(plane_HW[pixel])
            nearest = min(math.dist(pixel, other) for other in sides[not inside])
            distances_HW[pixel] = 1 - nearest if inside else nearest
    return distances_HW


@given(batches())
def test_distances_equal_brute_force(batch: tuple):
    _, planes, valid, _ = batch
    planes, valid = planes.numpy(), valid.numpy()
    expected = [[brute_force(plane_HW, valid_1HW[0]) for plane_HW in planes_KHW]
                for planes_KHW, valid_1HW in zip(planes, valid, strict=True)]
    np.testing.assert_allclose(signed_distances(planes, valid), expected, rtol=1e-6)


def test_distances_by_hand():
    row = np.array([[[[0, 0, 1, 1, 1, 0]]]], bool)
    np.testing.assert_array_equal(signed_distances(row)[0, 0, 0], [2, 1, 0, -1, 0, 1])
    # With its right neighbour unknown the object ends nowhere there: the nearest pixel not of it is on the left.
    known = np.array([[[[1, 1, 1, 1, 1, 0]]]], bool)
    np.testing.assert_array_equal(signed_distances(row, known)[0, 0, 0, :5], [2, 1, 0, -1, -2])


def test_a_farther_mistake_costs_more():
    # Of 8 pixels 2 are wrong, at distance 1, 2 and 3.
    assert [boundary(of_output(plane(0, column), plane(0))).item() for column in (1, 2, 3)] == [2 / 8, 4 / 8, 6 / 8]
    # Missed, inside: columns 0 to 2 have the distances -2, -1 and 0.
    assert boundary(of_output(plane(1, 2), plane(0, 1, 2))).item() == 2 * 2 / 8
    assert boundary(of_output(plane(0, 1), plane(0, 1, 2))).item() == 0


@given(batches())
def test_it_is_monai_s_but_for_a_constant(batch: tuple):
    logits, planes, _, _ = batch
    logits = logits.requires_grad_()
    view, monai = of_logits(logits, planes), BoundaryLoss()
    theirs = monai(logits.sigmoid(), planes.double())
    torch.testing.assert_close(boundary(view), theirs - monai(planes.double(), planes.double()))
    for ours, expected in zip(torch.autograd.grad(boundary(view), logits), torch.autograd.grad(theirs, logits),
                              strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("target", [plane(), plane(0, 1, 2, 3)])
def test_a_class_without_an_outline_contributes_nothing(target: torch.Tensor):
    output = torch.full((1, 1, 2, 4), 0.3, requires_grad=True)
    value = boundary(of_output(output, target))
    value.backward()
    assert value.item() == 0 and not output.grad.any()
