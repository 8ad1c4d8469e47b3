"""The prepared format: growing arrays, own-size masks, hashes."""

import dataclasses
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from seglib import tasks
from seglib.datasets import prepare, readers, shapes, store
from seglib.datasets.images import STORED
from seglib.datasets.store_tables import OwnMaskWriter
from seglib.files import file_sha256, read_json, write_json
from tests.conftest import fetch_config, prepare_config


@pytest.mark.parametrize("count", [0, 1, 1234])
def test_a_growing_array_is_a_plain_npy(tmp_path: Path, count: int):
    expected = np.random.default_rng(0).integers(0, 256, (count, 3, 2), np.uint8)
    with store.ArrayWriter(tmp_path / "a.npy", (3, 2), np.uint8) as writer:
        for item in expected:
            writer.append(item)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected)


def write_own_masks(folder: Path, masks: list[np.ndarray]) -> store.Split:
    with OwnMaskWriter(folder / store.OWN_MASKS) as writer:
        for i, mask in enumerate(masks):
            writer.append(f"id-{i}", mask)
    return store.Split(np.zeros((0, 1, 1, 3), np.uint8), np.zeros((0, 1, 1), masks[0].dtype), folder)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_own_masks_come_back_in_order_and_size(tmp_path: Path, dtype: type):
    random = np.random.default_rng(0)
    masks = [random.integers(0, 200, random.integers(1, 30, 2), dtype) for _ in range(150)]
    split = write_own_masks(tmp_path, masks)
    assert split.has_own_masks()
    for found, expected in zip(split.own_masks(), masks, strict=True):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
    with parquet.ParquetFile(tmp_path / store.OWN_MASKS) as file:
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        assert [group.num_rows for group in groups] == [64, 64, 22]
        assert {group.column(3).compression for group in groups} == {"ZSTD"}
    table = parquet.read_table(tmp_path / store.OWN_MASKS)
    assert table["id"].to_pylist() == [f"id-{i}" for i in range(150)]
    assert list(zip(table["height"].to_pylist(), table["width"].to_pylist(), strict=True)) == [m.shape for m in masks]


def test_large_own_masks_make_smaller_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(OwnMaskWriter, "BYTES", 1000)
    write_own_masks(tmp_path, [np.zeros((20, 20), np.uint8)] * 8)
    with parquet.ParquetFile(tmp_path / store.OWN_MASKS) as file:
        assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [3, 3, 2]


def test_reading_own_masks_never_holds_them_all(tmp_path: Path):
    random = np.random.default_rng(0)
    split = write_own_masks(tmp_path, [random.integers(0, 256, (100, 100), np.uint8) for _ in range(640)])
    before = pyarrow.total_allocated_bytes()
    most = max(pyarrow.total_allocated_bytes() - before for _ in split.own_masks())
    assert most < 640 * 100 * 100 / 2


def test_contents_json_lists_the_hash_of_every_split_file(prepared_shapes: Path):
    contents = store.Contents.read(prepared_shapes)
    assert contents.counts == {"train": 38, "val": 10, "test": 12}
    assert set(contents.files) == {f"{split}/{file}" for split in store.SPLITS
                                   for file in ("images.npy", "masks.npy", "index.parquet")}
    for name, digest in contents.files.items():
        assert file_sha256(prepared_shapes / name) == digest


def test_dataset_json_follows_from_train_and_val_alone(tmp_path: Path):
    def prepared(name: str, **keys: Any) -> Path:
        raw, out = tmp_path / name / "raw", tmp_path / name / "out"
        raw.mkdir(parents=True)
        out.mkdir()
        all_keys = {"kind": "shapes", "source": "generated", "train_images": 10, "test_images": 4, "seed": 3,
                    "background": "dark", "val_fraction": 0.2} | keys
        write_json(raw / readers.SELECTION, shapes.fetch(fetch_config(all_keys), raw))
        prepare.prepare(raw, prepare_config(all_keys), out)
        return out

    first, more_tests, more_trains = prepared("a"), prepared("b", test_images=6), prepared("c", train_images=12)
    for name in ("dataset.json", "train/images.npy", "val/masks.npy", "train/index.parquet"):
        assert file_sha256(more_tests / name) == file_sha256(first / name)
        assert file_sha256(more_trains / name) != file_sha256(first / name)
    assert file_sha256(more_tests / "contents.json") != file_sha256(first / "contents.json")


