"""The annotations that coco's `fetch` wrote, picture by picture: memory holds where they stand, 24 bytes an entry.

That relies on the layout of `write_json`: an entry of the file's lists begins with a line of four spaces and "{", and
ends with a line of four spaces and "}". No line within an entry looks so, and no string holds a line's end.
"""

import array
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from seglib.datasets.coco_annotations import Category, FileName, check_unique
from seglib.datasets.download import CHUNK

Place = tuple[int, int]  # of an entry: its first byte, and the one after its last

_BEGIN, _END = b"\n    {", b"\n    }"
_LIST = re.compile(rb'\n  "(\w+)": \[$')  # what stands before a list's first entry


class _Picture(msgspec.Struct):
    id: int
    file_name: FileName
    width: int
    height: int


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int


class FetchedAnnotations:
    """Raises ValueError for a file that is not as `fetch` writes it."""

    def __init__(self, path: Path):
        self.path = path
        self.categories: list[dict[str, Any]] = []
        self.licenses: list[dict[str, Any]] = []
        pictures, annotations = array.array("q"), array.array("q")  # a picture's id, and the place of an entry
        as_picture, as_annotation, as_category = map(msgspec.json.Decoder, (_Picture, _Annotation, Category))
        try:
            for name, (start, end), entry in _entries(path):
                if name == "images":
                    pictures.extend((as_picture.decode(entry).id, start, end))
                elif name == "annotations":
                    annotations.extend((as_annotation.decode(entry).image_id, start, end))
                elif name in ("categories", "licenses"):
                    if name == "categories":
                        as_category.decode(entry)
                    getattr(self, name).append(json.loads(entry))
            check_unique(pictures[::3], path.name, "pictures have the id")
        except (ValueError, OverflowError, RecursionError) as error:  # OverflowError: an id of more than 64 bits
            raise ValueError(f"{path} is not as it was fetched: {error}") from None
        self._pictures, self._annotations = _by_picture(pictures), _by_picture(annotations)

    @property
    def dangling(self) -> int:
        """How many annotations are of no picture in the file."""
        return int((~np.isin(self._annotations[:, 0], self._pictures[:, 0])).sum())

    def pictures(self) -> Iterator[tuple[Place, list[Place]]]:
        """Where a picture's entry stands, and its annotations', these in the file's order; by the picture's id."""
        ids, of_picture = self._pictures[:, 0], self._annotations[:, 0]
        firsts, lasts = np.searchsorted(of_picture, ids), np.searchsorted(of_picture, ids, "right")
        for (_, start, end), first, last in zip(self._pictures.tolist(), firsts, lasts, strict=True):
            yield (start, end), [tuple(place) for place in self._annotations[first:last, 1:].tolist()]


def read_entries(path: Path, places: list[Place]) -> list[dict[str, Any]]:
    """The entries that stand at these places of the file."""
    with path.open("rb") as file:
        found = []
        for start, end in places:
            file.seek(start)
            found.append(json.loads(file.read(end - start)))
        return found


def _by_picture(flat: array.array) -> np.ndarray:
    rows_N3 = np.array(flat, np.int64).reshape(-1, 3)
    return rows_N3[np.argsort(rows_N3[:, 0], kind="stable")]


def _entries(path: Path) -> Iterator[tuple[str, Place, bytes]]:
    """The list that an entry is in, the entry's place and its JSON, one entry in memory at a time."""
    with path.open("rb") as file:
        position, name, rest = 0, "", b""
        while chunk := file.read(CHUNK):
            *pieces, rest = (rest + chunk).split(_END)
            for piece in pieces:
                before, _, body = piece.partition(_BEGIN)
                if found := _LIST.search(before):
                    name = found[1].decode()
                position += len(piece) + len(_END)
                if body:
                    yield name, (position - len(b"{" + body + _END), position), b"{" + body + b"}"
    if not name or not rest.endswith(b"\n}\n"):
        raise ValueError("fetch it again")
