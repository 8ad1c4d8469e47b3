"""Classes that exclude each other: one number per pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seglib import tasks

TASK = tasks.get("multiclass")


@given(st.integers(1, 300), st.integers(0, 2**31), st.booleans())
def test_packing_gives_the_numbers_of_the_classes(classes: int, seed: int, ignores: bool):
    random = np.random.default_rng(seed)
    numbers = random.integers(-1, classes, (4, 5))  # -1: in no plane
    ignore = random.random((4, 5)) < 0.5 if ignores else np.zeros((4, 5), bool)
    planes = numbers == np.arange(classes).reshape(-1, 1, 1)
    mask = TASK.pack(planes, ignore if ignores else None)
    dtype, ignored = (np.uint8, 255) if classes <= 127 else (np.uint16, 65535)
    expected = np.where(ignore | (numbers < 0), ignored, numbers)
    assert mask.dtype == dtype
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(TASK.unpack(mask, classes), planes & ~ignore)
    np.testing.assert_array_equal(TASK.ignored(mask), expected == ignored)
    assert not TASK.background(mask).any()


def test_a_pixel_in_several_planes_has_the_last_of_these_classes():
    planes = np.array([[[1, 1, 0]], [[1, 0, 1]], [[0, 0, 1]]], bool)
    assert TASK.pack(planes).tolist() == [[1, 0, 2]]


@pytest.mark.parametrize(("classes", "dtype"), [(1, np.uint8), (127, np.uint8), (128, np.uint16), (1000, np.uint16)])
def test_masks_are_bytes_until_numbers_would_be_negative(classes: int, dtype: type):
    assert TASK.mask_dtype(classes) == dtype


def test_one_class_is_present_and_of_equal_ones_the_first():
    shares = torch.tensor([[0.2, 0.3, 0.0], [0.1, 0.4, 0.0], [0.2, 0.3, 0.0]]).view(3, 1, 3)
    assert TASK.present(shares).int().argmax(0).tolist() == [[0, 1, 0]]
    assert (TASK.present(shares).sum(0) == 1).all()


def test_probabilities_are_shared_by_all_classes():
    logits = torch.tensor([1.0, 3.0, 2.0]).view(1, 3, 1, 1)
    exponentials = torch.tensor([1.0, 3.0, 2.0]).exp()
    torch.testing.assert_close(TASK.probabilities(logits).flatten(), exponentials / exponentials.sum())


def test_a_confusion_has_classes_alone():
    assert TASK.exclusive and not TASK.has_background
    assert TASK.confusion_names(["a", "b"]) == (["a", "b"], ["a", "b"])


def test_the_page_sees_the_number_plus_1_of_pixels_that_count():
    mask = np.array([[0, 1, 126, 255]], np.uint8)
    assert TASK.shown_values(mask, TASK.ignored(mask)).tolist() == [[1, 2, 127, 0]]
