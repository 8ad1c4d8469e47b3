"""Every key of params.yaml with everything that cannot stand there, and its text damaged anywhere.

A fast test tries one value at each key, and 200 damaged texts; a slow one tries every value, and 2,000.
"""

import copy
import datetime
import faulthandler
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seglib import params, resolve
from seglib.strict import MOST_LINES
from tests.conftest import ROOT

pytestmark = pytest.mark.fuzz

LAUGHS: list = ["ha"]
for _ in range(40):
    LAUGHS = [LAUGHS] * 10  # what YAML's anchors make of forty short lines
DEEP: list = []
for _ in range(5000):
    DEEP = [DEEP]
VALUES: list[Any] = [
    None, True, False, -1, 0, 1.5, 2**31, 2**63, 10**400, -10**400, 10**9000, float("nan"), float("inf"), -float("inf"),
    1e308, 1e-320, "", "x", "-", "..", "../x", "/x", "a b", "a\nb", "a\0", "\ud800", "é", "x" * 300, "x" * 10**6, b"x",
    [], {}, [None], [[]], [-1], [float("nan")], [1, "a", None], [1, 1], LAUGHS, DEEP, {"a": {"b": 1}}, {1: 2},
    {None: 1}, {"a\nb": 1}, {"x" * 10**5: 1}, {1, 2}, datetime.date(2020, 1, 1)]

PYDANTICS = r"nput should|constrained-|literal\[|discriminator|inputs are|should (have|match)|dictionary|\[key\]"


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every key and of every entry of a list."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


def with_value(raw: dict[str, Any], path: tuple, value: Any) -> dict[str, Any]:
    changed = at = dict(raw)
    for key in path[:-1]:
        at[key] = copy.copy(at[key])
        at = at[key]
    at[path[-1]] = value
    return changed


@pytest.mark.parametrize("values_at_each", [1, pytest.param(len(VALUES), marks=pytest.mark.slow)])
def test_any_value_in_any_place_is_taken_or_refused_in_lines_that_name_the_key(values_at_each: int):
    raw = json.loads(params.load(ROOT / "params.yaml").model_dump_json(exclude_unset=True))
    counts: Counter[str] = Counter()
    drawn = random.Random(3)
    for path in places(raw):
        faulthandler.dump_traceback_later(20, exit=True)  # some of these would take for ever
        for value in drawn.sample(VALUES, values_at_each):
            try:
                resolve.resolve(params.parse(with_value(raw, path, value)))
            except params.ParamsError as error:
                lines = str(error).splitlines()
                assert len(lines) <= MOST_LINES + 1 and max(map(len, lines)) < 1000, path
                assert any(str(key) in str(error) for key in path[-2:])
                assert str(error).isprintable() or len(lines) > 1
                assert not re.search(PYDANTICS, str(error)), str(error)
                counts["refused"] += 1
            else:
                counts["taken"] += 1
    faulthandler.cancel_dump_traceback_later()
    print(dict(counts))
    assert counts["refused"] > 250 * values_at_each and counts["taken"] > 25 * values_at_each


@pytest.mark.parametrize("texts", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_text_damaged_anywhere_is_taken_or_refused(tmp_path: Path, texts: int):
    whole = (ROOT / "params.yaml").read_bytes()
    small = b"".join(line for line in whole.splitlines(keepends=True)[:30])
    drawn, path, counts = random.Random(3), tmp_path / "params.yaml", Counter()
    pieces = [b"\t", b"\0", b"\xff", b"!!python/object:os.system ", b"&a ", b"*a ", b"<<: ", b"{", b"]", b"'", b'"',
              b"|", b"? ", b": ", b"- ", b"---\n", b"%", b"@", b"0x", b"1e400", b"2001-99-99", b"!!int x", b"!!float ",
              b"\r", b"\xe2\x80\xa8", b"!!binary ", b"!!timestamp ", b"!!set ", b"!!omap "]
    for _ in range(texts):
        data = bytearray(small)
        for _ in range(drawn.choice([1, 1, 2, 5])):
            at = drawn.randrange(len(data))
            data[at:at + drawn.choice([0, 0, 1, 5])] = drawn.choice([*pieces, b"", drawn.randbytes(1)])
        path.write_bytes(data)
        faulthandler.dump_traceback_later(20, exit=True)
        with pytest.raises(params.ParamsError) as error:  # the sections below are missing in any case
            params.load(path)
        counts[str(error.value).partition(":")[0][:30]] += 1
    faulthandler.cancel_dump_traceback_later()
    assert counts["params.yaml is not YAML"] > texts / 4
