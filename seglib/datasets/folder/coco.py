"""masks: coco. annotations.json, in COCO's format. Shapes: K classes, H, W."""

import collections
import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np

from seglib.datasets.coco_annotations import check_unique, licence_of
from seglib.datasets.folder.json_text import number, plain, read_json
from seglib.datasets.folder.layout import picture_suffixes, pictures_of
from seglib.datasets.folder.masks import Masks
from seglib.datasets.folder.names import PathFinder, normal_name
from seglib.datasets.folder.objects import masks_of, of_unlisted
from seglib.datasets.labels import WrongSize
from seglib.datasets.outlines import LeftOut, Outline, draw
from seglib.datasets.samples import Rejection
from seglib.names import nearest

ANNOTATIONS = "annotations.json"  # if the option `truth` names no other

Id = int | float | str


class _Category(msgspec.Struct):
    id: Any = None
    name: Any = None


class _Picture(msgspec.Struct):
    id: Id
    file_name: str
    width: Any = None
    height: Any = None
    license: Any = None


class _Annotation(msgspec.Struct):
    image_id: Id
    category_id: Id
    id: Any = None
    iscrowd: Any = None
    bbox: Any = None
    segmentation: Any = None

    @property
    def name(self) -> str:
        return f"annotation {self.id!s:.40}"


class _Content(msgspec.Struct):
    images: list[_Picture]
    annotations: list[_Annotation]
    categories: list[_Category]
    licenses: Any = None


class Coco:
    """annotations.json: https://cocodataset.org/#format-data. A picture without annotations holds no class.

    Raises ValueError for a file that is not in this format, or in which it cannot be told what belongs to what.
    """

    def __init__(self, folder: Path, options: dict[str, Any]):
        self._name = options["truth"] or ANNOTATIONS
        self._path = folder / self._name
        if not self._path.is_file():
            raise ValueError(f"{folder} holds no {self._name}, which masks: coco reads: put it there, or set truth to "
                             "its path in the folder")
        content = read_json(self._path, _Content, "COCO", self._name)
        for entry in (*content.images, *content.annotations):
            entry.id = plain(entry.id)
        for annotation in content.annotations:
            annotation.image_id, annotation.category_id = plain(annotation.image_id), plain(annotation.category_id)
        check_unique([image.id for image in content.images], self._name, "pictures have the id")
        self._options, self._licenses = options, content.licenses
        self._entries, self._annotations = collections.defaultdict(list), collections.defaultdict(list)
        names = PathFinder(pictures_of(folder, options), picture_suffixes())
        for image in content.images:
            name = names.find(image.file_name) or PurePosixPath(normal_name(image.file_name)).stem
            self._entries[name].append(image)
        for annotation in content.annotations:
            self._annotations[annotation.image_id].append(annotation)
        used = {annotation.category_id for annotation in content.annotations}
        self._class_of = _class_of(content.categories, options["classes"], used, self._name)

    @property
    def names(self) -> set[str]:
        return set(self._entries)

    def files(self, name: str) -> list[Path]:
        return [self._path] if name in self._entries else []

    def of_no_picture(self) -> Iterator[Rejection]:
        known = {image.id for images in self._entries.values() for image in images}
        for image_id, annotations in self._annotations.items():
            for annotation in annotations if image_id not in known else ():
                yield Rejection(id=f"{annotation.id!s:.40}", source=f"{self._name} {annotation.name}",
                                what="annotation", reason="its image_id is of no picture", tally={"dangling": 1})

    def annotations(self, name: str) -> Callable[[], int]:
        return functools.partial(int, len(self._of_name(name)))

    def of(self, name: str) -> Callable[[np.ndarray], Masks]:
        images = self._entries.get(name, [])
        licences = [licence_of({"license": image.license}, self._licenses) for image in images]
        return functools.partial(_masks_of_coco, self._name, images, licences, self._of_name(name),
                                 {annotation.category_id: self._class_of[annotation.category_id]
                                  for annotation in self._of_name(name) if annotation.category_id in self._class_of},
                                 self._options)

    def _of_name(self, name: str) -> list[_Annotation]:
        images = self._entries.get(name, ())
        return [annotation for image in images for annotation in self._annotations.get(image.id, ())]


def _masks_of_coco(file: str, images: Sequence[_Picture], licences: Sequence[str], annotations: Sequence[_Annotation],
                   class_of: dict[Any, int | None], options: dict[str, Any], image_HWC: np.ndarray) -> Masks:
    """images: the entries of the picture's name, of which there should be one; class_of: the class's index of each
    category of the annotations, None for one that is not asked for."""
    size = image_HWC.shape[:2]
    if not images:
        return of_unlisted(options, size, f"{file} does not list it")
    if len(images) > 1:
        raise ValueError(f"{file} lists {len(images)} pictures of its name")
    stated = number(images[0].height), number(images[0].width)
    height, width = (own if one is None else one for own, one in zip(size, stated, strict=True))
    if (height, width) != size:
        raise WrongSize(f"{file} says it is {width:g}×{height:g}, it is {size[1]}×{size[0]}", (int(height), int(width)))
    outlines, left_out, other = [], [], 0
    for annotation in annotations:
        if annotation.category_id not in class_of:
            left_out.append(LeftOut(annotation=annotation.name, tally="dangling",
                                    reason=f"its category {annotation.category_id} is not there"))
        elif (k := class_of[annotation.category_id]) is None:
            other += 1
        else:
            outlines.append(_outline(annotation, k, options["crowds"]))
    return masks_of(draw(outlines, size, len(options["classes"]), left_out=left_out, other=other), licences[0])


def _outline(annotation: _Annotation, k: int, crowds: str) -> Outline:
    crowd, fault = number(annotation.iscrowd or 0), None
    if isinstance(annotation.iscrowd, bool):
        crowd = int(annotation.iscrowd)
    if crowd not in (0, 1):
        fault = f"its iscrowd is {annotation.iscrowd!s:.20}, expected 0 or 1"
    return Outline(name=annotation.name, k=k, segmentation=annotation.segmentation, box=annotation.bbox,
                   crowd=crowd == 1 and crowds == "ignore", fault=fault)


def _class_of(categories: Sequence[_Category], classes: Sequence[str], used: Collection[Any],
              name: str) -> dict[Any, int | None]:
    """The class's index of each category, by its id; None for one that is not asked for.

    used: the ids to which annotations refer. Other categories may repeat names and ids, as roots of trees of them do.
    Raises ValueError for a class that no category has, and for categories in use that cannot be told apart.
    """
    names = collections.defaultdict(set)  # by id
    ids = collections.defaultdict(list)  # by name
    for category in categories:
        if isinstance(category.id, Id) and not isinstance(category.id, bool):
            names[plain(category.id)].add(str(category.name))
            ids[str(category.name)].append(plain(category.id))
    found: dict[Any, int | None] = dict.fromkeys(names)
    for k, label in enumerate(classes):
        if label not in ids:
            raise ValueError(f"{name} has no category {label!r}: {nearest(label, list(ids))}")
        in_use = {category_id for category_id in ids[label] if category_id in used}
        if len(in_use) > 1:
            raise ValueError(f"{name}: {len(in_use)} categories have the name {label!r}, and annotations refer to "
                             "more than one of them: rename one, or let all refer to one")
        for category_id in in_use or ids[label][:1]:
            if category_id in used and len(names[category_id]) > 1:
                raise ValueError(f"{name}: {len(names[category_id])} categories have the id {category_id!r}: "
                                 f"{', '.join(sorted(names[category_id]))}. Give each its own")
            found[category_id] = k
    return found
