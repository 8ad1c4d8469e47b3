"""A prepared dataset whose files were damaged."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib import tasks
from seglib.datasets import store
from seglib.datasets.store import Contents, DatasetInfo, Split
from seglib.datasets.store_tables import OwnMaskWriter, write_index
from seglib.tasks.task import is_mask_dtype
from tests.fuzz.mutation import changed, changes, damaged, edits, fuzzed, json_of

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(900, method="thread")]

INFO = DatasetInfo(task=tasks.get("multilabel"), classes=["dog", "猫, gross"], label_values=[125.0, 250.0],
                   image_size=[4, 5], resize="pad", class_pixels=[7, 9], valid_pixels=60,
                   train_val_sha256="0" * 64)
CONTENTS = Contents(counts={"train": 3, "val": 1, "test": 2}, selection={"images": {"pictures": 9, "selected": 6}},
                    files={"train/images.npy": "0" * 64}, annotations={}, allowed=[])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a split of three pictures, by name."""
    root, random = tmp_path_factory.mktemp("prepared"), np.random.default_rng(0)
    for name, shape in (("images", (4, 5, 3)), ("masks", (4, 5))):
        with store.ArrayWriter(root / f"{name}.npy", shape, np.uint8) as writer:
            for _ in range(3):
                writer.append(random.integers(0, 4, shape, np.uint8))
    write_index(root / "index.parquet", ({"id": f"p{i}", "source": f"p{i}.png", "height": 6, "width": 7,
                                          "objects": ["dog"] * i, "boxes": [[0.0, 1.0, 2.0, 3.0]] * i, "areas": [5, 6],
                                          "licence": ""} for i in range(3)))
    with OwnMaskWriter(root / store.OWN_MASKS) as writer:
        for i in range(3):
            writer.append(f"p{i}", random.integers(0, 4, (6, 7), np.uint8))
    INFO.write(root)
    CONTENTS.write(root)
    return {path.name: path.read_bytes() for path in root.iterdir()}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (root := tmp_path_factory.mktemp("damaged") / "train").mkdir()
    yield root
    shutil.rmtree(root)


several_edits = st.lists(edits, min_size=1, max_size=3)


@fuzzed(0.4)
@given(st.sampled_from(["images.npy", "masks.npy"]), several_edits, st.booleans())
def test_damaged_arrays(place: Path, whole: dict[str, bytes], name: str, edits: list, header_only: bool):
    for other in ("images.npy", "masks.npy"):
        (place / other).write_bytes(whole[other])
    head, rest = (whole[name][:128], whole[name][128:]) if header_only else (whole[name], b"")
    (place / name).unlink()  # not written over: a map of the last one may still be open
    (place / name).write_bytes(damaged(head, edits, whole["images.npy"]) + rest)
    try:
        split = Split.open(place.parent, "train")
    except ValueError as error:
        assert str(place / name) in str(error) or str(place) in str(error)
        return
    assert split.images.dtype == np.uint8 and split.images.shape == (*split.masks.shape, 3) and len(split) > 0
    assert is_mask_dtype(split.masks.dtype)
    assert int(split.images.sum(dtype=np.int64)) + int(split.masks.sum(dtype=np.int64)) >= 0  # every byte can be read


def write_damaged(path: Path, whole: dict[str, bytes], edits: list, changes: list, as_text: bool) -> None:
    """Write the file with this name, damaged as text or changed as JSON."""
    text = whole[path.name]
    path.write_bytes(damaged(text, edits, text) if as_text else json_of(changed(json.loads(text), changes)))


@fuzzed(0.3)
@given(several_edits, changes, st.booleans())
def test_a_damaged_description(place: Path, whole: dict[str, bytes], edits: list, changes: list, as_text: bool):
    write_damaged(place / "dataset.json", whole, edits, changes, as_text)
    try:
        info = DatasetInfo.read(place)
    except ValueError as error:
        assert "dataset.json is not as it was prepared" in str(error)
        return
    assert info.task.name in tasks.NAMES and is_mask_dtype(info.task.mask_dtype(len(info.classes)))
    assert len(info.classes) == len(info.label_values) == len(info.class_pixels)
    assert all(isinstance(name, str) for name in info.classes) and np.isfinite(info.label_values).all()
    assert len(info.image_size) == 2 and min(info.image_size) > 0


@fuzzed(0.15)
@given(several_edits, changes, st.booleans())
def test_damaged_contents(place: Path, whole: dict[str, bytes], edits: list, changes: list, as_text: bool):
    write_damaged(place / "contents.json", whole, edits, changes, as_text)
    try:
        contents = Contents.read(place)
    except ValueError as error:
        assert "contents.json is not as it was prepared" in str(error)
        return
    assert min(contents.counts.values()) > 0 and len(contents.sha256_of("train", "val")) == 64


@fuzzed(0.15)
@given(several_edits)
def test_damaged_own_masks(place: Path, whole: dict[str, bytes], edits: list):
    (place / store.OWN_MASKS).write_bytes(damaged(whole[store.OWN_MASKS], edits, whole["index.parquet"]))
    split = Split(np.zeros((3, 4, 5, 3), np.uint8), np.zeros((3, 4, 5), np.uint8), place)
    try:
        found = list(split.own_masks())
    except ValueError as error:
        assert "own.parquet is not as it was prepared" in str(error)
        return
    assert all(mask_HW.ndim == 2 and mask_HW.dtype == np.uint8 for mask_HW in found)


@fuzzed(0.15)
@given(several_edits)
def test_a_damaged_index(place: Path, whole: dict[str, bytes], edits: list):
    (place / "index.parquet").write_bytes(damaged(whole["index.parquet"], edits, whole[store.OWN_MASKS]))
    split = Split(np.zeros((3, 4, 5, 3), np.uint8), np.zeros((3, 4, 5), np.uint8), place)
    try:
        assert len(split.index().columns) > 0
    except ValueError as error:
        assert "index.parquet is not as it was prepared" in str(error)
