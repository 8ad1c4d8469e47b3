"""masks: coco. annotations.json, in COCO's format. Shapes: K classes, H, W."""

import collections
import functools
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

import msgspec
import numpy as np

from seglib.datasets.coco_annotations import category_ids, check_unique, licence_of
from seglib.datasets.coco_masks import decode
from seglib.datasets.folder.masks import Masks
from seglib.datasets.samples import Rejection, box_around

ANNOTATIONS = "annotations.json"


Id = int | str


class _Category(TypedDict):
    id: Id
    name: str


class _Picture(msgspec.Struct):
    id: Id
    file_name: str
    width: int | None = None
    height: int | None = None
    license: Any = None


class _Annotation(msgspec.Struct):
    image_id: Id
    category_id: Id
    id: Id | None = None
    iscrowd: bool | int | None = None
    segmentation: Any = None


class _Content(msgspec.Struct):
    images: list[_Picture]
    annotations: list[_Annotation]
    categories: list[_Category]
    licenses: Any = None


class Coco:
    """annotations.json: https://cocodataset.org/#format-data. A picture without annotations holds no class."""

    def __init__(self, folder: Path, options: dict[str, Any]):
        self._path = folder / ANNOTATIONS
        if not self._path.is_file():
            raise ValueError(f"{folder} holds no {ANNOTATIONS}, which masks: coco reads")
        try:
            content = msgspec.json.decode(self._path.read_bytes(), type=_Content)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self._path} is not in COCO's format: {error}") from None
        check_unique([image.id for image in content.images], str(self._path), "pictures have the id")
        self._licenses, self._entries = content.licenses, collections.defaultdict(list)
        for image in content.images:
            self._entries[PurePosixPath(image.file_name).stem].append(image)
        self._annotations = collections.defaultdict(list)
        for annotation in content.annotations:
            self._annotations[annotation.image_id].append(annotation)
        # None for a category that is not asked for. An annotation of a category that does not exist may be of any.
        self._class_of = dict.fromkeys(category["id"] for category in content.categories)
        self._class_of |= category_ids(content.categories, options["classes"], str(self._path))
        self._classes = len(options["classes"])

    @property
    def names(self) -> set[str]:
        return set(self._entries)

    def files(self, name: str) -> list[Path]:
        return [self._path] if name in self._entries else []

    def of_no_picture(self) -> Iterator[Rejection]:
        known = {image.id for images in self._entries.values() for image in images}
        for image_id, annotations in self._annotations.items():
            for annotation in annotations if image_id not in known else ():
                yield Rejection(id=str(annotation.id), source=ANNOTATIONS, what="annotation",
                                reason="its image_id is of no picture")

    def of(self, name: str) -> Callable[[np.ndarray], Masks]:
        images = self._entries.get(name, [])
        annotations = [annotation for image in images for annotation in self._annotations.get(image.id, [])]
        unknown = [annotation for annotation in annotations if annotation.category_id not in self._class_of]
        classed = [(k, annotation) for annotation in annotations
                   if (k := self._class_of.get(annotation.category_id)) is not None]
        licences = [licence_of({"license": image.license}, self._licenses) for image in images]
        return functools.partial(_masks_of_coco, images, licences, classed, unknown, self._classes)


def _masks_of_coco(images: list[_Picture], licences: list[str], annotations: list[tuple[int, _Annotation]],
                   unknown: list[_Annotation], classes: int, image_HWC: np.ndarray) -> Masks:
    """`images`: the entries of the picture's name, of which there should be one; `annotations` by class index;
    `unknown`: those of no category."""
    size = image_HWC.shape[:2]
    if len(images) != 1:
        raise ValueError(f"{ANNOTATIONS} lists {len(images)} pictures of its name")
    height, width = (own if stated is None else stated
                     for own, stated in zip(size, (images[0].height, images[0].width), strict=True))
    if (height, width) != size:
        raise ValueError(f"{ANNOTATIONS} says it is {width}×{height}, it is {size[1]}×{size[0]}")
    planes_KHW, crowds_HW = np.zeros((classes, *size), bool), np.zeros(size, bool)
    objects = []
    left_out = [f"annotation {annotation.id}: its category {annotation.category_id} is not there"
                for annotation in unknown]
    for k, annotation in annotations:
        try:
            mask_HW = decode(annotation.segmentation, *size)
        except ValueError as error:
            left_out.append(f"annotation {annotation.id}: {error}")
            continue
        if annotation.iscrowd:
            crowds_HW |= mask_HW
        else:
            planes_KHW[k] |= mask_HW
            objects.append((k, box_around(mask_HW)))
    if left_out and not objects and not crowds_HW.any():
        raise ValueError(f"none of its annotations gave a mask, such as {left_out[0]}")
    return Masks(planes_KHW=planes_KHW, ignore_HW=crowds_HW & ~planes_KHW.any(0), objects=objects, left_out=left_out,
                 licence=licences[0])
