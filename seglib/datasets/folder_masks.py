"""The three forms in which a folder of one's own may hold masks (see `folder`), each read picture by picture.

Each class has `names`, the pictures it knows of, `files`, where their masks stand, and `of`, what reads the masks of
one picture: a picklable callable that is given the picture, uint8 (H, W, 3), and raises ValueError where it has no
masks that can be used. Shapes: K classes, H, W.
"""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Callable, Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from seglib.datasets.coco import decode
from seglib.datasets.images import ImageError, read_ids
from seglib.datasets.labels import check_size, files_by_name, planes_of_numbers
from seglib.datasets.samples import Box, box_around
from seglib.files import read_json
from seglib.names import nearest

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")  # what keeps every pixel's value
ANNOTATIONS = "annotations.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Masks:
    """What is known of one picture."""

    planes_KHW: np.ndarray  # bool
    ignore_HW: np.ndarray | None = None  # bool
    objects: Sequence[tuple[int, Box]] = ()  # (class index, box), where instances are told apart
    left_out: Sequence[str] = ()  # why, one an annotation that could not be used
    licence: str = "not recorded"


def _read(paths: list[Path]) -> np.ndarray:
    if len(paths) > 1:
        raise ValueError(f"{len(paths)} masks have its name")
    try:
        return read_ids(paths[0])
    except ImageError as error:
        raise ValueError(f"its mask: {error}") from None


def class_ids(classes: int, ignore: Collection[int]) -> list[int]:
    """The id of each class where `masks` is ids: counted from 0, those that are ignored passed over."""
    return list(itertools.islice((number for number in itertools.count() if number not in ignore), classes))


class ClassIds:
    """masks/NAME.png: the id of each pixel's class."""

    def __init__(self, folder: Path, config: dict[str, Any]):
        self._files = files_by_name(folder / "masks", SUFFIXES)
        if not self._files:
            raise ValueError(f"{folder / 'masks'} holds no masks: expected masks/NAME.png for images/NAME.jpg")
        self._config = config

    @property
    def names(self) -> set[str]:
        return set(self._files)

    def files(self, name: str) -> list[Path]:
        return self._files.get(name, [])

    def of(self, name: str) -> Callable[[np.ndarray], Masks]:
        ignore = self._config["ignore"]
        ids = class_ids(len(self._config["classes"]), ignore)
        return functools.partial(_masks_of_ids, self.files(name), ids, ignore)


def _masks_of_ids(files: list[Path], ids: Sequence[int], ignore: Collection[int], image_HWC: np.ndarray) -> Masks:
    if not files:
        raise ValueError("no mask has its name")
    ids_HW = _read(files)
    check_size(ids_HW, image_HWC)
    planes_KHW, ignore_HW = planes_of_numbers(ids_HW, ids, ignore)
    return Masks(planes_KHW=planes_KHW, ignore_HW=ignore_HW)


class ClassFolders:
    """masks/CLASS/NAME.png: not 0 where the class is."""

    def __init__(self, folder: Path, config: dict[str, Any]):
        there = sorted(path.name for path in (folder / "masks").glob("*/"))
        for name in config["classes"]:
            if name not in there:
                raise ValueError(f"{folder / 'masks'} has no folder for the class {name!r}: "
                                 + (nearest(name, there) if there else "it holds no folders at all"))
        self._files = [files_by_name(folder / "masks" / name, SUFFIXES) for name in config["classes"]]

    @property
    def names(self) -> set[str]:
        return set().union(*self._files)

    def files(self, name: str) -> list[Path]:
        return [path for files in self._files for path in files.get(name, [])]

    def of(self, name: str) -> Callable[[np.ndarray], Masks]:
        return functools.partial(_masks_of_folders, [files.get(name, []) for files in self._files])


def _masks_of_folders(files: list[list[Path]], image_HWC: np.ndarray) -> Masks:
    """`files`: those of each class, none where it is nowhere in the picture."""
    if not any(files):
        raise ValueError("no mask has its name, not even an empty one")
    planes_KHW = np.zeros((len(files), *image_HWC.shape[:2]), bool)
    for k, paths in enumerate(files):
        if paths:
            plane_HW = _read(paths) != 0
            check_size(plane_HW, image_HWC)
            planes_KHW[k] = plane_HW
    return Masks(planes_KHW=planes_KHW)


