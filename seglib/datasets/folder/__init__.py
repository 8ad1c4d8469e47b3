"""A user's own folder: pictures in images/, and their masks in one of five forms.

    masks: ids       masks/NAME.png holds the id of each pixel's class: 0, 1, 2 … in the order of `classes`. An id in
                     `ignore` belongs to no class and is skipped in this order. Task multiclass.
    masks: folders   masks/CLASS/NAME.png is not 0 in the pixels of the class. If there is no such file, the picture
                     holds no pixel of the class. Classes may overlap. Task multilabel.
    masks: coco      annotations.json, in COCO's format. A class's mask is the union of its instances; a crowd is
                     ignored, unless `crowds` is objects. Classes may overlap. Task multilabel.
    masks: labelme   NAME.json beside each picture, as LabelMe writes it. As coco, without crowds.
    masks: yolo      labels/NAME.txt, as YOLO reads it: per line a class's position in `classes`, from 0, and the
                     corners of an outline. As coco, without crowds.

An annotation that cannot be drawn never becomes background: its box is ignored, except where another is drawn.

NAME is the path of a picture's file below the folder of pictures, without its suffix, and its id. The keys `pictures`
and `truth` name other folders than images and masks; see `layout` for {split} in them, and `names` for names that match
though they differ. Masks fit the pixels as they are stored, which is how most label tools and COCO make them. So
pictures are turned by their EXIF orientation only if `upright` says so.

Splits: lists of NAMEs decide (train.txt, val.txt or valid.txt, test.txt; see `lists`), or else sub-folders of these
names. Without val, val is `val_fraction` of train. If there are neither, the hash of a picture's NAME gives its split,
which does not change when others join. Pictures of one `group` are in one split. Shapes: K classes, H, W.
"""

import functools
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from seglib import tasks
from seglib.configs import FetchConfig, PrepareConfig
from seglib.datasets.folder.forms import Form, Masks, open_masks
from seglib.datasets.folder.ids import ClassIds
from seglib.datasets.folder.layout import MASKS_AS_PICTURES, all_files, pictures_of, places_of, source_folder
from seglib.datasets.folder.lists import split_lists
from seglib.datasets.folder.splits import SPLITS, assign_splits, given_splits
from seglib.datasets.folder.values import class_ids
from seglib.datasets.images import STORED, Reading
from seglib.datasets.labels import WrongSize
from seglib.datasets.pixels import PixelFacts, look
from seglib.datasets.samples import Description, Job, Rejection, Sample, spaced_labels


def describe(config: PrepareConfig) -> Description:
    classes, side = config.options["classes"], config.image_size
    task = tasks.get("multiclass" if config.options["masks"] == "ids" else "multilabel")
    reading = Reading.of(config.options)
    return Description(task=task, classes=classes, label_values=spaced_labels(len(classes)), image_size=(side, side),
                       splits=SPLITS, reading=None if reading == STORED else reading.content(),
                       mask_values=_mask_values(config.options))


def _mask_values(options: dict[str, Any]) -> list[int] | None:
    """The number of each class in the user's masks: of several, the first. None if classes have no numbers."""
    classes, values = options["classes"], options["values"]
    if options["masks"] != "ids" or options["colors"]:
        return None
    if values is None:
        return class_ids(len(classes), options["ignore"])
    number_of = {name: int(number) for number, name in reversed(values.items())}
    return [number_of[name] for name in classes] if number_of.keys() >= set(classes) else None


def fetch(config: FetchConfig, out: Path) -> dict[str, Any]:
    """Copy the pictures, masks and lists into `out`; the folder itself is only read.

    It copies and does not link: if DVC's cache links files, it makes them read-only, and the user's own with them.
    Raises ValueError for a folder that is not laid out as it should be, and for lists that contradict each other.
    """
    folder = source_folder(config.options)
    wanted = files_to_fetch(folder, config.options)
    for path in tqdm(sorted(wanted), desc=f"copying {folder.name}", unit="file", disable=None):
        target = out / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    pictures = pictures_of(folder, config.options)
    selected = sum(wanted.issuperset(paths) for paths in pictures.values())
    return {"images": {"pictures": len(pictures), "selected": selected}}


def files_to_fetch(folder: Path, options: dict[str, Any]) -> set[Path]:
    """The lists, and the pictures and masks that they name; all if there are no lists. Raises ValueError as `fetch`."""
    pictures, masks = pictures_of(folder, options), open_masks(folder, options)
    given = given_splits(folder, pictures, masks.names - pictures.keys())
    names = pictures.keys() | masks.names if given is None else given.split_of.keys()
    whose = f"no picture in {folder / options['pictures']}" + (
        f" that {', '.join(given.splits)} name" if given is not None else "")
    if not (there := [name for name in names if name in pictures]):
        raise ValueError(f"{whose} is there: list pictures by their name or path, such as {min(pictures)}")
    if not any(masks.files(name) for name in there):
        raise ValueError(f"{whose} has a mask")
    return {*split_lists(folder),
            *(path for name in names for path in (*pictures.get(name, []), *masks.files(name)))}


