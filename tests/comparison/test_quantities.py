"""What a curve is called, on curves whose answer is a closed form."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_erosion

from seglib.comparison.quantities import QUANTITIES
from seglib.comparison.variants import Result
from seglib.datasets.store import Split
from seglib.metrics.cases import Cases
from seglib.metrics.overlap import COUNTS
from seglib.pipeline.workspace import prepared_folder
from tests.comparison.conftest import GOOD, SAME, Compared
from tests.comparison.synthetic import epochs_of, history_of


def result_of(history: pd.DataFrame) -> Result:
    """A result of which only the history is used."""
    return Result(files=None, seed=1, history=history, cases={}, objects=None, weights_sha256="")


def quantity(name: str, loss: list[float], **grad_norms: float) -> float:
    return QUANTITIES[name].of(result_of(history_of(np.array(loss, float), **grad_norms)))


@pytest.mark.parametrize(("loss", "expected"), [
    ([9, 5, 4, 1], 1), ([1, 2, 7], 1),  # a monotone curve moves by its extent
    ([3, 0, 3, 0, 3], 4), ([10, 0, 5, 0], 2),  # each way is counted
    ([4, 4, 4], np.nan), ([4], np.nan)])
def test_roughness(loss: list[float], expected: float):
    assert quantity("curve_roughness", loss) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(("loss", "expected"), [
    ([10, 8, *[7] * 7, 0], 0.2),  # 10 windows: the second ends the first fifth
    ([10, 0, *[0] * 8], 1), ([10, *[10] * 8, 0], 0), ([10, 12, *[9] * 7, 2], -0.2),
    ([5] * 10, np.nan),
    ([10, 0], np.nan)])  # no window ends within the first fifth
def test_early_gain(loss: list[float], expected: float):
    assert quantity("curve_early_gain", loss) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(("loss", "expected"), [
    (np.linspace(7, 3, 9), 0.5), ([3, 0, 0], 1 / 3), ([5, 1, 5], 2 / 3), ([2, 2], np.nan)])
def test_normalised(loss: list[float], expected: float):
    assert quantity("curve_normalised", loss) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("name", ["curve_roughness", "curve_normalised", "curve_early_gain"])
def test_scale_and_offset_of_a_loss_change_nothing(name: str):
    loss = np.random.default_rng(1).random(20)
    assert quantity(name, 400 * loss + 3) == pytest.approx(quantity(name, loss))


def test_the_balancing_scale_makes_both_gradients_equal():
    assert quantity("balancing_scale", [3, 2, 1], mse=6.0, dice=0.05) == pytest.approx(120)
    assert quantity("balancing_scale", [3, 2, 1], mse=np.array([1, 8, 2]), dice=np.array([1, 1, 1])) == 2  # the median
    assert np.isnan(quantity("balancing_scale", [3, 2, 1], mse=6.0))


def test_only_running_means_of_train_are_the_curve():
    """The ends of epochs, of val above all, lie elsewhere (history_of puts val 1 above)."""
    assert quantity("curve_normalised", [1, 0]) == 0.5


def test_a_variant_has_a_value_a_seed(compared: Compared):
    np.testing.assert_allclose(QUANTITIES["balancing_scale"].values_S(compared.variant(GOOD)), [60, 30, 20])
    assert np.isnan(QUANTITIES["balancing_scale"].values_S(compared.variant(SAME))).all()


def of_epochs(name: str, val_loss: list[float], **scores: list[float]) -> float:
    return QUANTITIES[name].of(result_of(epochs_of([1.0] * len(val_loss), val_loss, **scores)))


@pytest.mark.parametrize(("loss", "lowest", "rise"), [
    ([4, 2, 1, 2, 3], 3, 2), ([3, 2, 1], 3, 0), ([1, 5], 1, 4), ([2, 1, 1], 2, 0), ([1], 1, 0),
    ([np.nan], np.nan, np.nan)])
def test_where_the_val_loss_turns_and_how_far_it_rises(loss: list[float], lowest: float, rise: float):
    assert of_epochs("lowest_val_loss_epoch", loss) == pytest.approx(lowest, nan_ok=True)
    assert of_epochs("val_loss_rise", loss) == pytest.approx(rise, nan_ok=True)


def test_the_last_val_loss_is_the_last_one_known():
    assert of_epochs("last_val_loss", [4, 2, 3]) == 3 and np.isnan(of_epochs("last_val_loss", [np.nan]))


def test_boundaries_after_the_first_epoch_are_those_of_the_masks_that_were_kept(mixed: Compared):
    """unet's first seed kept the truth moved by three pixels after epoch 1; SciPy erodes for the expected value."""
    first, second = mixed.variant("unet ce").results[:2]
    val = Split.open(prepared_folder("shapes"), "val")
    classes, valid_PHW = len(mixed.info.classes), val.masks[:3] != 255
    truth_PKHW = np.stack([mixed.info.task.unpack(mask, classes) for mask in val.masks[:3]])
    with np.load(first.files.snapshots) as content:
        kept_PKHW = np.stack([mixed.info.task.unpack(mask, classes) for mask in content["masks"][0]])
    inner, both = [], []
    for k in range(classes):
        rims = [plane & ~binary_erosion(plane, np.ones((3, 3)))
                for planes in (truth_PKHW, kept_PKHW) for plane in planes[:, k] & valid_PHW]
        truth, kept = np.stack(rims[:3]), np.stack(rims[3:])
        inner.append((truth & kept).sum())
        both.append((truth | kept).sum())
    expected = np.mean([a / b for a, b in zip(inner, both, strict=True) if b])
    assert 0 < expected < 1
    assert QUANTITIES["val_boundary_iou_epoch_1"].of(first) == pytest.approx(expected)
    assert np.isnan(QUANTITIES["val_boundary_iou_epoch_1"].of(second))  # it kept none


