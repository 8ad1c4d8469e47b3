"""The prepared format: few packed files a dataset, memory-mapped, with every file's hash beside them.

    dataset.json             what the dataset is: task, classes, sizes, counts, hashes
    <split>/images.npy       uint8 (N, H, W, 3)
    <split>/masks.npy        (N, H, W); multilabel: bit k says class k is there, the highest bit says ignore
    <split>/index.parquet    a row an image: where it came from and what it holds
    rejected.csv             what was left out, and why

Shapes: N images, B batch, K classes, H, W.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seglib.files import file_sha256, read_json, write_json

FORMAT_VERSION = 1
SPLITS = ("train", "val", "test")
MAX_CLASSES = 31


def mask_dtype(classes: int) -> np.dtype:
    """The smallest unsigned type with a bit a class and one more, the highest, for "ignore"."""
    for dtype in (np.uint8, np.uint16, np.uint32):
        if classes < np.iinfo(dtype).bits:
            return np.dtype(dtype)
    raise ValueError(f"{classes} classes do not fit a mask; at most {MAX_CLASSES} do")


def ignore_bit(dtype: np.dtype) -> int:
    return np.iinfo(dtype).bits - 1


def pack(planes_KHW: np.ndarray, ignore_HW: np.ndarray | None = None) -> np.ndarray:
    """Boolean planes to bits: (K, H, W) to (H, W) of `mask_dtype(K)`."""
    dtype = mask_dtype(len(planes_KHW))
    mask_HW = np.zeros(planes_KHW.shape[1:], dtype)
    for k, plane_HW in enumerate(planes_KHW):
        mask_HW |= plane_HW.astype(dtype) << dtype.type(k)
    if ignore_HW is not None:
        mask_HW |= ignore_HW.astype(dtype) << dtype.type(ignore_bit(dtype))
    return mask_HW


def unpack(masks: np.ndarray, classes: int) -> np.ndarray:
    """Bits to boolean planes: (..., H, W) to (..., K, H, W); the ignore bit is not among them."""
    bits = np.arange(classes, dtype=masks.dtype).reshape(-1, 1, 1)
    return ((masks[..., None, :, :] >> bits) & 1).astype(bool)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """dataset.json. `label_values`: what each class's pixels are worth under `targets: label`."""

    task: str
    classes: list[str]
    label_values: list[float]
    image_size: list[int]  # [H, W], pixels
    counts: dict[str, int]  # images a split
    selection: dict[str, Any]  # how many raw pictures were considered and why others were passed over
    files: dict[str, str]  # sha256 by path
    format_version: int = FORMAT_VERSION

    @classmethod
    def read(cls, folder: Path) -> "DatasetInfo":
        """Raises ValueError where no prepared dataset of this format is."""
        path = folder / "dataset.json"
        if not path.exists():
            raise ValueError(f"{folder} holds no prepared dataset (no dataset.json): "
                             f"run `dvc repro prepare@{folder.name}`")
        content = read_json(path)
        if (found := content.get("format_version")) != FORMAT_VERSION:
            raise ValueError(f"{path} has format {found}, this seglib reads {FORMAT_VERSION}; prepare it again")
        return cls(**content)

    def write(self, folder: Path) -> None:
        write_json(folder / "dataset.json", dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class Split:
    """One split, its arrays memory-mapped: nothing is read until it is indexed."""

    images: np.ndarray  # uint8 (N, H, W, 3)
    masks: np.ndarray  # (N, H, W)

    folder: Path

    @classmethod
    def open(cls, dataset: Path, name: str) -> "Split":
        folder = dataset / name
        return cls(*(np.load(folder / f"{kind}.npy", mmap_mode="r") for kind in ("images", "masks")), folder)

    def __len__(self) -> int:
        return len(self.images)

    def index(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "index.parquet")


class ArrayWriter:
    """Writes an .npy whose length is not known before its last item; memory holds one item at a time."""

    def __init__(self, path: Path, item_shape: tuple[int, ...], dtype: np.dtype):
        self._file, self._shape, self._dtype, self._count = path.open("wb"), item_shape, np.dtype(dtype), 0
        self._write_header()

    def _write_header(self) -> None:
        # NumPy pads this header so that the first axis may grow in place.
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False,
                  "shape": (self._count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, item: np.ndarray) -> None:
        assert item.shape == self._shape and item.dtype == self._dtype, (item.shape, item.dtype)
        self._file.write(np.ascontiguousarray(item).data)
        self._count += 1

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_index(path: Path, rows: list[dict[str, Any]]) -> None:
    """index.parquet: id, source, original size, classes, boxes, areas, licence.

    `boxes` are [min_x, min_y, max_x, max_y] in pixels of the prepared picture, an edge lying between two pixels;
    like `objects` (class names) there is one an object. `areas` has one entry a class: the pixels of its mask.
    """
    pd.DataFrame(rows).to_parquet(path, index=False, compression="zstd")


def hash_files(folder: Path) -> dict[str, str]:
    """sha256 of every file of every split, by its path in the dataset's folder."""
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(folder.glob("*/*"))}
