"""PurdueShapes5MultiObject: either generated in the course's file format, or the course's own files.

The format (A. Kak's DLStudio): gzip of a pickle of (dataset, label_map); `dataset[i]` is [R, G, B, mask_array,
boxes]: three flat lists of 4096 values 0..255, label-valued planes (5, 64, 64), and boxes by class.
"""

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from seglib import tasks
from seglib.configs import FetchConfig, PrepareConfig
from seglib.datasets import archives, shapes_generator
from seglib.datasets.download import Downloader
from seglib.datasets.samples import Description, Rejection, Sample
from seglib.datasets.shapes_generator import LABELS, SIDE
from seglib.datasets.unpickle import load_numbers
from seglib.files import repository_root
from seglib.names import brief

TARBALL = "https://engineering.purdue.edu/kak/distDLS/datasets_for_DLStudio.tar.gz"
PREFIX = "PurdueShapes5MultiObject-"  # of the files' names
SPLITS = ("train", "test")
PICTURE_MEMORY = 1 << 19  # bytes that a picture of the file may take; the course's take 120,000


def file_name(options: dict[str, Any], split: str) -> str:
    return f"{PREFIX}{options[f'{split}_images']}-{split}.gz"


def instances_file(file: Path) -> Path:
    """The file beside a generated one that tells its objects apart; the course's data have none."""
    return file.with_name(file.name.removesuffix(".gz") + "-instances.gz")


def describe(config: PrepareConfig) -> Description:
    return Description(task=tasks.get("multilabel"), classes=list(LABELS),
                       label_values=[float(v) for v in LABELS.values()], image_size=(SIDE, SIDE))


def fetch(config: FetchConfig, out: Path) -> dict[str, Any]:
    """Put the train and the test file into `out`. Raises ValueError if the source does not hold them."""
    options = config.options
    source = options["source"]
    if source == "generated":
        for stream, split in enumerate(SPLITS):
            file = out / file_name(options, split)
            shapes_generator.generate(file, instances_file(file), images=options[f"{split}_images"],
                                      seed=options["seed"], stream=stream, background=options["background"])
        return {}
    if source == "purdue":
        # Its host publishes no checksum; the tarball's own gzip CRC and the reader below check it.
        path = Downloader(config.download).fetch(TARBALL, check=archives.file_names)
    else:
        path = repository_root() / source
    if path.is_dir():
        places = [entry.name for entry in path.iterdir() if entry.is_file()]
    elif path.is_file() and archives.is_tar(path):
        places = archives.file_names(path)
    else:
        raise ValueError(f"datasets.shapes.source is {source!r}: expected generated, purdue, or the path of the "
                         "course's tarball or of a folder with its files")
    _take(path, places, [file_name(options, split) for split in SPLITS], out)
    return {}


def _take(source: Path, places: list[str], names: list[str], out: Path) -> None:
    """Copy the files of these names, from any folder of a tarball; copies are made for the reason in `folder.fetch`."""
    targets = {place: out / name for place in places if (name := PurePosixPath(place).name) in names}
    for name in names:
        if out / name not in targets.values():
            there = sorted(other for place in places if (other := PurePosixPath(place).name).startswith(PREFIX))
            raise ValueError(f"{source} has no {name}; there: {', '.join(there) or 'none'} "
                             "(set train_images and test_images to the numbers in the names)")
    if source.is_dir():
        for place, target in targets.items():
            shutil.copyfile(source / place, target)
    else:
        archives.extract(source, targets)


def read(raw: Path, config: PrepareConfig, split: str) -> Iterator[Sample | Rejection]:
    """The pictures of one file, in its order. Raises ValueError for a file that is not in the course's format."""
    name = file_name(config.options, split)
    try:
        with gzip.open(raw / name) as file:
            content = load_numbers(file, most_memory=(config.options[f"{split}_images"] + 100) * PICTURE_MEMORY)
    except (OSError, EOFError) as error:
        raise ValueError(f"{raw / name} cannot be unpacked: {error}") from None
    if not (isinstance(content, tuple | list) and len(content) == 2 and isinstance(content[0], dict | list)):
        raise ValueError(f"{raw / name} does not hold (dataset, label map)")
    dataset, label_map = content
    plain = isinstance(label_map, dict) and all(isinstance(value, int) for value in label_map.values())
    if not plain or label_map != LABELS:
        raise ValueError(f"{raw / name} has labels {brief(label_map)}, expected {LABELS}")
    for i in range(len(dataset)):
        identifier = f"{split}-{i:05d}"
        try:
            yield _sample(identifier, f"{name}#{i}", dataset[i])
            dataset[i] = None  # frees 12,288 numbers, each an object of a list, for the next pictures
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            yield Rejection(id=identifier, source=f"{name}#{i}", what="picture", reason=f"not in the format: {error}")


def _sample(identifier: str, source: str, entry: list) -> Sample:
    red, green, blue, planes, boxes = entry
    if not all(isinstance(channel, list) for channel in (red, green, blue)):
        raise ValueError("a channel that is no list")
    # bytes() takes a list of 0..255 at once and refuses any other.
    channels = [np.frombuffer(bytes(channel), np.uint8).reshape(SIDE, SIDE) for channel in (red, green, blue)]
    # Nested lists are refused: NumPy would make an array of any size of them.
    planes_KHW = planes if isinstance(planes, np.ndarray) else np.empty(0)
    if planes_KHW.shape != (len(LABELS), SIDE, SIDE):
        raise ValueError(f"masks of shape {planes_KHW.shape}")
    labels_K11 = np.reshape(list(LABELS.values()), (-1, 1, 1))
    if ((planes_KHW != 0) & (planes_KHW != labels_K11)).any():
        raise ValueError("a mask of other values than 0 and its label")
    # The course's documentation keys boxes by label value, its loader by class index: both are read.
    index_of = {value: k for k, value in enumerate(LABELS.values())} | {k: k for k in range(len(LABELS))}
    objects = [(index_of[key], (float(x0), float(y0), float(x1) + 1, float(y1) + 1))
               for key, found in boxes.items() for x0, y0, x1, y1 in found]
    if not np.isfinite([box for _, box in objects]).all():
        raise ValueError("a box that ends nowhere")
    return Sample(id=identifier, source=source, image_HWC=np.stack(channels, -1), planes_KHW=planes_KHW > 0,
                  objects=objects, licence="")
