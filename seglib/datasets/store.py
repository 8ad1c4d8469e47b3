"""The prepared format: a few packed files per dataset, memory-mapped, with every file's hash beside them.

    dataset.json             what a training has to know: task, classes, sizes, the hash of train and val
    contents.json            what was prepared: how many pictures, from which selection, the hash of every file
    <split>/images.npy       uint8 (N, H, W, 3)
    <split>/masks.npy        (N, H, W), see below
    <split>/index.parquet    one row per image: where it came from and what it holds
    <split>/own.parquet      val and test, if pictures have sizes of their own: the masks at those sizes
    rejected.csv             what was left out, and why

The dataset's task says what a mask's pixel holds: see seglib/tasks.

Shapes: N images, B batch, K classes, H, W.
"""

import dataclasses
import hashlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import numpy as np

from seglib import tasks
from seglib.files import file_sha256, read_json, write_json
from seglib.tasks.task import Task, check_class_count, is_mask_dtype

# A training maps the arrays and opens no table: it starts without pandas and pyarrow, which take a second to import.
if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 3
SPLITS = ("train", "val", "test")
OWN_MASKS = "own.parquet"
OPTIONAL = ("reading", "mask_values")  # keys that dataset.json and the header of weights may lack


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """dataset.json. Nothing in it follows from the test split, so that other test pictures repeat no training."""

    task: Task  # dataset.json holds its name
    classes: list[str]
    label_values: list[float]  # what each class's pixels are worth under `targets: label`
    image_size: list[int]  # [H, W], pixels
    resize: str  # how pictures came to that size: "stretch" | "pad" | "crop" (see geometry)
    class_pixels: list[int]  # pixels of each class in the train split
    valid_pixels: int  # pixels of the train split that are not ignored
    train_val_sha256: str  # of the files of these two splits
    format_version: int = FORMAT_VERSION
    reading: dict[str, Any] | None = None  # how pictures were read (see `images.Reading`); None: as usual
    mask_values: list[int] | None = None  # the number of each class in the user's own masks; None: they have none

    @classmethod
    def read(cls, folder: Path) -> "DatasetInfo":
        """Raises ValueError if the folder holds no prepared dataset of this format, or one with an unknown task."""
        path = folder / "dataset.json"
        if not path.exists():
            raise ValueError(f"{folder} holds no prepared dataset (no dataset.json): "
                             f"run `dvc repro prepare@{folder.name}`")
        try:
            if not isinstance(content := read_json(path), dict):
                raise ValueError("no JSON object")
            if (found := content.get("format_version")) != FORMAT_VERSION:
                raise ValueError(f"format {found!s:.40}, this seglib reads {FORMAT_VERSION}")
            content = dict.fromkeys(OPTIONAL) | content
            _check_types(content, get_type_hints(cls) | {"task": str})
            info = cls(**content | {"task": tasks.get(content["task"])})
            info._check()
        except (ValueError, OverflowError, RecursionError) as error:
            raise _damaged(path, error) from None
        return info

    def _check(self) -> None:
        """Raises ValueError if its parts do not fit each other."""
        classes = len(self.classes)
        if not 0 < classes == len(self.label_values) == len(self.class_pixels):
            raise ValueError(f"{classes} classes with {len(self.label_values)} label values and "
                             f"{len(self.class_pixels)} counts of pixels")
        check_class_count(self.task, classes)
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise ValueError(f"image_size {self.image_size!s:.40}")
        if self.mask_values is not None and (len(set(self.mask_values)) != classes or
                                             not 0 <= min(self.mask_values) <= max(self.mask_values) <= 65535):
            raise ValueError(f"mask_values {self.mask_values!s:.40}")

    def write(self, folder: Path) -> None:
        content = dataclasses.asdict(self) | {"task": self.task.name}
        write_json(folder / "dataset.json", {key: value for key, value in content.items()
                                             if value is not None or key not in OPTIONAL})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contents:
    """contents.json."""

    counts: dict[str, int]  # pictures per split
    selection: dict[str, Any]  # how many raw pictures were considered and how many were taken
    files: dict[str, str]  # sha256 by path
    annotations: dict[str, Any]  # tally: how many annotations ended there, and a few of them (see samples.TALLIES)
    allowed: list[str]  # what is wrong with the truth and was allowed

    @classmethod
    def read(cls, folder: Path) -> "Contents":
        """Raises ValueError if the file is damaged, FileNotFoundError if there is none."""
        path = folder / "contents.json"
        try:
            if not isinstance(content := read_json(path), dict):
                raise ValueError("no JSON object")
            _check_types(content, get_type_hints(cls))
            if not {*content["counts"]} <= {*SPLITS} or min(content["counts"].values(), default=0) < 1:
                raise ValueError(f"counts {content['counts']!s:.80}")
        except (ValueError, OverflowError, RecursionError) as error:
            raise _damaged(path, error) from None
        return cls(**content)

    def write(self, folder: Path) -> None:
        write_json(folder / "contents.json", dataclasses.asdict(self))

    def sha256_of(self, *splits: str) -> str:
        """One hash of all files of some splits."""
        lines = [f"{path} {digest}\n" for path, digest in sorted(self.files.items()) if path.split("/")[0] in splits]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Split:
    """One split, its arrays memory-mapped: nothing is read until it is indexed."""

    images: np.ndarray  # uint8 (N, H, W, 3)
    masks: np.ndarray  # (N, H, W), of the task's `mask_dtype`

    folder: Path

    @classmethod
    def open(cls, dataset: Path, name: str) -> "Split":
        """Raises ValueError if the length or the header of an array shows that it is damaged."""
        folder = dataset / name
        images, masks = (_map(folder / f"{kind}.npy") for kind in ("images", "masks"))
        if images.dtype != np.uint8 or not is_mask_dtype(masks.dtype) or images.shape != (*masks.shape, 3):
            raise _damaged(folder, f"images {images.dtype} {images.shape} and masks {masks.dtype} {masks.shape}")
        return cls(images, masks, folder)

    def __len__(self) -> int:
        return len(self.images)

    def index(self) -> "pd.DataFrame":
        """Raises ValueError if index.parquet is damaged."""
        import pandas as pd

        path = self.folder / "index.parquet"
        try:
            return pd.read_parquet(path)
        except (FileNotFoundError, MemoryError):
            raise
        except Exception as error:  # pandas trusts the note of types that it left in the file
            raise _damaged(path, error) from None

    def has_own_masks(self) -> bool:
        """Whether some picture's own size is not the network's."""
        return (self.folder / OWN_MASKS).exists()

    def own_masks(self) -> Iterator[np.ndarray]:
        """Each picture's mask at its own size: (H, W), in the type and order of `masks`. Needs `has_own_masks`.

        Raises ValueError if the file is damaged.
        """
        import pyarrow
        from pyarrow import parquet

        path = self.folder / OWN_MASKS
        try:
            with parquet.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    for row in file.read_row_group(group, columns=["height", "width", "mask"]).to_pylist():
                        yield np.frombuffer(row["mask"], self.masks.dtype).reshape(row["height"], row["width"])
        except (OSError, ValueError, TypeError, KeyError, pyarrow.ArrowException) as error:
            raise _damaged(path, error) from None


