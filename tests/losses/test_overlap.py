"""Terms on the output against closed forms by hand and MONAI. Shapes: B, K, H, W."""

import pytest
import torch
from monai.losses import DiceLoss, TverskyLoss
from torch import Tensor
from torch.nn import functional

from seglib.losses.overlap import dice, iou, mse, tversky
from tests.losses.views import of_output, plane

EPSILON = 1e-6
REDUCTIONS = ["image", "batch"]


@pytest.mark.parametrize(("output", "target", "dice_loss", "iou_loss"), [
    (plane(0, 1), plane(0, 1), 0.0, 0.0),  # all overlap
    (plane(0, 1), plane(2, 3), 1.0, 1.0),  # no overlap
    (plane(0, 1), plane(1, 2), 1 / 2, 2 / 3),  # half: 2·2 / (4 + 4), 2 / (4 + 4 - 2)
    (plane(), plane(0), 1.0, 1.0),
    (plane(0), plane(), 1.0, 1.0),  # an absent class scores 0 whatever the output
    (plane(), plane(), 1.0, 1.0),
    # Output 0.5 on the object's 4 pixels: 2·(4·0.5) / (4·0.25 + 4) = 4/5; 2 / (1 + 4 - 2) = 2/3.
    (plane(0, 1) / 2, plane(0, 1), 1 / 5, 1 / 3),
    (plane(0, 1) * 25, plane(0, 1) * 50, 1 / 5, 1 / 3),  # label values change nothing but the scale
])
def test_dice_and_iou_by_hand(output: Tensor, target: Tensor, dice_loss: float, iou_loss: float):
    view = of_output(output, target)
    assert dice(view).item() == pytest.approx(dice_loss, abs=1e-6)
    assert iou(view).item() == pytest.approx(iou_loss, abs=1e-6)


@pytest.mark.parametrize(("output", "target", "alpha", "beta", "expected"), [
    (plane(0, 1), plane(0, 1), 0.3, 0.7, 0.0),
    (plane(0, 1), plane(2, 3), 0.3, 0.7, 1.0),
    (plane(0, 1), plane(1, 2), 0.3, 0.7, 1 - 2 / (2 + 0.3 * 2 + 0.7 * 2)),  # two pixels each: found, wrong, missed
    (plane(0, 1), plane(1), 0.2, 0.9, 1 - 2 / (2 + 0.2 * 2)),  # nothing missed: beta does not matter
    (plane(1), plane(0, 1), 0.2, 0.9, 1 - 2 / (2 + 0.9 * 2)),  # no false alarm: nor does alpha
    (plane(0), plane(), 0.5, 0.5, 1.0),
    (plane(1) * 50, plane(0, 1) * 50, 0.2, 0.9, 1 - 2 / (2 + 0.9 * 2)),
])
def test_tversky_by_hand(output: Tensor, target: Tensor, alpha: float, beta: float, expected: float):
    value = tversky(of_output(output, target), tversky_alpha=alpha, tversky_beta=beta).item()
    assert value == pytest.approx(expected, abs=1e-6)


def test_reductions_differ_as_they_should():
    view = of_output(torch.cat([plane(0, 1), plane(0)]), torch.cat([plane(0, 1), plane(3)]))
    assert [dice(view).item(), iou(view).item()] == pytest.approx([0.5, 0.5], abs=1e-6)  # (0 + 1) / 2
    assert dice(view, dice_reduction="batch").item() == pytest.approx(1 - 2 * 4 / (6 + 6), abs=1e-6)
    assert iou(view, dice_reduction="batch").item() == pytest.approx(1 - 4 / (6 + 6 - 4), abs=1e-6)


def random_pair() -> tuple[Tensor, Tensor]:
    """Output that wants gradients, and planes as target: two images of three classes, one class absent from one."""
    generator = torch.Generator().manual_seed(0)
    output = torch.rand(2, 3, 4, 5, generator=generator, dtype=torch.float64).requires_grad_()
    target = (torch.rand(2, 3, 4, 5, generator=generator) > 0.5).double()
    target[1, 2] = 0
    return output, target


def assert_equal_with_gradient(ours: Tensor, theirs: Tensor, output: Tensor) -> None:
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, output)[0], torch.autograd.grad(theirs, output)[0])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("term", "jaccard"), [(dice, False), (iou, True)])
def test_dice_and_iou_equal_monai_s(term, jaccard: bool, reduction: str):
    output, target = random_pair()
    monai = DiceLoss(squared_pred=True, jaccard=jaccard, smooth_nr=0, smooth_dr=EPSILON * (1 + jaccard))
    # MONAI's own batch mode keeps classes apart; ours is one image of one class.
    shape = output.shape if reduction == "image" else (1, 1, -1, 1)
    assert_equal_with_gradient(term(of_output(output, target), epsilon=EPSILON, dice_reduction=reduction),
                               monai(output.reshape(shape), target.reshape(shape)), output)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.3, 0.7), (1.0, 1.0), (0.0, 1.0)])
def test_tversky_equals_monai_s(alpha: float, beta: float):
    output, target = random_pair()
    monai = TverskyLoss(alpha=alpha, beta=beta, smooth_nr=0, smooth_dr=EPSILON)
    ours = tversky(of_output(output, target), epsilon=EPSILON, tversky_alpha=alpha, tversky_beta=beta)
    assert_equal_with_gradient(ours, monai(output, target), output)


@pytest.mark.parametrize(("term", "power"), [(dice, 1), (iou, 2)])
def test_tversky_at_its_corners_is_dice_and_iou_of_binary_outputs(term, power: int):
    view = of_output(torch.cat([plane(0, 1), plane(3)], 1), torch.cat([plane(1, 2), plane(1, 2, 3)], 1))
    corner = tversky(view, tversky_alpha=power / 2, tversky_beta=power / 2)
    torch.testing.assert_close(corner, term(view))


def test_dice_gradient_is_the_closed_form():
    output, target = random_pair()
    dice(of_output(output, target), epsilon=EPSILON).backward()
    o = output.detach()
    shared, total = (o * target).sum((2, 3), True), (o**2 + target**2).sum((2, 3), True) + EPSILON
    torch.testing.assert_close(output.grad, -(2 * target / total - 4 * shared * o / total**2) / 6)


@pytest.mark.parametrize("term", [dice, iou, tversky])
def test_an_absent_class_gets_no_gradient_image_by_image(term):
    output, target = random_pair()
    gradient, = torch.autograd.grad(term(of_output(output, target)), output)
    absent = ~(target > 0).any(3).any(2)
    assert absent.sum() == 1
    assert (gradient[absent] == 0).all() and (gradient[~absent] != 0).any((1, 2)).all()


def test_mse_equals_torch_s():
    output, target = random_pair()
    assert_equal_with_gradient(mse(of_output(output, target)), functional.mse_loss(output, target), output)


@pytest.mark.parametrize(("term", "options"), [
    (mse, {}), (tversky, {}),
    *((term, {"dice_reduction": reduction}) for term in (dice, iou) for reduction in REDUCTIONS)])
def test_ignored_columns_are_as_good_as_cut_off(term, options: dict):
    output, target = random_pair()
    valid = torch.ones(2, 1, 4, 5, dtype=torch.bool)
    valid[..., 3:] = False
    torch.testing.assert_close(term(of_output(output, target, valid), **options),
                               term(of_output(output[..., :3], target[..., :3]), **options))
