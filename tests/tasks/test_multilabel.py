"""Classes that may overlap: one bit each."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seglib import tasks

TASK = tasks.get("multilabel")


@given(st.integers(1, 31), st.integers(0, 2**31), st.booleans())
def test_packing_loses_nothing(classes: int, seed: int, ignores: bool):
    random = np.random.default_rng(seed)
    planes = random.random((classes, 4, 5)) < 0.5
    ignore = random.random((4, 5)) < 0.5 if ignores else np.zeros((4, 5), bool)
    mask = TASK.pack(planes, ignore if ignores else None)
    assert mask.dtype == TASK.mask_dtype(classes)
    np.testing.assert_array_equal(TASK.unpack(mask, classes), planes)
    np.testing.assert_array_equal(TASK.ignored(mask), ignore)
    np.testing.assert_array_equal(TASK.background(mask), ~planes.any(0) & ~ignore)


def test_bits_are_the_numbers_of_the_classes_and_the_highest_says_ignore():
    planes = np.array([[[1, 0, 1, 1]], [[0, 0, 1, 1]], [[0, 0, 0, 1]]], bool)
    ignore = np.array([[False, False, False, True]])
    assert TASK.pack(planes, ignore).tolist() == [[0b001, 0, 0b011, 0b10000111]]


@pytest.mark.parametrize(("classes", "dtype"), [(1, "uint8"), (7, "uint8"), (8, "uint16"), (15, "uint16"),
                                                (16, "uint32"), (31, "uint32")])
def test_masks_take_the_narrowest_type_with_room_for_ignore(classes: int, dtype: str):
    assert TASK.mask_dtype(classes) == dtype


def test_a_device_sees_overlapping_classes():
    planes = np.random.default_rng(0).random((2, 9, 4, 5)) < 0.5
    masks = np.stack([TASK.pack(planes_KHW) for planes_KHW in planes])
    found, valid = TASK.targets(torch.from_numpy(masks.view(np.int16)), 9)
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
