"""What a curve is called, on curves whose answer is a closed form."""

from types import SimpleNamespace

import numpy as np
import pytest

from seglib.comparison.quantities import QUANTITIES, of_variant
from tests.comparison.conftest import GOOD, SAME, Compared
from tests.comparison.synthetic import history_of


def quantity(name: str, loss: list[float], **grad_norms: float) -> float:
    return QUANTITIES[name](SimpleNamespace(history=history_of(np.array(loss, float), **grad_norms)))


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
    np.testing.assert_allclose(of_variant(compared.variant(GOOD), "balancing_scale"), [60, 30])
    assert np.isnan(of_variant(compared.variant(SAME), "balancing_scale")).all()
