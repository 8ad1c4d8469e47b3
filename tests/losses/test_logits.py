"""Terms on the logits against torch.nn.functional, MONAI and scikit-learn. Shapes: B, K, H, W."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.losses import FocalLoss
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional

from seglib.losses.logits import bce, ce, focal, inverse_frequency
from tests.losses.views import batches, of_logits, one_hot

IGNORED = 255
GAMMAS = [0.0, 0.5, 1.0, 2.0, 5.0]


def random_batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits that want gradients, labels, one-hot planes and valid pixels: two images of four classes, one absent."""
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(2, 4, 5, 6, generator=generator, dtype=torch.float64)).requires_grad_()
    labels = torch.randint(0, 3, (2, 5, 6), generator=generator)
    labels[torch.rand(2, 5, 6, generator=generator) < 0.2] = IGNORED
    return logits, labels, one_hot(labels, 4), (labels != IGNORED).unsqueeze(1)


def assert_equal_with_gradient(ours: Tensor, theirs: Tensor, logits: Tensor, **tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs.double(), **tolerance)
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in (ours, theirs)), **tolerance)


@pytest.mark.parametrize("masked", [False, True])
def test_bce_equals_torch_s(masked: bool):
    logits, _, planes, valid = random_batch()
    planes = planes | planes.roll(1, 1)  # two classes a pixel
    chosen = valid.expand_as(planes) if masked else torch.ones_like(planes)
    theirs = functional.binary_cross_entropy_with_logits(logits[chosen], planes[chosen].double())
    assert_equal_with_gradient(bce(of_logits(logits, planes, valid if masked else None)), theirs, logits)


@pytest.mark.parametrize("weights", [None, [1.0, 2.5, 0.25, 4.0], [0.0, 1e-4, 1e-4, 0.0]])
def test_ce_equals_torch_s(weights: list[float] | None):
    logits, labels, planes, valid = random_batch()
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    for given_valid in (valid, None):  # a pixel in no plane counts nowhere, said to be ignored or not
        ours = ce(of_logits(logits, planes, given_valid, exclusive=True), class_weights=weights)
        theirs = functional.cross_entropy(logits, labels, weight, ignore_index=IGNORED)
        assert_equal_with_gradient(ours, theirs, logits)


def test_ce_by_hand():
    # Two pixels of one image, equal logits: -log(1/2) each; odds of 3 for the truth: -log(3/4).
    planes = one_hot(torch.tensor([[[0, 1]]]), 2)
    assert ce(of_logits(torch.zeros(1, 2, 1, 2), planes, exclusive=True)).item() == pytest.approx(math.log(2))
    logits = torch.tensor([[[[math.log(3), 0.0]], [[0.0, 0.0]]]])
    view = of_logits(logits, planes, exclusive=True)
    assert ce(view, class_weights=[3.0, 1.0]).item() == pytest.approx((3 * math.log(4 / 3) + math.log(2)) / 4)


def test_ce_whose_every_weight_is_0_is_0_without_a_gradient():
    logits, _, planes, valid = random_batch()
    value = ce(of_logits(logits, planes, valid, exclusive=True), class_weights=[0.0, 0.0, 0.0, 1.0])
    value.backward()
    assert value.item() == 0 and not logits.grad.any()


def test_ce_says_what_it_needs():
    logits, _, planes, _ = random_batch()
    with pytest.raises(ValueError, match="needs classes that exclude each other; .* take bce"):
        ce(of_logits(logits, planes))
    with pytest.raises(ValueError, match="3 numbers for 4 classes"):
        ce(of_logits(logits, planes, exclusive=True), class_weights=[1.0, 1.0, 1.0])


@pytest.mark.parametrize("gamma", GAMMAS)
def test_focal_equals_monai_s(gamma: float):
    logits, labels, _, _ = random_batch()
    planes = one_hot(labels.where(labels != IGNORED, 0), 4)  # MONAI ignores no pixels, and computes in float32
    single = {"rtol": 1e-5, "atol": 1e-7}
    assert_equal_with_gradient(focal(of_logits(logits, planes), focal_gamma=gamma),
                               FocalLoss(gamma=gamma)(logits, planes.double()), logits, **single)
    # MONAI's mean runs over the planes too, of which all but the pixel's own hold 0.
    assert_equal_with_gradient(focal(of_logits(logits, planes, exclusive=True), focal_gamma=gamma),
                               4 * FocalLoss(gamma=gamma, use_softmax=True)(logits, planes.double()), logits, **single)


@pytest.mark.parametrize("exclusive", [False, True])
def test_focal_by_hand(exclusive: bool):
    # Odds of 3 for the truth everywhere: (1/4)² · -log(3/4).
    logits = torch.tensor([[[[math.log(3)]], [[0.0 if exclusive else -math.log(3)]]]])
    planes = torch.tensor([[[[True]], [[False]]]])
    value = focal(of_logits(logits, planes, exclusive=exclusive), focal_gamma=2.0)
    assert value.item() == pytest.approx(math.log(4 / 3) / 16)


@given(batches())
def test_focal_at_gamma_0_is_the_cross_entropy(batch: tuple):
    logits, planes, valid, exclusive = batch
    view = of_logits(logits, planes, valid, exclusive=exclusive)
    torch.testing.assert_close(focal(view, focal_gamma=0.0), (ce if exclusive else bce)(view))


@given(batches())
def test_focal_falls_with_gamma(batch: tuple):
    logits, planes, valid, exclusive = batch
    view = of_logits(logits, planes, valid, exclusive=exclusive)
    values = [focal(view, focal_gamma=gamma).item() for gamma in GAMMAS]
    assert all(later <= earlier + 1e-12 for earlier, later in zip(values, values[1:], strict=False))


@pytest.mark.parametrize(("term", "exclusive"), [(bce, False), (ce, True), (focal, False), (focal, True)])
def test_ignored_columns_are_as_good_as_cut_off(term, exclusive: bool):
    logits, _, planes, _ = random_batch()
    valid = torch.ones(2, 1, 5, 6, dtype=torch.bool)
    valid[..., 4:] = False
    torch.testing.assert_close(
        term(of_logits(logits, planes, valid, exclusive=exclusive)),
        term(of_logits(logits[..., :4], planes[..., :4], exclusive=exclusive)))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any))
def test_inverse_frequency_equals_scikit_learn_s_balanced_weights(pixels: list[int]):
    labels = np.repeat(np.arange(len(pixels)), pixels)
    present = np.unique(labels)
    theirs = compute_class_weight("balanced", classes=present, y=labels) * len(present) / len(pixels)
    weights = inverse_frequency(pixels, sum(pixels))
    assert [weights[k] for k in present] == pytest.approx(theirs)
    assert [weight for weight, count in zip(weights, pixels, strict=True) if not count] == [0.0] * pixels.count(0)


def test_inverse_frequency_makes_every_class_count_the_same():
    weights = inverse_frequency([10, 0, 90, 100], 200)
    assert weights == [5.0, 0.0, pytest.approx(200 / 360), 0.5]
    assert [weight * pixels for weight, pixels in zip(weights, [10, 0, 90, 100], strict=True)] == [
        50, 0, pytest.approx(50), 50]
