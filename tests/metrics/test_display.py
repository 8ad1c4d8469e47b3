"""DLStudio's display bands, by hand."""

import numpy as np
import pytest

from seglib.metrics.display import BANDS, displayed_BK


def displayed_K(outputs: np.ndarray, truth: np.ndarray, label_values: list[float]) -> np.ndarray:
    """Of one picture."""
    return displayed_BK(outputs[None], truth[None], label_values)[0]


@pytest.mark.parametrize(("value", "outputs", "shown"), [
    (50, [24.9, 25, 50, 85, 85.1], 3),
    (100, [64.9, 65, 100, 135, 135.1], 3),
    (150, [114.9, 115, 150, 185, 185.1], 3),
    (200, [164.9, 165, 200, 230, 230.1], 3),
    (250, [209.9, 210, 250, 255, 1e9], 4),  # open above
])
def test_a_band_holds_its_ends(value: float, outputs: list[float], shown: int):
    outputs_KHW = np.array(outputs).reshape(1, 1, -1)
    assert displayed_K(outputs_KHW, np.ones((1, 1, 5), bool), [value]).tolist() == [shown]


def test_only_true_pixels_of_the_class_count():
    outputs = np.array([[[50.0, 50, 0]], [[100.0, 100, 100]]])
    truth = np.array([[[True, False, True]], [[False, False, False]]])
    assert displayed_K(outputs, truth, [50, 100]).tolist() == [1, 0]


def test_a_label_without_a_band_has_no_number():
    found = displayed_K(np.full((2, 2, 2), 250.0), np.ones((2, 2, 2), bool), [125.0, 250.0])
    np.testing.assert_array_equal(found, [np.nan, 4])


def test_pictures_keep_apart():
    outputs = np.array([50.0, 90, 50, 0]).reshape(2, 1, 1, 2)
    assert displayed_BK(outputs, np.array([1, 1, 0, 1], bool).reshape(2, 1, 1, 2), [50]).tolist() == [[1], [0]]


def test_what_a_perfect_network_puts_out_is_shown():
    assert all(low <= value <= high for value, (low, high) in BANDS.items())


def test_what_is_shown_is_found():
    """A class is present from half of its value on: `displayed` is a share of true pixels that are found."""
    assert all(low >= value / 2 for value, (low, _) in BANDS.items())
