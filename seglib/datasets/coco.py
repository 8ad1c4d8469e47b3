"""COCO 2017, the sources' subset: pictures of a few classes whose instances are large.

The rule: a non-crowd instance of a chosen class passes if its box is at least `min_box` pixels on both sides.
`instances: single` takes a picture if it has exactly one non-crowd instance of the chosen classes, and that one passes.
`any` takes a picture if at least one instance passes, and a class's mask is the union of those that pass.

Format: https://cocodataset.org/#format-data. Licences: annotations CC BY 4.0; pictures each carry their own.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image
from tqdm import tqdm

from seglib import tasks
from seglib.configs import FetchConfig, PrepareConfig
from seglib.datasets.archives import read_zip_member
from seglib.datasets.coco_annotations import AnnotationFile, Instance, category_ids, licence_of
from seglib.datasets.coco_fetched import FetchedAnnotations, Place, read_entries
from seglib.datasets.download import Checksum, Downloader
from seglib.datasets.images import STORED, ImageError, read_rgb
from seglib.datasets.outlines import LeftOut, Outline, draw
from seglib.datasets.samples import Description, Job, Rejection, Sample, spaced_labels
from seglib.files import link_or_copy, write_json

HOST = "http://images.cocodataset.org"
ANNOTATIONS = f"{HOST}/annotations/annotations_trainval2017.zip"
# The host's ETag, which for a file uploaded in one part is its MD5; several public loaders have the same value.
ANNOTATIONS_MD5 = Checksum("md5", "f4bbac642086de4f52a3fdda2de5fa2c", "the host's ETag")
OFFICIAL = {"train": "train2017", "test": "val2017"}  # our split: their split; val is carved from train


def describe(config: PrepareConfig) -> Description:
    classes, side = config.options["classes"], config.image_size
    return Description(task=tasks.get("multilabel"), classes=classes, label_values=spaced_labels(len(classes)),
                       image_size=(side, side))


def fetch(config: FetchConfig, out: Path) -> dict[str, Any]:
    """Fill `out` with the pictures that pass the rule and, in COCO's own format, their annotations.

    Returns, for each official split, how many pictures were considered and taken. Raises DownloadError for a file that
    cannot be had, ValueError for a class COCO does not have, for a rule that no picture passes and, with the place, for
    annotations that are not in COCO's format.
    """
    rule, downloader = config.options, Downloader(config.download)
    archive = downloader.fetch(ANNOTATIONS, published=ANNOTATIONS_MD5)
    selection = {}
    for official in OFFICIAL.values():
        content, considered = _choose(archive, f"annotations/instances_{official}.json", rule)
        selection[official] = {"pictures": considered, "selected": len(content["images"])}
        if not content["images"]:
            raise ValueError(f"no picture of {official} passes (of {considered}): classes "
                             f"{', '.join(rule['classes'])}, min_box {rule['min_box']:g}, instances "
                             f"{rule['instances']}. Lower min_box, add classes, or take instances: any")
        write_json(out / "annotations" / f"instances_{official}.json", content)
        _fetch_pictures(downloader, official, [image["file_name"] for image in content["images"]], out / official)
    return selection


def _choose(archive: Path, member: str, rule: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The content of COCO's file cut down to the pictures that pass, and how many it had. Frees the rest on return."""
    file = AnnotationFile(read_zip_member(archive, member), member)
    return file.of_pictures(select(file.outline(rule["classes"]), rule)), file.pictures


def _fetch_pictures(downloader: Downloader, official: str, names: list[str], out: Path) -> None:
    def fetch_one(name: str) -> None:
        # No checksum is published for single pictures: a picture counts as whole if it decodes.
        link_or_copy(downloader.fetch(f"{HOST}/{official}/{name}", check=_decodes), out / name)

    with ThreadPoolExecutor(downloader.workers) as pool:
        futures = pool.map(fetch_one, names)
        try:
            for _ in tqdm(futures, total=len(names), desc=f"fetching {official}", unit="picture", disable=None):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _decodes(path: Path) -> None:
    with path.open("rb") as file:
        read_rgb(file, STORED)


