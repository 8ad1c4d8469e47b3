"""A user's own folder: pictures in images/, and their masks in one of three forms.

    masks: ids       masks/NAME.png holds the id of each pixel's class: 0, 1, 2 … in the order of `classes`. An id in
                     `ignore` belongs to no class and is skipped in this order. Task multiclass.
    masks: folders   masks/CLASS/NAME.png is not 0 in the pixels of the class. If there is no such file, the picture
                     holds no pixel of the class. Classes may overlap. Task multilabel.
    masks: coco      annotations.json, in COCO's format. A class's mask is the union of its instances; a crowd is
                     ignored. Classes may overlap. Task multilabel.

NAME is the path of a picture's file below the folder of pictures, without its suffix, and its id. The keys `pictures`
and `truth` name other folders than images and masks; see `layout` for {split} in them, and `names` for names that match
though they differ. Masks fit the pixels as they are stored, which is how label tools and COCO make them. So pictures
are not turned by their EXIF orientation; a TIFF that has one is left out.

Splits: lists of NAMEs decide (train.txt, val.txt or valid.txt, test.txt; see `lists`), or else sub-folders of these
names. Without val, val is `val_fraction` of train. If there are neither, the hash of a picture's NAME gives its split,
which does not change when others join. Pictures of one `group` are in one split. Shapes: K classes, H, W.
"""

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from seglib import tasks
from seglib.configs import FetchConfig, PrepareConfig
from seglib.datasets.folder.forms import Masks, open_masks
from seglib.datasets.folder.layout import all_files, pictures_of, places_of, source_folder
from seglib.datasets.folder.lists import split_lists
from seglib.datasets.folder.splits import SPLITS, assign_splits, given_splits
from seglib.datasets.images import FORMATS, is_turned, read_rgb
from seglib.datasets.samples import Description, Job, Rejection, Sample, spaced_labels


def describe(config: PrepareConfig) -> Description:
    classes, side = config.options["classes"], config.image_size
    task = tasks.get("multiclass" if config.options["masks"] == "ids" else "multilabel")
    return Description(task=task, classes=classes,
                       label_values=spaced_labels(len(classes)), image_size=(side, side), splits=SPLITS)


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
    for name in sorted(name for name in split_of if split_of[name] == split):
        paths = pictures.get(name, [])
        sources = [path.relative_to(raw).as_posix() for path in paths or masks.files(name)]
        if len(paths) == 1:
            yield functools.partial(_read_one, name, sources[0], paths[0], groups.get(name), masks.of(name))
        elif paths:
            yield Rejection(id=name, source=sources[0], what="picture",
                            reason=f"several pictures have its name: {' and '.join(sources)}")
        elif sources:
            yield Rejection(id=name, source=sources[0], what="file", reason="a mask without a picture")
        else:
            yield Rejection(id=name, source=f"{config.options['pictures']}/{name}", what="picture",
                            reason="listed, but not there")


def _read_one(name: str, source: str, path: Path, unit: str | None,
              masks_of: Callable[[np.ndarray], Masks]) -> Iterator[Sample | Rejection]:
    """A job, see `prepare`."""
    about = {"id": name, "source": source}
    try:
        image_HWC = np.asarray(read_rgb(path, upright=False))
        found = masks_of(image_HWC)
    except ValueError as error:
        yield Rejection(**about, what="picture", reason=str(error))
        return
    yield from (Rejection(**about, what="annotation", reason=reason) for reason in found.left_out)
    yield Sample(**about, image_HWC=image_HWC, planes_KHW=found.planes_KHW, ignore_HW=found.ignore_HW,
                 objects=list(found.objects), licence=found.licence, unit=unit)


def remarks(folder: Path, config: PrepareConfig) -> Iterator[tuple[str, str, list[str]]]:
    """What `read` skips silently or does unexpectedly: each time a noun, what is said of it, and the names.

    Opens every picture for its orientation. Raises ValueError as `fetch` does.
    """
    options = config.options
    pictures, masks = pictures_of(folder, options), open_masks(folder, options)
    named = pictures.keys() | masks.names
    taken = {path for name in named for path in (*pictures.get(name, []), *masks.files(name))}
    keys = (options["pictures"], options["truth"] or "masks")
    places = [place for key in keys for _, place in places_of(folder, key)]
    there = {path for place in places for path in all_files(place)} - {*split_lists(folder)}
    yield ("file", f"neither a picture (in {options['pictures']}/) nor a mask (as masks: {options['masks']} has it)",
           sorted(path.relative_to(folder).as_posix() for path in there if path not in taken))
    split_of, _ = assign_splits(folder, config, pictures, masks.names)
    yield "picture", "in none of the split lists", sorted(pictures.keys() - split_of)
    yield ("picture", "with an EXIF orientation, taken as stored, as masks are; predictions turn them",
           sorted(name for name, paths in pictures.items() if any(map(_is_taken_as_stored, paths))))


def _is_taken_as_stored(path: Path) -> bool:
    try:
        with Image.open(path, formats=FORMATS) as image:
            return is_turned(image) and image.format != "TIFF"  # which `read` rejects
    except Exception:  # a damaged file may raise nearly anything; `read` rejects it and says why
        return False
