"""Stanford Background: 715 outdoor scenes, every pixel one of eight classes (Gould, Fulton, Koller, ICCV 2009).

Two packagings are read:

    original   images/X.jpg and labels/X.regions.txt: a matrix of integers, 0 to 7 in the order of `CLASSES`, negative
               for "unknown". It has no splits: the hash of X gives the split.
    course     {train,val,test}/X.jpg and X.png of class ids, resized to 288×224, and classes.txt. The course's code
               takes line n of classes.txt, from 0, as the name of id n (github.com/s-gupta/ece598sg-mps, MP1/sseg). Its
               page lists the eight in the order of `CLASSES` and "misc" as a ninth; this order is used if the file is
               missing. The course trains on "misc", which is what is unknown, as on a class.

Unknown pixels are ignored, or with `unknown: class` a ninth class, "misc". Licence: none is stated. Shapes: K classes,
H, W.
"""

import functools
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from seglib import tasks
from seglib.configs import FetchConfig, PrepareConfig
from seglib.datasets import archives
from seglib.datasets.download import Downloader
from seglib.datasets.images import STORED, read_ids, read_rgb
from seglib.datasets.labels import check_size, files_by_name, planes_of_numbers, split_by_hash, text_of
from seglib.datasets.samples import Description, Entry, Job, Rejection, Sample, spaced_labels
from seglib.files import repository_root

TARBALL = "http://dags.stanford.edu/data/iccv09Data.tar.gz"
CLASSES = ["sky", "tree", "road", "grass", "water", "building", "mountain", "foreground"]
SPLITS = ("train", "val", "test")
PICTURE, REGIONS, IDS = ".jpg", ".regions.txt", ".png"
STRANGE = re.compile(r"[^-0-9 \t\r\n]\S*")  # in a matrix of integers; int() would take 1_0 for 10
UNKNOWN = -1
MISC = "misc"
UNKNOWN_NAMES = (MISC, "unknown")  # in classes.txt
CLASS_NAMES = "classes.txt"


def describe(config: PrepareConfig) -> Description:
    side = config.image_size
    classes = [*CLASSES, MISC] if config.options["unknown"] == "class" else CLASSES
    return Description(task=tasks.get("multiclass"), classes=classes, label_values=spaced_labels(len(classes)),
                       image_size=(side, side), splits=SPLITS)


def fetch(config: FetchConfig, out: Path) -> dict[str, Any]:
    """Fill `out` with the pictures and labels of either packaging.

    Raises DownloadError for a tarball that cannot be had, ValueError for a source that holds neither packaging.
    """
    source = config.options["source"]
    if source == "original":
        # Its host publishes no checksum; the tarball's own gzip CRC checks it.
        path = Downloader(config.download).fetch(TARBALL, check=archives.file_names)
    else:
        path = repository_root() / source
    if path.is_file() and (source == "original" or archives.is_tar(path)):
        _extract(path, out)
    elif (path / "images").is_dir() and (path / "labels").is_dir():
        _copy(path, "images", (PICTURE,), out)
        _copy(path, "labels", (REGIONS,), out)
    elif all((path / split).is_dir() for split in SPLITS):
        for split in SPLITS:
            _copy(path, split, (PICTURE, IDS), out)
            if not files_by_name(path / split, [IDS]):
                raise ValueError(f"{path / split} holds no labels (X.png beside X.jpg); if the course kept them "
                                 "back, take another year's folder or source: original")
        if (path / CLASS_NAMES).is_file():
            shutil.copyfile(path / CLASS_NAMES, out / CLASS_NAMES)
        _course_ids(out)
    else:
        raise ValueError(f"datasets.stanford.source is {source!r} ({path}): expected original, or the path of "
                         "iccv09Data.tar.gz, of its images/ and labels/, or of a folder with train/, val/ and test/")
    pictures = [path for path in out.rglob(f"*{PICTURE}") if path.is_file()]
    if not pictures:
        raise ValueError(f"{path} holds no picture of Stanford Background (*{PICTURE})")
    return {"pictures": {"pictures": len(pictures), "selected": len(pictures)}}


def _extract(tarball: Path, out: Path) -> None:
    """Extract the pictures and labels of the original tarball, by their base names."""
    endings = {"images": PICTURE, "labels": REGIONS}
    targets = {name: out / PurePosixPath(name).parent.name / PurePosixPath(name).name
               for name in archives.file_names(tarball)}
    for folder in endings:
        (out / folder).mkdir()
    archives.extract(tarball, {name: target for name, target in targets.items() if not target.name.startswith(".")
                               and target.name.endswith(endings.get(target.parent.name, "\0"))})


