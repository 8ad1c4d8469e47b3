"""Writing the prepared format's tables, see `store`."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
from pyarrow import parquet

ROWS = 1000  # that are Python objects at a time, which take ten times the memory of their columns


def write_index(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """index.parquet: id, source, original size, classes, boxes, areas, licence.

    `boxes` are [min_x, min_y, max_x, max_y] in pixels of the prepared picture, an edge lying between two pixels;
    like `objects` (class names) there is one an object. `areas` has one entry a class: the pixels of its mask.
    """
    rows, tables, fullest = iter(rows), [], []
    while batch := list(itertools.islice(rows, ROWS)):
        tables.append(_table(batch))
        fullest = [max(fullest + batch, key=lambda row: len(row.get("objects", ())))]
    # A list's type is known where one is not empty. pandas keeps its own note of types, which names the list's too.
    whole = pyarrow.concat_tables(tables or [_table([])], promote_options="permissive").combine_chunks()
    parquet.write_table(whole.replace_schema_metadata(_table(fullest).schema.metadata), path, compression="zstd")


def _table(rows: list[dict[str, Any]]) -> pyarrow.Table:
    return pyarrow.Table.from_pandas(pd.DataFrame(rows), preserve_index=False)


class OwnMaskWriter:
    """Writes own.parquet, one row per picture: id, height, width and its packed mask's bytes in C order.

    Memory holds one row group: 64 masks, or fewer where they are large.
    """

    ROWS, BYTES = 64, 64 << 20  # that a row group has at most, its last mask's bytes not counted
    SCHEMA = pyarrow.schema([("id", pyarrow.string()), ("height", pyarrow.int32()), ("width", pyarrow.int32()),
                             ("mask", pyarrow.binary())])

    def __init__(self, path: Path):
        self._file = parquet.ParquetWriter(path, self.SCHEMA, compression="zstd", use_dictionary=False)
        self._rows: list[dict[str, Any]] = []

    def append(self, identifier: str, mask_HW: np.ndarray) -> None:
        height, width = mask_HW.shape
        self._rows.append({"id": identifier, "height": height, "width": width, "mask": mask_HW.tobytes()})
        if len(self._rows) == self.ROWS or sum(len(row["mask"]) for row in self._rows) >= self.BYTES:
            self._flush()

    def _flush(self) -> None:
        self._file.write_table(pyarrow.Table.from_pylist(self._rows, self.SCHEMA))
        self._rows = []

    def __enter__(self) -> "OwnMaskWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._rows:
            self._flush()
        self._file.close()
