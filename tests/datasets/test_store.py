"""The prepared format: bits, growing arrays, hashes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.datasets import store
from seglib.files import file_sha256


@given(st.integers(1, 31), st.integers(0, 2**31), st.booleans())
def test_packing_loses_nothing(classes: int, seed: int, ignores: bool):
    random = np.random.default_rng(seed)
    planes = random.random((classes, 4, 5)) < 0.5
    ignore = random.random((4, 5)) < 0.5 if ignores else None
    mask = store.pack(planes, ignore)
    assert mask.dtype == store.mask_dtype(classes)
    np.testing.assert_array_equal(store.unpack(mask, classes), planes)
    ignored = (mask >> store.ignore_bit(mask.dtype)) & 1
    np.testing.assert_array_equal(ignored, ignore if ignores else np.zeros((4, 5)))


@pytest.mark.parametrize(("classes", "dtype"), [(1, "uint8"), (7, "uint8"), (8, "uint16"), (15, "uint16"),
                                                (16, "uint32"), (31, "uint32")])
def test_masks_take_the_smallest_type_with_room_for_ignore(classes: int, dtype: str):
    assert store.mask_dtype(classes) == dtype


def test_too_many_classes_are_refused():
    with pytest.raises(ValueError, match="32 classes do not fit a mask; at most 31 do"):
        store.mask_dtype(32)


@pytest.mark.parametrize("count", [0, 1, 1234])
def test_a_growing_array_is_a_plain_npy(tmp_path: Path, count: int):
    expected = np.random.default_rng(0).integers(0, 256, (count, 3, 2), np.uint8)
    with store.ArrayWriter(tmp_path / "a.npy", (3, 2), np.uint8) as writer:
        for item in expected:
            writer.append(item)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected)


def test_dataset_json_lists_the_hash_of_every_split_file(prepared_shapes: Path):
    info = store.DatasetInfo.read(prepared_shapes)
    assert set(info.files) == {f"{split}/{file}" for split in store.SPLITS
                               for file in ("images.npy", "masks.npy", "index.parquet")}
    for name, digest in info.files.items():
        assert file_sha256(prepared_shapes / name) == digest


def test_a_folder_without_a_dataset_says_how_to_get_one(tmp_path: Path):
    with pytest.raises(ValueError, match="holds no prepared dataset"):
        store.DatasetInfo.read(tmp_path)
