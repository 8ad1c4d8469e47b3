"""Classes that may overlap: one bit each."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seglib import tasks
from seglib.tasks.task import signed

TASK = tasks.get("multilabel")


@given(st.integers(1, 100) | st.just(200), st.integers(0, 2**31), st.booleans())
def test_packing_loses_nothing(classes: int, seed: int, ignores: bool):
    random = np.random.default_rng(seed)
    planes = random.random((classes, 4, 5)) < 0.5
    ignore = random.random((4, 5)) < 0.5 if ignores else np.zeros((4, 5), bool)
    mask = TASK.pack(planes, ignore if ignores else None)
    assert mask.dtype == TASK.mask_dtype(classes)
    assert mask.shape == (4, 5)
    np.testing.assert_array_equal(TASK.unpack(mask, classes), planes)
    np.testing.assert_array_equal(TASK.ignored(mask), ignore)
    np.testing.assert_array_equal(TASK.background(mask), ~planes.any(0) & ~ignore)


def test_bits_are_the_numbers_of_the_classes_and_the_highest_says_ignore():
    planes = np.array([[[1, 0, 1, 1]], [[0, 0, 1, 1]], [[0, 0, 0, 1]]], bool)
    ignore = np.array([[False, False, False, True]])
    assert TASK.pack(planes, ignore).tolist() == [[0b001, 0, 0b011, 0b10000111]]


@pytest.mark.parametrize(("classes", "dtype"), [(1, "uint8"), (7, "uint8"), (8, "uint16"), (15, "uint16"),
                                                (16, "uint32"), (31, "uint32"), (32, "V8"),
                                                (62, "V8"), (63, "V12"), (80, "V12"), (200, "V28")])
def test_masks_take_the_narrowest_type_with_room_for_ignore(classes: int, dtype: str):
    assert TASK.mask_dtype(classes) == dtype


@given(st.integers(1, 31), st.integers(0, 2**31))
def test_up_to_31_classes_a_mask_is_one_number(classes: int, seed: int):
    """A sum of powers of two, in Python's own integers."""
    random = np.random.default_rng(seed)
    planes, ignore = random.random((classes, 2, 3)) < 0.5, random.random((2, 3)) < 0.3
    width = next(width for width in (8, 16, 32) if classes < width)
    expected = [sum(2**k for k in range(classes) if planes[k, y, x]) + (2 ** (width - 1) if ignore[y, x] else 0)
                for y in range(2) for x in range(3)]
    packed = TASK.pack(planes, ignore)
    assert packed.tobytes() == b"".join(value.to_bytes(width // 8, "little") for value in expected)


@given(st.integers(32, 100), st.integers(0, 2**31))
def test_more_classes_take_one_number_per_31(classes: int, seed: int):
    random = np.random.default_rng(seed)
    planes, ignore = random.random((classes, 2, 3)) < 0.5, random.random((2, 3)) < 0.3
    expected = [sum(2**bit for bit, k in enumerate(range(first, min(first + 31, classes))) if planes[k, y, x])
                + (2**31 if ignore[y, x] else 0)
                for y in range(2) for x in range(3) for first in range(0, classes, 31)]
    assert TASK.pack(planes, ignore).tobytes() == b"".join(value.to_bytes(4, "little") for value in expected)


@pytest.mark.parametrize("classes", [9, 80])
def test_a_device_sees_overlapping_classes(classes: int):
    planes = np.random.default_rng(0).random((2, classes, 4, 5)) < 0.5
    masks = np.stack([TASK.pack(planes_KHW) for planes_KHW in planes])
    found, valid = TASK.targets(torch.from_numpy(signed(masks)), classes)
    assert valid is None
    np.testing.assert_array_equal(found.numpy(), planes)


def test_each_class_is_present_where_its_share_passes_a_half():
    shares = torch.tensor([[0.4, 0.6, 0.5], [0.9, 0.6, 0.1]]).view(2, 1, 3)
    assert TASK.present(shares).flatten().tolist() == [False, True, False, True, True, False]


def test_a_confusion_has_background_and_predictions_of_several_classes():
    assert TASK.has_background and not TASK.exclusive
    assert TASK.confusion_names(["a", "b"]) == (["a", "b", "background"], ["a", "b", "background", "several"])


def test_the_page_sees_the_bits_of_pixels_that_count():
    mask = np.array([[0, 0b001, 0b101, 0b10000001]], np.uint8)
    assert TASK.shown_values(mask, TASK.ignored(mask)).tolist() == [[0, 1, 5, 0]]


def test_the_page_sees_several_words_one_after_another():
    planes = np.zeros((80, 1, 3), bool)
    planes[[0, 31, 79], 0, [0, 1, 1]] = planes[5, 0, 2] = True
    mask = TASK.pack(planes, np.array([[False, False, True]]))
    assert TASK.shown_values(mask, TASK.ignored(mask)).tolist() == [[[1, 0, 0]], [[0, 1, 0]], [[0, 2**17, 0]]]
