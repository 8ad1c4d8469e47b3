"""The prepared format: few packed files a dataset, memory-mapped, with every file's hash beside them.

    dataset.json             what the dataset is: task, classes, sizes, counts, hashes
    <split>/images.npy       uint8 (N, H, W, 3)
    <split>/masks.npy        (N, H, W), see below
    <split>/index.parquet    one row per image: where it came from and what it holds
    <split>/own.parquet      val and test, where pictures have sizes of their own: the masks at those sizes
    rejected.csv             what was left out, and why

The task says what a mask's pixel holds. "multilabel", where classes may overlap: bit k says class k is there, the
highest bit says ignore. "multiclass", where they exclude each other: uint8, the class's number, 255 to ignore.

Shapes: N images, B batch, K classes, H, W.
"""

import dataclasses
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import numpy as np

from seglib.files import file_sha256, read_json, write_json

# A training maps the arrays and opens no table: it starts without pandas and pyarrow, which take a second to import.
if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 2
SPLITS = ("train", "val", "test")
MAX_CLASSES = {"multilabel": 31, "multiclass": 127}  # so that a mask read as signed is negative where it is ignored
MASK_DTYPES = (np.uint8, np.uint16, np.uint32)
IGNORE = 255  # of a multiclass mask
OWN_MASKS = "own.parquet"


def mask_dtype(classes: int, task: str) -> np.dtype:
    """The type of a mask's pixels. Multilabel: the smallest unsigned one with a bit a class and one for "ignore".

    Raises ValueError for more than `MAX_CLASSES`.
    """
    if classes > MAX_CLASSES[task]:
        raise ValueError(f"{classes} classes do not fit a {task} mask; at most {MAX_CLASSES[task]} do")
    if task == "multiclass":
        return np.dtype(np.uint8)
    return next(np.dtype(dtype) for dtype in MASK_DTYPES if classes < np.iinfo(dtype).bits)


def pack(planes_KHW: np.ndarray, ignore_HW: np.ndarray | None = None, *, task: str) -> np.ndarray:
    """Boolean planes to a mask: (K, H, W) to (H, W) of `mask_dtype(K, task)`.

    A pixel of a multiclass picture that no plane holds is ignored, as where `ignore_HW` is True; in several planes, it
    has the last of them.
    """
    dtype = mask_dtype(len(planes_KHW), task)
    if task == "multiclass":
        mask_HW = np.full(planes_KHW.shape[1:], IGNORE, dtype)
        for k, plane_HW in enumerate(planes_KHW):
            mask_HW[plane_HW] = k
        if ignore_HW is not None:
            mask_HW[ignore_HW] = IGNORE
        return mask_HW
    mask_HW = np.zeros(planes_KHW.shape[1:], dtype)
    for k, plane_HW in enumerate(planes_KHW):
        mask_HW |= plane_HW.astype(dtype) << dtype.type(k)
    if ignore_HW is not None:
        mask_HW |= ignore_HW.astype(dtype) << dtype.type(_ignore_bit(dtype))
    return mask_HW


def unpack(masks: np.ndarray, classes: int, *, task: str) -> np.ndarray:
    """A mask's boolean planes: (..., H, W) to (..., K, H, W); what is ignored is said by `ignored`."""
    values = np.arange(classes, dtype=masks.dtype).reshape(-1, 1, 1)
    if task == "multiclass":
        return masks[..., None, :, :] == values
    return ((masks[..., None, :, :] >> values) & 1).astype(bool)


def ignored(masks: np.ndarray, *, task: str) -> np.ndarray:
    """Which pixels count nowhere: bool, the masks' shape."""
    return masks == IGNORE if task == "multiclass" else masks >> _ignore_bit(masks.dtype) == 1


def _ignore_bit(dtype: np.dtype) -> int:
    return np.iinfo(dtype).bits - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """dataset.json. `label_values`: what each class's pixels are worth under `targets: label`."""

    task: str  # "multilabel" | "multiclass"
    classes: list[str]
    label_values: list[float]
    image_size: list[int]  # [H, W], pixels
    resize: str  # how pictures came to that size: "stretch" | "pad" | "crop" (see geometry)
    counts: dict[str, int]  # images a split
    class_pixels: list[int]  # of the train split, by class
    valid_pixels: int  # of the train split, those that are not ignored
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
        try:
            if not isinstance(content := read_json(path), dict):
                raise ValueError("no JSON object")
            if (found := content.get("format_version")) != FORMAT_VERSION:
                raise ValueError(f"format {found!s:.40}, this seglib reads {FORMAT_VERSION}")
            kinds = get_type_hints(cls)
            if content.keys() != kinds.keys():
                raise ValueError(f"other keys than expected: {', '.join(sorted(content.keys() ^ kinds.keys())):.80}")
            for key, kind in kinds.items():
                if not _is_of(content[key], kind):
                    raise ValueError(f"{key} is {content[key]!r:.40}, expected {kind}")
            info = cls(**content)
            info._check()
        except (ValueError, OverflowError, RecursionError) as error:
            raise _damaged(path, error) from None
        return info

    def _check(self) -> None:
        """That its parts fit each other."""
        classes = len(self.classes)
        if not (self.task in MAX_CLASSES and 0 < classes <= MAX_CLASSES[self.task]
                and classes == len(self.label_values) == len(self.class_pixels)):
            raise ValueError(f"{classes} classes with {len(self.label_values)} label values and "
                             f"{len(self.class_pixels)} counts of pixels, task {self.task!r:.40}")
        if len(self.image_size) != 2 or not {*self.counts} <= {*SPLITS} or min(
                *self.image_size, *self.counts.values()) < 1:
            raise ValueError(f"counts {self.counts!s:.80}, image_size {self.image_size!s:.40}")

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
        """Raises ValueError where the arrays are damaged, as far as their length and header tell."""
        folder = dataset / name
        images, masks = (_map(folder / f"{kind}.npy") for kind in ("images", "masks"))
        if images.dtype != np.uint8 or masks.dtype not in MASK_DTYPES or images.shape != (*masks.shape, 3):
            raise _damaged(folder, f"images {images.dtype} {images.shape} and masks {masks.dtype} {masks.shape}")
        return cls(images, masks, folder)

    def __len__(self) -> int:
        return len(self.images)

    def index(self) -> "pd.DataFrame":
        """Raises ValueError where index.parquet is damaged."""
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
        """Each picture's mask at its own size, (H, W) of the type of `masks`, in their order, where `has_own_masks`.

        Raises ValueError where the file is damaged.
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


def _is_of(value: Any, kind: Any) -> bool:
    """Whether JSON's value is of the type that an annotation names."""
    if kind is Any:
        return True
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool) and math.isfinite(value)
    parts = get_args(kind)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_is_of(one, parts[0]) for one in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(_is_of(one, parts[1]) for one in value.values())
    return isinstance(value, kind)


def _map(path: Path) -> np.ndarray:
    """An .npy as `ArrayWriter` writes it, memory-mapped. Raises ValueError for any other."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Python thinks of a damaged header
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


def hash_files(folder: Path) -> dict[str, str]:
    """sha256 of every file of every split, by its path in the dataset's folder."""
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(folder.glob("*/*"))}
