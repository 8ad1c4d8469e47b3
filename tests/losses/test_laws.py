"""What holds of every term, and of their weighted sum. Shapes: B, K, H, W."""

import dataclasses
import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import seglib.losses
from seglib.configs import LossConfig
from seglib.losses import absent_costs
from seglib.losses.weighted import weighted_terms
from tests.losses.views import batches, of_logits, of_output, plane

TERMS = {name: entry.load() for name, entry in seglib.losses.TERMS.items()}
OVERLAP = ["dice", "iou", "tversky"]


def can_see(term: str, exclusive: bool) -> bool:
    return seglib.losses.TERMS[term].works_for("multiclass" if exclusive else "multilabel")


def values_of(logits: Tensor, planes: Tensor, valid: Tensor | None, exclusive: bool) -> dict[str, float]:
    """Every term that can see such a batch."""
    view = of_logits(logits, planes, valid, exclusive=exclusive)
    return {name: term(view).item() for name, term in TERMS.items() if can_see(name, exclusive)}


def random_batch(exclusive: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Float32 logits, planes and valid pixels: two images of three classes, each in both."""
    generator = torch.Generator().manual_seed(1)
    planes = torch.nn.functional.one_hot(torch.arange(70).view(2, 5, 7) % 3, 3).permute(0, 3, 1, 2) == 1
    if not exclusive:
        planes = planes | planes.roll(1, 1)
    return (torch.randn(2, 3, 5, 7, generator=generator), planes,
            torch.rand(2, 1, 5, 7, generator=generator) < 0.7)


@given(batches())
def test_none_is_negative_and_overlap_ends_at_1(batch: tuple):
    for name, value in values_of(*batch).items():
        assert 0 <= value <= (1 if name in OVERLAP else float("inf")), name


@given(batches(), st.randoms(use_true_random=False))
def test_the_order_of_images_classes_and_pixels_does_not_matter(batch: tuple, random):
    logits, planes, valid, exclusive = batch
    B, K, H, W = logits.shape
    images, classes, rows, columns = (torch.tensor(random.sample(range(n), n)) for n in (B, K, H, W))
    before = values_of(logits, planes, valid, exclusive)
    after = values_of(logits[images][:, classes], planes[images][:, classes], valid[images], exclusive)
    assert after == pytest.approx(before, rel=1e-9, abs=1e-12)
    shuffled = values_of(*(x[:, :, rows][..., columns] for x in (logits, planes, valid)), exclusive)
    del before["boundary"], shuffled["boundary"]  # which asks where pixels are
    assert shuffled == pytest.approx(before, rel=1e-9, abs=1e-12)


@given(batches())
def test_the_boundary_term_turns_with_the_picture(batch: tuple):
    logits, planes, valid, exclusive = batch
    turned = values_of(*(x.rot90(dims=(2, 3)) for x in (logits, planes, valid)), exclusive)
    assert turned["boundary"] == pytest.approx(values_of(*batch)["boundary"], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_what_is_perfect_costs_nothing_and_what_is_all_wrong_more_than_the_undecided(exclusive: bool, masked: bool):
    _, planes, valid = random_batch(exclusive)
    perfect = torch.where(planes, 1e4, -1e4)
    valid = valid if masked else None
    undecided = values_of(0 * perfect, planes, valid, exclusive)
    wrong = values_of(-perfect, planes, valid, exclusive)
    for name, value in values_of(perfect, planes, valid, exclusive).items():
        assert value == pytest.approx(0, abs=1e-6), name
        assert wrong[name] > undecided[name] > 0.01, name


@pytest.mark.parametrize(("name", "exclusive"), [(name, exclusive) for name in TERMS for exclusive in (False, True)
                                                 if can_see(name, exclusive)])
@pytest.mark.parametrize("scale", [1e4, 1e-4, 0.0])
def test_gradients_are_finite_at_extreme_logits(name: str, exclusive: bool, scale: float):
    logits, planes, valid = random_batch(exclusive)
    for options in [{"focal_gamma": gamma} for gamma in (0.0, 0.5, 1.0, 2.0)] if name == "focal" else [{}]:
        extreme = (logits.sign() * scale).requires_grad_()
        value = TERMS[name](of_logits(extreme, planes, valid, exclusive=exclusive), **options)
        value.backward()
        assert value.isfinite() and extreme.grad.isfinite().all(), options


@pytest.mark.parametrize("name", ["bce", "ce", "focal"])
def test_terms_on_logits_still_teach_at_extreme_logits(name: str):
    """Where a sigmoid or softmax has no gradient left, they have theirs."""
    _, planes, _ = random_batch(exclusive=True)
    wrong = torch.where(planes, -1e4, 1e4).requires_grad_()
    TERMS[name](of_logits(wrong, planes, exclusive=True)).backward()
    assert (wrong.grad[planes] < 0).all()


@given(batches())
def test_ignored_pixels_have_no_gradient_and_no_say(batch: tuple):
    logits, planes, valid, exclusive = batch
    ignored = ~valid.expand_as(planes)
    leaf = logits.requires_grad_()
    view = of_logits(leaf, planes, valid, exclusive=exclusive)
    other = of_logits(torch.where(ignored, 7 - logits.detach(), logits), planes & ~ignored if exclusive
                      else planes ^ ignored, valid, exclusive=exclusive)
    for name, term in TERMS.items():
        if can_see(name, exclusive):
            value = term(view)
            gradient, = torch.autograd.grad(value, leaf, retain_graph=True)
            assert (gradient[ignored] == 0).all(), name
            torch.testing.assert_close(term(other), value)


@pytest.mark.parametrize("name", TERMS)
def test_no_mask_is_a_mask_of_all(name: str):
    logits, planes, valid = random_batch(exclusive=True)
    without, all_valid = (TERMS[name](of_logits(logits, planes, given, exclusive=True))
                          for given in (None, torch.ones_like(valid)))
    torch.testing.assert_close(without, all_valid)


@pytest.mark.parametrize("name", TERMS)
def test_its_gradient_leads_down(name: str):
    logits, planes, valid = random_batch(exclusive=True)

    def value(at: Tensor) -> Tensor:
        return TERMS[name](of_logits(at, planes, valid, exclusive=True))

    gradient, = torch.autograd.grad(value(leaf := logits.requires_grad_()), leaf)
    assert value(logits - 1e-2 * gradient / gradient.norm()) < value(logits)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", TERMS)
def test_a_gpu_gives_the_same_deterministically(name: str):
    def value_and_gradient(device: str) -> tuple[Tensor, Tensor]:
        logits, planes, valid = (x.to(device) for x in random_batch(exclusive=True))
        value = TERMS[name](of_logits(logits.requires_grad_(), planes, valid, exclusive=True))
        return value.cpu(), torch.autograd.grad(value, logits)[0].cpu()

    torch.use_deterministic_algorithms(True)  # raises where an operation has no such algorithm
    try:
        torch.testing.assert_close(value_and_gradient("cuda"), value_and_gradient("cpu"))
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_weighted_sum_keeps_its_terms_readable():
    loss = weighted_terms({"mse": 1.0, "dice": 20.0}, epsilon=1e-6)
    values = loss(of_output(plane(0, 1), plane(1, 2)))
    assert {name: round(value.item(), 5) for name, value in values.items()} == {"mse": 0.5, "dice": 0.5}
    assert loss.total(values).item() == pytest.approx(0.5 + 20 * 0.5, abs=1e-5)


def test_terms_on_logits_and_on_the_output_add_up():
    logits, planes, valid = random_batch(exclusive=True)
    view = of_logits(logits, planes, valid, exclusive=True)
    loss = weighted_terms({"ce": 1.0, "dice": 0.5, "focal": 2.0}, class_weights=[1.0, 2.0, 3.0],
                          dice_reduction="batch", focal_gamma=1.0)
    values = loss(view)
    assert values["ce"] == TERMS["ce"](view, class_weights=[1.0, 2.0, 3.0])
    assert values["dice"] == TERMS["dice"](view, dice_reduction="batch")
    assert values["focal"] == TERMS["focal"](view, focal_gamma=1.0)
    torch.testing.assert_close(loss.total(values), values["ce"] + values["dice"] / 2 + 2 * values["focal"])


def test_unknown_terms_and_options_are_refused():
    with pytest.raises(ValueError, match=f"unknown loss term 'hinge': known: {', '.join(TERMS)}"):
        weighted_terms({"hinge": 1.0})
    with pytest.raises(ValueError, match="none of the loss terms focal has the option gamma"):
        weighted_terms({"focal": 1.0}, gamma=2.0)


@pytest.mark.parametrize("name", TERMS)
def test_a_term_declares_the_options_of_its_function(name: str):
    parameters = inspect.signature(TERMS[name]).parameters.values()
    keywords = [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    assert list(seglib.losses.TERMS[name].options) == keywords


@pytest.mark.parametrize("name", TERMS)
def test_a_term_declares_what_it_takes(name: str):
    """A term that reads what it does not declare would be NaN."""
    logits, planes, valid = random_batch(exclusive=True)
    view = of_logits(logits, planes, valid, exclusive=True)
    hidden = "output_BKHW" if seglib.losses.TERMS[name].takes == "logits" else "logits_BKHW"
    blind = dataclasses.replace(view, **{hidden: torch.full_like(logits, torch.nan)})
    assert TERMS[name](blind) == TERMS[name](view)


@pytest.mark.parametrize("reduction", ["image", "batch"])
@pytest.mark.parametrize("name", TERMS)
def test_a_term_declares_what_a_class_that_an_image_lacks_costs(name: str, reduction: str):
    entry = seglib.losses.TERMS[name]
    exclusive = not can_see(name, False)
    options = {"dice_reduction": reduction} if "dice_reduction" in entry.options else {}
    cost = entry.cost_of_absent(options)
    logits, planes, _ = random_batch(exclusive)
    planes[1, 2] = False
    if exclusive:
        planes[1, 0] = ~planes[1, 1]
    view = of_logits(logits, planes, None, exclusive=exclusive)
    leaves = logits.clone().requires_grad_(), view.output_BKHW.clone().requires_grad_()
    value = TERMS[name](dataclasses.replace(view, logits_BKHW=leaves[0], output_BKHW=leaves[1]), **options)
    gradients = [gradient for gradient in torch.autograd.grad(value, leaves, allow_unused=True) if gradient is not None]
    assert all(gradient[0].any() for gradient in gradients)
    assert all((gradient[1, 2] == 0).all() == (cost is not None) for gradient in gradients)
    if cost is not None:  # a batch in which there is nothing else
        assert TERMS[name](of_logits(logits, torch.zeros_like(planes), None), **options) == cost


def test_the_costs_of_absent_classes_are_those_of_the_terms_with_their_options():
    def costs(options: dict, **terms: float) -> dict[str, float]:
        return absent_costs(LossConfig(terms=terms, options=options))

    assert costs({}, mse=1.0, bce=2.0) == {}
    assert costs({"dice_reduction": "image"}, mse=1.0, dice=20.0, boundary=0.1) == {"dice": 1.0, "boundary": 0.0}
    assert costs({"dice_reduction": "batch"}, dice=20.0, tversky=1.0) == {"tversky": 1.0}
    assert costs({}, loss_mask=1.0) == {}  # a model's own