def _check_types(content: dict[str, Any], kinds: dict[str, Any]) -> None:
    """Raises ValueError if an object from JSON has other keys or other types of values than a dataclass."""
    if content.keys() != kinds.keys():
        raise ValueError(f"other keys than expected: {', '.join(sorted(content.keys() ^ kinds.keys())):.80}")
    for key, kind in kinds.items():
        if not _is_of(content[key], kind):
            raise ValueError(f"{key} is {content[key]!r:.40}, expected {kind}")


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value from JSON has the annotated type."""
    if kind is Any:
        return True
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool) and math.isfinite(value)
    parts = get_args(kind)
    if get_origin(kind) is UnionType:
        return any(_is_of(value, part) for part in parts)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_is_of(one, parts[0]) for one in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(_is_of(one, parts[1]) for one in value.values())
    return isinstance(value, kind)


def _map(path: Path) -> np.ndarray:
    """An .npy file, memory-mapped. Raises ValueError if it is not as `ArrayWriter` writes it."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a damaged header may be Python code that warns
            if (version := np.lib.format.read_magic(file)) != (1, 0):
                raise ValueError(f"version {version} of NumPy's format")
            shape, columns_first, dtype = np.lib.format.read_array_header_1_0(file)
            start, length = file.tell(), path.stat().st_size
        if columns_first or min(shape, default=0) < 1 or start + math.prod(shape) * dtype.itemsize != length:
            raise ValueError(f"{dtype} {shape} in a file of {length} bytes")
        return np.memmap(path, dtype, "r", start, shape)
    except OSError:
        raise
    except Exception as error:  # NumPy reads a header as Python, which may fail in nearly any way
        raise _damaged(path, error) from None


def _damaged(path: Path, error: object) -> ValueError:
    return ValueError(f"{path} is not as it was prepared: {error}; prepare it again")


class ArrayWriter:
    """Writes an .npy file whose length is not known before its last item. Memory holds one item at a time."""

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


def hash_files(folder: Path) -> dict[str, str]:
    """sha256 of every file of every split, by its path in the dataset's folder."""
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(folder.glob("*/*"))}