@pytest.mark.parametrize("content", ["[]", "{}", "{", '{"counts": {"train": 0}, "files": {}, "selection": {}}',
                                     '{"counts": {"tests": 1}, "files": {}, "selection": {}}',
                                     '{"counts": {"train": 1}, "files": [], "selection": {}}'])
def test_damaged_contents_are_refused(tmp_path: Path, content: str):
    (tmp_path / "contents.json").write_text(content)
    with pytest.raises(ValueError, match="contents.json is not as it was prepared: .*; prepare it again"):
        store.Contents.read(tmp_path)


def test_a_folder_without_a_dataset_says_how_to_get_one(tmp_path: Path):
    with pytest.raises(ValueError, match="holds no prepared dataset"):
        store.DatasetInfo.read(tmp_path)


def spoil(root: Path, prepared: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    shutil.copytree(prepared, root, dirs_exist_ok=True)
    (root / name).write_bytes(change((root / name).read_bytes()))


@pytest.mark.parametrize("change", [
    lambda text: b"", lambda text: text[:50], lambda text: b"[" * 10_000, lambda text: b"[]", lambda text: b"{}",
    lambda text: text.replace(b"multilabel", b"multi"), lambda text: text.replace(b'"classes"', b'"klasses"'),
    lambda text: text.replace(b'"star"', b"5"), lambda text: text.replace(b'"star"', b'"star", "sun"'),
    lambda text: text.replace(b"64", b"-64"), lambda text: text.replace(b'"format_version": 3', b'"format_version": 1'),
    lambda text: text.replace(b"250.0", b"NaN"), lambda text: text.replace(b'"resize": "stretch"', b'"resize": 1'),
])
def test_a_damaged_description_is_a_clear_error(tmp_path: Path, prepared_shapes: Path, change: Callable):
    spoil(tmp_path, prepared_shapes, "dataset.json", change)
    assert (tmp_path / "dataset.json").read_bytes() != (prepared_shapes / "dataset.json").read_bytes()
    with pytest.raises(ValueError, match="dataset.json is not as it was prepared: .*; prepare it again"):
        store.DatasetInfo.read(tmp_path)


def test_what_is_not_said_is_not_in_the_description(tmp_path: Path, prepared_shapes: Path):
    info = store.DatasetInfo.read(prepared_shapes)
    assert (info.reading, info.mask_values) == (None, None)
    info.write(tmp_path)
    assert (tmp_path / "dataset.json").read_bytes() == (prepared_shapes / "dataset.json").read_bytes()
    assert not {*store.OPTIONAL} & read_json(tmp_path / "dataset.json").keys()


def test_how_a_folder_was_read_comes_back(tmp_path: Path, prepared_shapes: Path):
    said = dataclasses.replace(store.DatasetInfo.read(prepared_shapes), mask_values=[0, 7, 255, 65535, 3],
                               reading=dataclasses.replace(STORED, range=(0.0, 4095.0)).content())
    said.write(tmp_path)
    assert store.DatasetInfo.read(tmp_path) == said


@pytest.mark.parametrize(("key", "value"), [("mask_values", [1, 2]), ("mask_values", [1, 1, 2, 3, 4]), ("reading", [1]),
                                            ("mask_values", [0, 1, 2, 3, 65536]), ("mask_values", [0, 1, 2, 3, "4"])])
def test_numbers_that_are_not_one_for_each_class_are_refused(tmp_path: Path, prepared_shapes: Path, key: str,
                                                             value: Any):
    write_json(tmp_path / "dataset.json", read_json(prepared_shapes / "dataset.json") | {key: value})
    with pytest.raises(ValueError, match=f"dataset.json is not as it was prepared: {key}"):
        store.DatasetInfo.read(tmp_path)


def test_a_task_that_nobody_knows_is_said(tmp_path: Path, prepared_shapes: Path):
    spoil(tmp_path, prepared_shapes, "dataset.json", lambda text: text.replace(b"multilabel", b"multiclas"))
    with pytest.raises(ValueError, match="there is no task 'multiclas', did you mean 'multiclass'"):
        store.DatasetInfo.read(tmp_path)


@pytest.mark.parametrize("task", tasks.NAMES)
def test_a_description_of_too_many_classes_is_refused(tmp_path: Path, prepared_shapes: Path, task: str):
    info, most = store.DatasetInfo.read(prepared_shapes), 1000
    for count in (most, most + 1):
        dataclasses.replace(info, task=tasks.get(task), classes=["x"] * count, label_values=[1.0] * count,
                            class_pixels=[1] * count).write(tmp_path)
        if count == most:
            assert store.DatasetInfo.read(tmp_path).task is tasks.get(task)
    with pytest.raises(ValueError, match=f"{most + 1} classes do not fit a {task} mask"):
        store.DatasetInfo.read(tmp_path)


def of_dtype(dtype: type, shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(shape, dtype))
    return file.getvalue()


@pytest.mark.parametrize("change", [
    lambda data: b"", lambda data: data[:60], lambda data: data[:-1], lambda data: data + b"\0",
    lambda data: b"PK\3\4" + data, lambda data: data.replace(b"False", b"True "),
    lambda data: data.replace(b"(38, ", b"(39, "), lambda data: data.replace(b"(38, ", b"(-1, "),
    lambda data: data.replace(b"|u1", b"|O8"), lambda data: data.replace(b"|u1", b"|i1"),
    lambda data: data.replace(b"(38, 64", b"(64, 38"), lambda data: data.replace(b"{", b"(", 1),
    lambda data: of_dtype(np.float32, (38, 64, 64)), lambda data: of_dtype(np.uint8, (38, 4096)),
])
@pytest.mark.parametrize("name", ["images", "masks"])
def test_damaged_arrays_are_a_clear_error(tmp_path: Path, prepared_shapes: Path, change: Callable, name: str):
    spoil(tmp_path, prepared_shapes, f"train/{name}.npy", change)
    with pytest.raises(ValueError, match="is not as it was prepared: .*; prepare it again"):
        store.Split.open(tmp_path, "train")


def test_damaged_tables_are_a_clear_error(tmp_path: Path, prepared_shapes: Path):
    spoil(tmp_path, prepared_shapes, "train/index.parquet", lambda data: data[:-20])
    with pytest.raises(ValueError, match="index.parquet is not as it was prepared"):
        store.Split.open(tmp_path, "train").index()
    rows = pyarrow.table({"id": ["a"]}).replace_schema_metadata({"pandas": '{"columns": [{}]'})
    parquet.write_table(rows, tmp_path / "train/index.parquet")
    with pytest.raises(ValueError, match="index.parquet is not as it was prepared"):
        store.Split.open(tmp_path, "train").index()
    split = write_own_masks(tmp_path, [np.zeros((3, 4), np.uint8)] * 3)
    table = parquet.read_table(tmp_path / store.OWN_MASKS)
    for height, said in ((5, "cannot reshape"), (None, "NoneType")):
        column = pyarrow.array([height] * 3, pyarrow.int32())
        parquet.write_table(table.set_column(1, "height", column), tmp_path / store.OWN_MASKS)
        with pytest.raises(ValueError, match=f"own.parquet is not as it was prepared: .*{said}"):
            list(split.own_masks())