def _copy(source: Path, folder: str, suffixes: tuple[str, ...], out: Path) -> None:
    """Copy, for the reason that `folder.fetch` gives."""
    (out / folder).mkdir()
    for paths in files_by_name(source / folder, suffixes).values():
        for path in paths:
            shutil.copyfile(path, out / folder / path.name)


def read(raw: Path, config: PrepareConfig, split: str) -> Iterator[Rejection | Job]:
    """The pictures of a split by name, and every picture without labels, labels without picture and damaged file.

    Raises ValueError for a classes.txt that is not of this dataset.
    """
    if (raw / "images").is_dir():
        pictures, labels = files_by_name(raw / "images", [PICTURE]), files_by_name(raw / "labels", [REGIONS])
        names = [name for name in pictures.keys() | labels.keys()
                 if split_by_hash(name, val_fraction=config.val_fraction,
                                  test_fraction=config.options["test_fraction"]) == split]
        ids_of, classes, unknown = read_regions, list(range(len(CLASSES))), [UNKNOWN]
    else:
        pictures, labels = files_by_name(raw / split, [PICTURE]), files_by_name(raw / split, [IDS])
        names = list(pictures.keys() | labels.keys())
        ids_of, (classes, unknown) = functools.partial(read_ids, reading=STORED), _course_ids(raw)
    for name in sorted(names):
        (picture, *others), (label, *other_labels) = (files.get(name, [None]) for files in (pictures, labels))
        about = {"id": name, "source": (picture or label).relative_to(raw).as_posix()}
        if others or other_labels:
            yield Rejection(**about, what="picture", reason="several files have its name")
        elif picture is None:
            yield Rejection(**about, what="file", reason="labels without a picture")
        elif label is None:
            yield Rejection(**about, what="picture", reason="a picture without labels")
        else:
            yield functools.partial(_read_one, about, picture, label, ids_of, classes, unknown,
                                    unknown_is_class=config.options["unknown"] == "class")


def _read_one(about: dict[str, str], picture: Path, label: Path, ids_of: Callable[[Path], np.ndarray],
              classes: Sequence[int], unknown: Sequence[int], *, unknown_is_class: bool) -> list[Entry]:
    """A job, see `prepare`."""
    try:
        image_HWC = np.asarray(read_rgb(picture, STORED))
        ids_HW = ids_of(label)
        check_size(ids_HW, image_HWC)
        planes_KHW, unknown_HW = planes_of_numbers(ids_HW, classes, unknown)
    except ValueError as error:
        return [Rejection(**about, what="picture", reason=str(error))]
    if unknown_is_class:
        planes_KHW = np.concatenate([planes_KHW, unknown_HW[None]])
    return [Sample(**about, image_HWC=image_HWC, planes_KHW=planes_KHW,
                   ignore_HW=None if unknown_is_class else unknown_HW, objects=[], licence="not recorded")]


def read_regions(path: Path) -> np.ndarray:
    """Read a *.regions.txt, one row of the picture per line: int (H, W), every negative number as `UNKNOWN`.

    Raises ValueError if it is not a matrix of integers.
    """
    try:
        text = path.read_text(encoding="ascii")
        if strange := STRANGE.search(text):
            raise ValueError(f"it holds {strange[0]!r:.40}")
        ids_HW = np.array([line.split() for line in text.splitlines() if line.strip()], np.int64)
    except (ValueError, OverflowError) as error:  # not text, not numbers, beyond 64 bits, rows of different lengths
        raise ValueError(f"its labels are no matrix of integers: {error}") from None
    if ids_HW.ndim != 2:
        raise ValueError("its labels are no matrix of integers: the file is empty")
    return ids_HW.clip(min=UNKNOWN)


def _course_ids(folder: Path) -> tuple[list[int], list[int]]:
    """The ids of `CLASSES`, and those of unknown pixels: by classes.txt if it exists."""
    names, path = [*CLASSES, MISC], folder / CLASS_NAMES
    if path.is_file():
        names = text_of(path.read_bytes(), path).split()
        if not set(CLASSES) <= set(names) <= {*CLASSES, *UNKNOWN_NAMES} or len(set(names)) < len(names):
            raise ValueError(f"{path} names {', '.join(names) or 'nothing'}; expected {', '.join(CLASSES)}, once each, "
                             f"and for what is unknown {' or '.join(UNKNOWN_NAMES)}")
    return [names.index(name) for name in CLASSES], [n for n, name in enumerate(names) if name in UNKNOWN_NAMES]
