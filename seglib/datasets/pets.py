"""Oxford-IIIT Pet: one pet per picture, to be told from its background.

images.tar.gz holds images/NAME.jpg, some of which are GIF or PNG files in spite of their names. annotations.tar.gz
holds annotations/trimaps/NAME.png (1 pet, 2 background, 3 the border between them, "not classified") and the official
lists annotations/trainval.txt and test.txt, with one line per picture: "NAME CLASS SPECIES BREED". Both stay packed in
the raw folder: two large files are quicker to cache than 15,000 small ones. A few pictures are in no list, and some
files (.mat, and those that macOS added) are neither pictures nor trimaps.

O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar: Cats and Dogs, CVPR 2012,
https://www.robots.ox.ac.uk/~vgg/data/pets/
"""

import functools
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from seglib import tasks
from seglib.configs import FetchConfig, PrepareConfig
from seglib.datasets import archives
from seglib.datasets.download import Checksum, Downloader
from seglib.datasets.images import STORED, ImageError, read_ids, read_rgb
from seglib.datasets.labels import check_size, planes_of_numbers, text_of
from seglib.datasets.samples import Description, Entry, Job, Rejection, Sample, box_around, spaced_labels
from seglib.files import link_or_copy

HOST = "https://thor.robots.ox.ac.uk/datasets/pets"
IMAGES, ANNOTATIONS = "images.tar.gz", "annotations.tar.gz"
MD5 = {IMAGES: "5c4f3ee8e5d25df40f4fd59a7f44e54c", ANNOTATIONS: "95a8c909bbe2e81eed6a22bccdf3f68f"}
MD5_SOURCE = "torchvision/datasets/oxford_iiit_pet.py"
OFFICIAL = {"train": "trainval", "test": "test"}  # our split: their list; val is carved from train
PET, BACKGROUND, BORDER = 1, 2, 3  # in a trimap
LICENCE = "research use; the terms of the website each picture is from"  # annotations/README


def describe(config: PrepareConfig) -> Description:
    return Description(task=tasks.get("multilabel"), classes=["pet"], label_values=spaced_labels(1),
                       image_size=(config.image_size, config.image_size))


def fetch(config: FetchConfig, out: Path) -> dict[str, Any]:
    """Put the two archives into `out`.

    Raises DownloadError if one cannot be fetched, ValueError if the lists are missing.
    """
    downloader = Downloader(config.download)
    for name, digest in MD5.items():
        link_or_copy(downloader.fetch(f"{HOST}/{name}", published=Checksum("md5", digest, MD5_SOURCE)), out / name)
    _lists(out)
    return {}


def _lists(raw: Path) -> dict[str, set[str]]:
    """The names in each split's official list."""
    files = {f"annotations/{official}.txt": split for split, official in OFFICIAL.items()}
    lists = {}
    for name, content in archives.read_files(raw / ANNOTATIONS, files):
        lines = text_of(content, f"{raw / ANNOTATIONS}: {name}").splitlines()
        lists[files[name]] = {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}
    if lacking := [name for name, split in files.items() if split not in lists]:
        raise ValueError(f"{raw / ANNOTATIONS} has no {' and no '.join(lacking)}")
    if shared := lists["train"] & lists["test"]:
        raise ValueError(f"{raw / ANNOTATIONS} lists {len(shared)} pictures both for training and for testing, such as "
                         f"{min(shared)}")
    return lists


def read(raw: Path, config: PrepareConfig, split: str) -> Iterator[Rejection | Job]:
    """The pictures of an official list, in the archive's order; with train's, the files that belong to neither list."""
    lists = _lists(raw)
    if split == "train":
        yield from _unlisted(raw, {_picture(name) for names in lists.values() for name in names})
    names = {_picture(name): name for name in lists[split]}
    masks = {f"annotations/trimaps/{name}.png": name for name in lists[split]}
    trimaps = {masks[path]: content for path, content in archives.read_files(raw / ANNOTATIONS, masks)}
    absent = set(lists[split])
    for path, content in archives.read_files(raw / IMAGES, names):
        absent.discard(names[path])
        yield functools.partial(_read_one, names[path], path, content, trimaps.get(names[path]),
                                config.options["border"])
    for name in sorted(absent):
        yield Rejection(id=name, source=_picture(name), what="picture", reason=f"listed, but not in {IMAGES}")


def _picture(name: str) -> str:
    return f"images/{name}.jpg"


def _unlisted(raw: Path, listed: set[str]) -> Iterator[Rejection]:
    for path in archives.file_names(raw / IMAGES):
        name = PurePosixPath(path).stem
        if path not in listed:
            a_picture = path == _picture(name) and not name.startswith(".")
            reason = "a picture in neither official list" if a_picture else "not a picture"
            yield Rejection(id=name, source=path, what="file", reason=reason)


def _read_one(name: str, source: str, picture: bytes, trimap: bytes | None, border: str) -> list[Entry]:
    """A job, see `prepare`."""
    try:
        return [_sample(name, source, picture, trimap, border)]
    except ValueError as error:
        return [Rejection(id=name, source=source, what="picture", reason=str(error))]


def _sample(name: str, source: str, picture: bytes, trimap: bytes | None, border: str) -> Sample:
    """Raises ValueError for a picture or a trimap that cannot be used."""
    if trimap is None:
        raise ValueError("it has no trimap")
    image_HWC = np.asarray(read_rgb(io.BytesIO(picture), STORED))
    try:
        trimap_HW = read_ids(io.BytesIO(trimap), STORED)
    except ImageError as error:
        raise ValueError(f"its trimap: {error}") from None
    check_size(trimap_HW, image_HWC)
    (pet_HW, _, border_HW), _ = planes_of_numbers(trimap_HW, [PET, BACKGROUND, BORDER], [])
    if not pet_HW.any():
        raise ValueError("its trimap marks no pet")
    if border == "foreground":
        pet_HW |= border_HW
    return Sample(id=name, source=source, image_HWC=image_HWC, planes_KHW=pet_HW[None],
                  ignore_HW=border_HW if border == "ignore" else None, objects=[(0, box_around(pet_HW))],
                  licence=LICENCE)