def read(raw: Path, config: PrepareConfig, split: str) -> Iterator[Rejection | Job]:
    """The pictures of a split by name, and every picture and annotation that cannot be used.

    `raw` may be the user's own folder as well. Raises ValueError as `fetch` does.
    """
    pictures, masks = pictures_of(raw, config.options), open_masks(raw, config.options)
    split_of, groups = assign_splits(raw, config, pictures, masks.names)
    if split == "train":
        yield from masks.of_no_picture()
        yield from _in_no_split(masks, split_of)
    skipped = _skipped(pictures, masks, config.options)
    for name in sorted(name for name in split_of if split_of[name] == split and name not in skipped):
        paths = pictures.get(name, [])
        sources = [path.relative_to(raw).as_posix() for path in paths or masks.files(name)]
        if len(paths) == 1:
            yield functools.partial(_read_one, name, sources[0], paths[0], groups.get(name), Reading.of(config.options),
                                    masks.of(name), masks.annotations(name))
        elif paths:
            yield Rejection(id=name, source=sources[0], what="picture", tally=_left_out(masks.annotations(name)()),
                            reason=f"several pictures have its name: {' and '.join(sources)}")
        elif sources:
            is_mask = config.options["masks"] in MASKS_AS_PICTURES
            yield Rejection(id=name, source=sources[0] if is_mask else f"{sources[0]} {name}", what="file",
                            reason="a mask without a picture" if is_mask else "its picture is not there",
                            tally=_left_out(masks.annotations(name)()))
        else:
            yield Rejection(id=name, source=f"{config.options['pictures']}/{name}", what="picture",
                            reason="listed, but not there")


def _skipped(pictures: Collection[str], masks: Form, options: dict[str, Any]) -> set[str]:
    """The pictures without masks or annotations, if `unlisted` is skip."""
    return set(pictures) - masks.names if options["unlisted"] == "skip" else set()


def _in_no_split(masks: Form, split_of: Collection[str]) -> Iterator[Rejection]:
    """One rejection for all annotations of pictures in no split: they are many if a list takes a few of a large set."""
    counts = {name: masks.annotations(name)() for name in sorted(masks.names - set(split_of))}
    names = [name for name, count in counts.items() if count]
    if names:
        yield Rejection(id=names[0], source=", ".join(names[:3]), what="annotation",
                        reason="its picture is in none of the split lists", tally=_left_out(sum(counts.values())))


def _left_out(annotations: int) -> dict[str, int]:
    return {"left out": annotations} if annotations else {}


def _read_one(name: str, source: str, path: Path, unit: str | None, reading: Reading,
              masks_of: Callable[[np.ndarray], Masks], annotations: Callable[[], int]) -> Iterator[Sample | Rejection]:
    """A job, see `prepare`."""
    about = {"id": name, "source": source}
    try:
        image, facts = look(path, reading)
        image_HWC = np.asarray(image)
        found = masks_of(image_HWC)
    except WrongSize as error:
        yield Rejection(**about, what="picture", reason=_about_size(error, image_HWC.shape[:2], facts, reading),
                        tally=_left_out(annotations()))
        return
    except ValueError as error:
        yield Rejection(**about, what="picture", reason=str(error), tally=_left_out(annotations()))
        return
    yield from (one.rejection(name, source) for one in found.left_out)
    if found.unusable:
        yield Rejection(**about, what="picture", reason=found.unusable, tally=found.tally)
        return
    yield Sample(**about, image_HWC=image_HWC, planes_KHW=found.planes_KHW, ignore_HW=found.ignore_HW,
                 objects=list(found.objects), licence=found.licence, tally=found.tally, palette=found.palette,
                 facts=facts, unit=unit)


def _about_size(error: WrongSize, size: tuple[int, int], facts: PixelFacts, reading: Reading) -> str:
    """What is wrong with the size of a mask, and whether the picture's EXIF orientation is the cause."""
    if facts.orientation >= 5 and error.size == size[::-1]:
        return (f"{error}: it has an EXIF orientation, and its mask fits the picture as "
                f"{'it is stored; set upright: false' if reading.upright else 'viewers turn it; set upright: true'}")
    return str(error)


def advice(raw: Path, config: PrepareConfig) -> str:
    """What the masks hold and how params.yaml could say so, for an error about masks; "" if the form has no values."""
    masks = open_masks(raw, config.options)
    return masks.advice() if isinstance(masks, ClassIds) else ""


def remarks(folder: Path, config: PrepareConfig) -> Iterator[tuple[str, str, list[str]]]:
    """What users may not expect of `read`. Each remark is a noun, the text that follows its count, and the names.

    Raises ValueError as `fetch` does.
    """
    options = config.options
    pictures, masks = pictures_of(folder, options), open_masks(folder, options)
    named = pictures.keys() | masks.names
    unlisted = sorted(pictures.keys() - masks.names)
    if config.options["unlisted"] == "skip":
        yield "picture", "without masks or annotations, not used (unlisted: skip)", unlisted
    elif config.options["unlisted"] == "empty":
        yield "picture", "without masks or annotations, used as pictures without objects (unlisted: empty)", unlisted
    taken = {path for name in named for path in (*pictures.get(name, []), *masks.files(name))}
    keys = (options["pictures"], options["truth"] or "masks")
    places = [place for key in keys for _, place in places_of(folder, key)]
    there = {path for place in places for path in all_files(place)} - {*split_lists(folder)}
    yield ("file", f"neither a picture (in {options['pictures']}/) nor a mask (as masks: {options['masks']} has it)",
           sorted(path.relative_to(folder).as_posix() for path in there if path not in taken))
    split_of, _ = assign_splits(folder, config, pictures, masks.names)
    yield "picture", "in none of the split lists", sorted(pictures.keys() - split_of)