def test_a_score_by_an_epoch_is_the_best_until_then_and_needs_that_many():
    scores = [0.1, 0.5, 0.2, *[0.3] * 7, 0.9, 0.95]
    assert of_epochs("val_dice_by_epoch_10", [1.0] * 12, val_dice=scores) == 0.5
    assert of_epochs("val_dice_by_epoch_10", [1.0] * 10, val_dice=scores[2:]) == 0.95
    assert np.isnan(of_epochs("val_dice_by_epoch_10", [1.0] * 9, val_dice=scores[:9]))
    assert of_epochs("val_pixel_accuracy_by_epoch_10", [1.0] * 12, val_pixel_accuracy=scores) == 0.5
    assert of_epochs("val_iou_by_epoch_16", [1.0] * 16, val_iou=[*scores, *[0.0] * 4]) == 0.95


def test_the_gap_is_between_train_and_val_at_the_end():
    assert of_epochs("score_gap", [1.0, 1], train_iou=[0.2, 0.9], val_iou=[0.6, 0.7]) == pytest.approx(0.2)


@pytest.mark.parametrize(("counts", "expected"), [
    ([[10, 0, 0, 90], [3, 0, 4, 93], [1, 5, 5, 89], [0, 0, 0, 100]], 0.96),  # only the two in the middle are poor
    ([[10, 0, 0, 90], [0, 2, 0, 98]], 0.98),
    ([[5, 5, 0, 90], [0, 0, 0, 100]], np.nan)])  # an IoU of a half is not below it; nothing there and nothing found
def test_the_accuracy_that_a_poor_mask_can_have(counts: list[list[int]], expected: float):
    cases = {name: np.array(counts, float)[:, [i]] for i, name in enumerate(COUNTS)}
    result = dataclasses.replace(result_of(pd.DataFrame()), cases={"test": Cases(cases)})
    assert QUANTITIES["poor_mask_accuracy"].of(result) == pytest.approx(expected, nan_ok=True)


def test_poor_is_what_the_mean_over_the_classes_is():
    """Two classes, IoU .2 and 1: their mean is not poor. IoU .2 and .4: it is, with accuracies .92 and .94."""
    cases = {name: np.array([[[1, 4, 0, 95], [9, 0, 0, 91]], [[2, 5, 3, 90], [4, 3, 3, 90]]], float)[..., i]
             for i, name in enumerate(COUNTS)}
    result = dataclasses.replace(result_of(pd.DataFrame()), cases={"test": Cases(cases)})
    assert QUANTITIES["poor_mask_accuracy"].of(result) == pytest.approx((0.92 + 0.94) / 2)


def test_a_model_without_a_loss_has_no_curve(mixed: Compared):
    counted, = mixed.variant("frequency").results
    there = {name for name, quantity in QUANTITIES.items() if not np.isnan(quantity.of(counted))}
    assert there <= {"score_gap", "poor_mask_accuracy"}
