"""The index, written from rows that come one by one, is the file that pandas writes of all of them at once."""

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from seglib.datasets import store_tables


def row(number: int, objects: int) -> dict[str, Any]:
    values = random.Random(number)
    return {"id": f"é{number}", "source": f"train/{number}.jpg", "height": 480, "width": 640,
            "objects": [values.choice(["cat", "dog"]) for _ in range(objects)],
            "boxes": [[values.random() for _ in range(4)] for _ in range(objects)],
            "areas": [values.randrange(1 << 40), number], "licence": "made"}


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 35])
@pytest.mark.parametrize("objects", ["none", "late", "early", "some"])
def test_an_index_in_batches_is_pandas_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int,
                                                objects: str):
    monkeypatch.setattr(store_tables, "ROWS", 10)
    of = {"none": lambda i: 0, "late": lambda i: i >= 15, "early": lambda i: i < 5, "some": lambda i: i % 3}[objects]
    rows = [row(i, int(of(i))) for i in range(count)]
    store_tables.write_index(tmp_path / "found.parquet", iter(rows))
    pd.DataFrame(rows).to_parquet(tmp_path / "expected.parquet", index=False, compression="zstd")
    assert (tmp_path / "found.parquet").read_bytes() == (tmp_path / "expected.parquet").read_bytes()
