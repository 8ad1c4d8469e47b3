"""Inputs that nobody would write: real and made ones, damaged; and the law that holds for what readers make of them."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import hypothesis
import numpy as np
from hypothesis import strategies as st

from seglib.datasets.samples import Entry, Rejection, Sample

FEW = 300  # inputs a reader, if the profile of `make test-all` does not say 10,000


def fuzzed(share: float) -> hypothesis.settings:
    """For a test that tries this share of its reader's inputs: each time the same, so that it fails for its code alone.
    """
    inputs = math.ceil(share * max(FEW, hypothesis.settings.default.max_examples))
    return hypothesis.settings(max_examples=inputs, derandomize=True, database=None, deadline=None,
                               suppress_health_check=[hypothesis.HealthCheck.too_slow,
                                                      hypothesis.HealthCheck.data_too_large])


EXTREMES = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x01", b"\xff", b"\0",
            b"-", b"9", b"\n"]
places = st.integers(0, 2**16)  # a share of what is there, whatever its length
edits = st.tuples(st.sampled_from(["flip", "set", "cut", "repeat", "splice", "end", "insert"]), places, places,
                  st.sampled_from(EXTREMES) | st.binary(min_size=1, max_size=6))


def damaged(data: bytes, edits: Iterable[tuple[str, int, int, bytes]], other: bytes) -> bytes:
    """`data` after these edits; `other` is what is spliced in."""
    for what, first, second, value in edits:
        at, length = first * len(data) >> 16, 1 + (second * min(len(data), 400) >> 17)
        if what == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << second % 8]) + data[at + 1:]
        elif what == "set":
            data = data[:at] + value + data[at + len(value):]
        elif what == "cut":
            data = data[:at] + data[at + length:]
        elif what == "repeat":
            data = data[:at + length] + data[at:at + length] * (1 + second % 3) + data[at + length:]
        elif what == "splice":
            start = second * len(other) >> 16
            data = data[:at] + other[start:start + 200] + data[at + 200 * (second % 2):]
        elif what == "end":
            data = data[:at]
        elif what == "insert":
            data = data[:at] + value + data[at:]
    return data


def damage(corpus: list[bytes], most: int = 4) -> st.SearchStrategy[bytes]:
    """One of `corpus` after up to `most` edits, or anything at all."""
    whole = st.sampled_from(corpus)
    return st.builds(damaged, whole, st.lists(edits, min_size=1, max_size=most), whole) | st.binary(max_size=64)


NESTED = {f"<{depth} lists>": b"[" * depth + b"1" + b"]" * depth for depth in (400, 960, 2000)}  # in JSON, what for it
odd_values = st.sampled_from([
    None, True, False, 0, -1, 1, 2, 3, 7, 12, 2**31, 2**32 + 1, -2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e9, 1e308,
    -1e308, math.nan, math.inf, -math.inf, "", "0", "a,b", "猫", "\x00", "\n", "../../x", "/etc/passwd", [], {}, [[]],
    [[1, 2]], [[0, 0, 1e9, 0, 0, 1e9]], {"counts": [1], "size": [1, 1]}, *NESTED])
odd_values |= st.integers() | st.floats() | st.text(max_size=5)
changes = st.lists(st.tuples(st.sampled_from(["put", "take", "double", "swap"]), places, places, odd_values),
                   min_size=1, max_size=4)


def _spots(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in nested dicts and lists: the container and the key."""
    waiting = [content]
    while waiting:
        container = waiting.pop()
        for key in list(container) if isinstance(container, dict) else range(len(container)):
            yield container, key
            if isinstance(container[key], dict | list):
                waiting.append(container[key])


def changed(content: Any, changes: Iterable[tuple[str, int, int, Any]]) -> Any:
    """A copy of nested dicts and lists, in which values are replaced, taken out, doubled and swapped."""
    content = [copied(content)]
    for what, first, second, value in changes:
        spots = list(_spots(content))
        if not spots:
            break
        container, key = spots[first * (len(spots) - 1) >> 16]
        if what == "put":
            container[key] = copied(value)  # drawn again, it must be what it was
        elif what == "take":
            del container[key]
        elif what == "double" and isinstance(container, list):
            container.insert(key, copied(container[key]))
        elif what == "swap":
            other, place = spots[second * (len(spots) - 1) >> 16]
            # A value that comes to lie in itself would have no end.
            container[key], other[place] = copied(other[place]), copied(container[key])
    return content[0] if content else None


def copied(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: copied(value) for key, value in content.items()}
    return [copied(value) for value in content] if isinstance(content, list) else content


def json_of(content: Any, **options: Any) -> bytes:
    """With NaN and infinity, as Python writes them, and lists deep within lists."""
    text = json.dumps(content, ensure_ascii=False, **options).encode("utf-8", "surrogatepass")
    for name, nested in NESTED.items():
        text = text.replace(json.dumps(name).encode(), nested)
    return text


def assert_lawful(read: Callable[[], Iterable[Entry]], classes: int, *, exclusive: bool = False) -> list[Entry]:
    """What `read` gives is a usable sample or says why not; it raises ValueError and nothing else."""
    try:
        entries = list(read())
    except ValueError as error:
        assert str(error)
        return []
    for entry in entries:
        assert isinstance(entry.id, str) and isinstance(entry.source, str)
        (entry.id + entry.source).encode()  # tables are in UTF-8
        if isinstance(entry, Rejection):
            assert entry.what in ("picture", "annotation", "part", "file") and entry.reason
            entry.reason.encode()
        else:
            assert_usable(entry, classes, exclusive)
    return entries


def assert_usable(sample: Sample, classes: int, exclusive: bool) -> None:
    height, width = sample.image_HWC.shape[:2]
    assert height > 0 and width > 0
    assert sample.image_HWC.dtype == np.uint8 and sample.image_HWC.shape == (height, width, 3)
    assert sample.planes_KHW.dtype == bool and sample.planes_KHW.shape == (classes, height, width)
    assert set(np.unique(sample.planes_KHW.view(np.uint8))) <= {0, 1}  # as C code could not leave them
    if sample.ignore_HW is not None:
        assert sample.ignore_HW.dtype == bool and sample.ignore_HW.shape == (height, width)
    if exclusive:  # each pixel is of one class, or ignored
        np.testing.assert_array_equal(sample.planes_KHW.sum(0), ~sample.ignore_HW)
    for k, box in sample.objects:
        assert 0 <= k < classes and len(box) == 4 and all(map(math.isfinite, box))
    sample.licence.encode()
