"""The course's files: pickles and what they hold, damaged."""

import functools
import gzip
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.datasets import shapes, unpickle
from seglib.datasets.shapes_generator import LABELS
from seglib.datasets.unpickle import load_numbers
from tests.conftest import fetch_config, prepare_config
from tests.fuzz.mutation import assert_lawful, changed, changes, damage, fuzzed

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(900, method="thread")]

CONFIG = {"kind": "shapes", "source": "generated", "train_images": 2, "test_images": 1, "seed": 5, "background": "dark"}


@functools.cache
def content() -> Any:
    """Two pictures of the generator's."""
    import tempfile
    with tempfile.TemporaryDirectory() as out:
        shapes.fetch(fetch_config(CONFIG), Path(out))
        with gzip.open(Path(out) / shapes.file_name(CONFIG, "train")) as file:
            return pickle.load(file)


@functools.cache
def small_pickles() -> list[bytes]:
    """Of every protocol, of what such a file holds, but smaller: an edit meets what matters."""
    planes = np.arange(20, dtype=np.uint8).reshape(5, 2, 2)
    small = ({0: [[1, 2], [3, 4], [5, 255], planes, {50: [[1, 2, 3, 4]]}]}, LABELS, -1, 2.5, None, True, "é", b"\xff")
    return [pickle.dumps(small, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]


def is_plain(content: Any) -> bool:
    if isinstance(content, dict | list | tuple):
        return all(map(is_plain, content)) and (not isinstance(content, dict) or all(map(is_plain, content.values())))
    if getattr(content, "__module__", "") == unpickle.__name__:
        return True  # the name of what is admitted, called by nobody
    is_numbers = isinstance(content, np.ndarray) and content.dtype.kind in "biuf" and content.dtype.isnative
    return is_numbers or content is None or type(content) in (bool, int, float, str, bytes, bytearray)


@fuzzed(1)
@given(damage(small_pickles(), most=3))
def test_a_damaged_pickle_is_plain_or_a_value_error(data: bytes):
    try:
        found = load_numbers(io.BytesIO(data), most_memory=1 << 28)
    except ValueError as error:
        assert str(error).startswith("not a pickle of plain numbers: ") and "\n" not in str(error)
    else:
        assert is_plain(found)


@pytest.mark.parametrize("data", small_pickles())
def test_the_pickles_that_are_damaged_are_whole(data: bytes):
    assert is_plain(load_numbers(io.BytesIO(data), most_memory=1 << 28))


def assert_read(place: Path, data: bytes) -> None:
    (place / shapes.file_name(CONFIG, "train")).write_bytes(data)
    for sample in assert_lawful(lambda: shapes.read(place, prepare_config(CONFIG), "train"), 5):
        assert not hasattr(sample, "image_HWC") or sample.image_HWC.shape == (64, 64, 3)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


def stored(value: Any) -> bytes:
    """In gzip's format, uncompressed: an edit meets what is stored and its checksum."""
    return gzip.compress(pickle.dumps(value, 2), 0)


@fuzzed(0.3)
@given(damage([stored(content())], most=2))
def test_a_damaged_file(place: Path, data: bytes):
    assert_read(place, data)


odd_arrays = st.sampled_from([
    np.full((5, 64, 64), np.nan), np.zeros((5, 64, 64), bool), np.full((5, 64, 64), 7, np.uint8), np.zeros((5, 64)),
    np.zeros((5, 64, 64), np.int8), np.full((5, 64, 64), -50.0), np.zeros((0, 64, 64)), np.zeros((5, 64, 64, 1)),
    np.zeros((5, 64, 64), np.float16), np.zeros(20480, np.uint8), np.zeros((64, 64, 5), np.uint8), np.float64(1)])
odd_parts = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), odd_arrays), max_size=2)


@fuzzed(0.1)
@given(changes, odd_parts)
def test_changed_entries(place: Path, edits: list, arrays: list):
    """Of each channel few values are kept, and given back where nothing came of it: an edit meets what matters."""
    dataset, labels = content()
    entries = {i: [channel[:3] for channel in entry[:3]] + entry[3:] for i, entry in dataset.items()}
    found = changed([entries, dict(labels)], edits)
    if isinstance(found, list) and found and isinstance(found[0], dict | list):
        spots = range(len(found[0])) if isinstance(found[0], list) else list(found[0])
        for i in spots:
            entry = found[0][i]
            if isinstance(entry, list):
                entry[:] = [part + dataset[0][0][3:] if isinstance(part, list) and 0 < len(part) < 9 else part
                            for part in entry]
        for i, k, array in arrays:
            if i in spots and isinstance(found[0][i], list) and k < len(found[0][i]):
                found[0][i][k] = array
    assert_read(place, stored(tuple(found) if isinstance(found, list) else found))