class Coco:
    """annotations.json: https://cocodataset.org/#format-data. A picture without annotations holds no class."""

    def __init__(self, folder: Path, config: dict[str, Any]):
        self._path = folder / ANNOTATIONS
        if not self._path.is_file():
            raise ValueError(f"{folder} holds no {ANNOTATIONS}, which masks: coco reads")
        try:
            content = read_json(self._path)
            numbers = {category["name"]: category["id"] for category in content["categories"]}
            self._entries = collections.defaultdict(list)
            for image in content["images"]:
                self._entries[PurePosixPath(image["file_name"]).stem].append((image["id"], image))
            self._annotations = collections.defaultdict(list)
            for annotation in content["annotations"]:
                self._annotations[annotation["image_id"]].append((annotation["category_id"], annotation))
            self._licences = {entry["id"]: entry["name"] for entry in content.get("licenses", [])}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self._path} is not in COCO's format: {type(error).__name__} {error}") from None
        if missing := [name for name in config["classes"] if name not in numbers]:
            raise ValueError(f"{self._path} has no category {missing[0]!r}: {nearest(missing[0], list(numbers))}")
        self._class_of = {numbers[name]: k for k, name in enumerate(config["classes"])}

    @property
    def names(self) -> set[str]:
        return set(self._entries)

    def files(self, name: str) -> list[Path]:
        return [self._path] if name in self._entries else []

    def of(self, name: str) -> Callable[[np.ndarray], Masks]:
        images = self._entries.get(name, [])
        annotations = [(self._class_of[category], annotation) for image_id, _ in images
                       for category, annotation in self._annotations.get(image_id, []) if category in self._class_of]
        licences = [self._licences.get(image.get("license"), "not recorded") for _, image in images]
        return functools.partial(_masks_of_coco, [image for _, image in images], licences, annotations,
                                 len(self._class_of))


def _masks_of_coco(images: list[dict[str, Any]], licences: list[str], annotations: list[tuple[int, dict[str, Any]]],
                   classes: int, image_HWC: np.ndarray) -> Masks:
    """`images`: the entries of the picture's name, of which there should be one; `annotations` by class index."""
    size = image_HWC.shape[:2]
    if len(images) != 1:
        raise ValueError(f"{ANNOTATIONS} lists {len(images)} pictures of its name")
    if (stated := (images[0].get("height", size[0]), images[0].get("width", size[1]))) != size:
        raise ValueError(f"{ANNOTATIONS} says it is {stated[1]}×{stated[0]}, it is {size[1]}×{size[0]}")
    planes_KHW, crowds_HW = np.zeros((classes, *size), bool), np.zeros(size, bool)
    objects, left_out = [], []
    for k, annotation in annotations:
        try:
            mask_HW = decode({"segmentation": annotation.get("segmentation")}, *size)
            if not mask_HW.any():
                raise ValueError("its mask is empty")
        except ValueError as error:
            left_out.append(f"annotation {annotation.get('id')}: {error}")
            continue
        if annotation.get("iscrowd"):
            crowds_HW |= mask_HW
        else:
            planes_KHW[k] |= mask_HW
            objects.append((k, box_around(mask_HW)))
    if left_out and not objects and not crowds_HW.any():
        raise ValueError(f"none of its annotations gave a mask, such as {left_out[0]}")
    return Masks(planes_KHW=planes_KHW, ignore_HW=crowds_HW & ~planes_KHW.any(0), objects=objects, left_out=left_out,
                 licence=licences[0])


AnyMasks = ClassIds | ClassFolders | Coco


def open_masks(folder: Path, config: dict[str, Any]) -> AnyMasks:
    """The masks of a folder, as its configuration says. Raises ValueError where they are not there in that form."""
    return {"ids": ClassIds, "folders": ClassFolders, "coco": Coco}[config["masks"]](folder, config)
