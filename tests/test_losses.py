"""Losses against closed forms, by hand and by law. Shapes: B, K, H, W."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seglib import losses, params

EPSILON = 1e-6


def plane(*columns: int) -> torch.Tensor:
    """(1, 1, 2, 4): ones in the named columns."""
    mask = torch.zeros(1, 1, 2, 4)
    mask[..., list(columns)] = 1
    return mask


def dice(output: torch.Tensor, target: torch.Tensor, reduction: str = "image", valid=None) -> float:
    return losses.dice(output, target, valid, epsilon=EPSILON, reduction=reduction).item()


@pytest.mark.parametrize(("output", "target", "expected"), [
    (plane(0, 1), plane(0, 1), 0.0),  # all overlap
    (plane(0, 1), plane(2, 3), 1.0),  # no overlap
    (plane(0, 1), plane(1, 2), 0.5),  # half: 2·2 / (4 + 4)
    (plane(), plane(0), 1.0),
    (plane(), plane(), 1.0),  # an absent class scores 0 whatever the output
])
def test_dice_by_hand(output: torch.Tensor, target: torch.Tensor, expected: float):
    assert dice(output, target) == pytest.approx(expected, abs=1e-6)


def test_dice_squares_what_is_not_binary():
    # Output 0.5 on the object's 4 pixels: 2·(4·0.5) / (4·0.25 + 4) = 4/5.
    assert dice(plane(0, 1) / 2, plane(0, 1)) == pytest.approx(1 - 4 / 5, abs=1e-6)


def test_dice_of_label_values_depends_on_their_scale_only_through_the_output():
    # 50-valued targets met half way: the same 4/5.
    assert dice(plane(0, 1) * 25, plane(0, 1) * 50) == pytest.approx(1 - 4 / 5, abs=1e-6)


def test_dice_reductions_differ_as_they_should():
    output = torch.cat([plane(0, 1), plane(0)])
    target = torch.cat([plane(0, 1), plane(3)])
    assert dice(output, target) == pytest.approx(0.5, abs=1e-6)  # (0 + 1) / 2
    assert dice(output, target, "batch") == pytest.approx(1 - 2 * 4 / (6 + 6), abs=1e-6)


def test_dice_gradient_is_the_closed_form():
    torch.manual_seed(0)
    output = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    target = (torch.rand(2, 3, 4, 5) > 0.5).double()
    losses.dice(output, target, epsilon=EPSILON, reduction="image").backward()
    o = output.detach()
    shared, total = (o * target).sum((2, 3), True), (o**2 + target**2).sum((2, 3), True) + EPSILON
    expected = -(2 * target / total - 4 * shared * o / total**2) / 6
    torch.testing.assert_close(output.grad, expected)


def test_mse_and_its_gradient():
    torch.manual_seed(0)
    output = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    target = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    loss = losses.mse(output, target)
    loss.backward()
    torch.testing.assert_close(loss, torch.nn.functional.mse_loss(output, target))
    torch.testing.assert_close(output.grad, 2 * (output.detach() - target) / output.numel())


def test_ignored_pixels_count_nowhere():
    torch.manual_seed(0)
    output, target = torch.rand(1, 2, 3, 4), (torch.rand(1, 2, 3, 4) > 0.5).float()
    valid = torch.ones(1, 1, 3, 4, dtype=torch.bool)
    valid[..., 2:] = False
    kept_output, kept_target = output[..., :2], target[..., :2]
    for reduction in ("image", "batch"):
        assert dice(output, target, reduction, valid) == pytest.approx(dice(kept_output, kept_target, reduction))
    torch.testing.assert_close(losses.mse(output, target, valid), losses.mse(kept_output, kept_target))


@given(st.integers(0, 2**31), st.sampled_from(["image", "batch"]))
def test_dice_lies_between_0_and_1_and_is_symmetric(seed: int, reduction: str):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.rand(2, 2, 2, 3, 3, generator=generator)
    assert 0 <= dice(a, b, reduction) <= 1
    assert dice(a, b, reduction) == pytest.approx(dice(b, a, reduction), abs=1e-6)


def test_a_weighted_sum_keeps_its_terms_readable():
    loss = losses.WeightedLoss({"mse": 1.0, "dice": 20.0}, epsilon=EPSILON)
    values = loss(plane(0, 1), plane(1, 2))
    assert {name: round(value.item(), 5) for name, value in values.items()} == {"mse": 0.5, "dice": 0.5}
    assert loss.total(values).item() == pytest.approx(0.5 + 20 * 0.5, abs=1e-5)


def test_params_and_losses_name_the_same_terms():
    terms = set(params.Loss.model_fields) - {"train"}
    losses.WeightedLoss(dict.fromkeys(terms, 1.0))
    with pytest.raises(ValueError, match="unknown loss terms \\['hinge'\\]; known: mse, dice"):
        losses.WeightedLoss({"hinge": 1.0})