def select(content: dict[str, Any], rule: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    """The pictures that pass the rule: image id to the annotations that make its masks.

    rule: the dataset's `classes`, `min_box` and `instances`.
    """
    class_of = category_ids(content["categories"], rule["classes"], "COCO")
    known = {image["id"] for image in content["images"]}
    instances: dict[int, list[dict[str, Any]]] = collections.defaultdict(list)
    for annotation in content["annotations"]:
        if annotation["category_id"] in class_of and not annotation["iscrowd"] and annotation["image_id"] in known:
            instances[annotation["image_id"]].append(annotation)
    chosen = {}
    for image_id, candidates in instances.items():
        passing = [a for a in candidates if min(a["bbox"][2:]) >= rule["min_box"]]
        if passing and (rule["instances"] == "any" or len(candidates) == 1):
            chosen[image_id] = passing
    return chosen


def read(raw: Path, config: PrepareConfig, split: str) -> Iterator[Rejection | Job]:
    """The fetched pictures of a split, by id, and every annotation that was left out of one."""
    fetched = FetchedAnnotations(raw / "annotations" / f"instances_{OFFICIAL[split]}.json")
    rule = config.options
    class_of = category_ids(fetched.categories, rule["classes"], "COCO")
    reader = _Reader(raw=raw, official=OFFICIAL[split], annotations=fetched.path, rule=rule, class_of=class_of,
                     categories=fetched.categories, licenses=fetched.licenses)
    if fetched.dangling:
        yield Rejection(id=OFFICIAL[split], source=f"annotations/{fetched.path.name}", what="annotation",
                        reason="its image_id is of no picture", tally={"dangling": fetched.dangling})
    for picture, annotations in fetched.pictures():
        yield functools.partial(reader.read, picture, annotations)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Reader:
    """What the pictures of a split share."""

    raw: Path
    official: str
    annotations: Path
    rule: dict[str, Any]
    class_of: dict[int, int]
    categories: list[dict[str, Any]]
    licenses: list[dict[str, Any]]

    def read(self, picture: Place, annotations: list[Place]) -> Iterator[Sample | Rejection]:
        """One picture, and what is left out of it; a job, see `prepare`."""
        image, *found = read_entries(self.annotations, [picture, *annotations])
        source = f"{self.official}/{image['file_name']}"
        names = {"id": str(image["id"]), "source": source}
        try:
            for annotation in found:
                if annotation["category_id"] in self.class_of:
                    msgspec.convert(annotation, Instance)
        except msgspec.ValidationError as error:
            raise ValueError(f"{self.annotations} is not as it was fetched, annotation {annotation.get('id')!s:.20}: "
                             f"{error}") from None
        known = {category["id"] for category in self.categories}
        crowds = dangling = 0
        for annotation in found:
            if annotation["category_id"] in self.class_of and annotation["iscrowd"]:
                yield Rejection(**names, what="annotation", reason="a crowd of a chosen class, excluded by the rule",
                                tally={"crowd": 1})
                crowds += 1
            elif annotation["category_id"] not in known:
                yield LeftOut(annotation=_name_of(annotation), reason="its category is not there",
                              tally="dangling").rejection(*names.values())
                dangling += 1
        others = len(found) - crowds - dangling
        try:
            pixels = _pixels(self.raw / source, (image["width"], image["height"]))
        except ImageError as error:
            yield Rejection(**names, what="picture", reason=str(error), tally={"left out": others} if others else {})
            return
        categories = [category for category in self.categories if category["id"] in self.class_of]
        content = {"categories": categories, "images": [image], "annotations": found}
        passing = select(content, self.rule).get(image["id"], [])
        yield from _sample(names, pixels, passing, self.class_of, others - len(passing),
                           licence_of(image, self.licenses))


def _name_of(annotation: dict[str, Any]) -> str:
    return f"annotation {annotation.get('id')!s:.20}"


def _pixels(path: Path, size: tuple[int, int]) -> Image.Image:
    """A picture of the size (width, height). Raises ImageError for any other."""
    pixels = read_rgb(path, STORED)
    if pixels.size != size:
        raise ImageError(f"{path.name} is {pixels.width}×{pixels.height}, its annotation says {size[0]}×{size[1]}")
    return pixels


def _sample(names: dict[str, str], pixels: Image.Image, annotations: list[dict[str, Any]], class_of: dict[int, int],
            other: int, licence: str) -> Iterator[Sample | Rejection]:
    """annotations: those that pass the rule; other: how many are of other classes or do not pass."""
    outlines = [_outline(annotation, class_of) for annotation in annotations]
    drawn = draw(outlines, (pixels.height, pixels.width), len(class_of), other=other)
    for one in drawn.left_out:
        yield one.rejection(*names.values())
    if drawn.unusable or not drawn.objects:
        tally = {"left out": other + len(drawn.objects)}
        yield Rejection(**names, what="picture", reason=drawn.unusable or "none of its annotations gave a mask",
                        tally=tally if any(tally.values()) else {})
        return
    yield Sample(**names, image_HWC=np.asarray(pixels), planes_KHW=drawn.planes_KHW,
                 ignore_HW=drawn.ignore_HW if drawn.ignore_HW.any() else None, objects=drawn.objects, licence=licence,
                 tally=drawn.tally)


def _outline(annotation: dict[str, Any], class_of: dict[int, int]) -> Outline:
    x, y, width, height = annotation["bbox"]
    return Outline(name=_name_of(annotation), k=class_of[annotation["category_id"]],
                   segmentation=annotation.get("segmentation"), box=annotation["bbox"],
                   object_box=(x, y, x + width, y + height))
