"""Where the files of a user's folder lie, and which mask belongs to which picture.

The keys `pictures` and `truth` name folders below the user's own; "." is the folder itself. Sub-folders are read as
well. The place of {split} in a key may be taken by any name of a split (see `SPLIT_FOLDERS`): {split}/images is
train/images, valid/images and test/images. What stands in its place becomes the first part of the names.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from seglib.datasets.folder.names import NamesMatchError, difference, match, normal_name, without_ending
from seglib.datasets.images import FORMATS
from seglib.datasets.labels import is_text
from seglib.files import repository_root

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")  # formats that keep every pixel's value
MASKS_AS_PICTURES = ("ids", "folders")  # the forms whose masks are files such as pictures
SPLIT = "{split}"
# What folders and lists of a split are called.
SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test"}


def source_folder(options: Mapping[str, Any]) -> Path:
    """Where the user's folder is; a relative path starts at the repository's root."""
    return repository_root() / options["path"]


def picture_suffixes() -> list[str]:
    """The file name endings of the formats that are read."""
    return [suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS]


def pictures_of(folder: Path, options: Mapping[str, Any]) -> dict[str, list[Path]]:
    """The pictures by name. A name has several files if these differ in their suffix alone, or in ways that
    `normal_name` levels.

    Raises ValueError if there are no pictures, and if pictures and masks are files of one folder and no `mask_ending`
    tells which is which.
    """
    pattern, truth, ending = options["pictures"], options["truth"] or "masks", options["mask_ending"]
    found = files_below(folder, pattern, picture_suffixes(), without=truth)
    if options["masks"] in MASKS_AS_PICTURES and os.path.normpath(pattern) == os.path.normpath(truth):
        if ending is None:
            raise ValueError(f"{folder / pattern} holds pictures and masks alike: set mask_ending to what the masks' "
                             "names have after those of the pictures, such as mask_ending: _mask")
        found = {name: paths for name, paths in found.items() if without_ending(name, ending) is None}
    if not found:
        raise ValueError(f"{folder / pattern} holds no pictures: expected {pattern}/NAME.jpg, or another format, in "
                         "the folder that path names. The key pictures names another folder in it, such as pictures: .")
    return found


def truth_of(folder: Path, options: Mapping[str, Any], pictures: Collection[str], *, usual: str = "masks",
             below: str = "", suffixes: Collection[str] = MASK_SUFFIXES) -> dict[str, list[Path]]:
    """The files of the masks by the name of the picture they belong to; those of no picture by their own name.

    pictures: the names that `pictures_of` gives. usual: the masks' folder if `truth` names none. below: the folder in
    it that is read. suffixes: of the files. Two masks of one picture are both there. Raises ValueError if each picture
    could have several masks that differ in their ending.
    """
    pattern, ending = options["truth"] or usual, options["mask_ending"]
    masks = files_below(folder, f"{pattern}/{below}" if below else pattern, suffixes, without=options["pictures"])
    try:
        matched = match(pictures, masks, ending)
    except NamesMatchError as error:
        raise ValueError(f"{folder / pattern / below}: {error}") from None
    found: dict[str, list[Path]] = {}
    for mask, paths in masks.items():
        if ending is None or without_ending(mask, ending) is not None:  # others are no masks
            found.setdefault(matched.picture_of.get(mask, mask), []).extend(paths)
    return found


def check_some_match(folder: Path, options: Mapping[str, Any], pictures: Collection[str], masks: Collection[str], *,
                     usual: str = "masks", expected: str = "NAME.png") -> None:
    """Raises ValueError if there are no masks, or none that belongs to a picture. `masks`: names as of `truth_of`."""
    pattern, ending = options["truth"] or usual, options["mask_ending"]
    if not masks:
        endings = "" if ending is None else f" whose names end in mask_ending: {ending}"
        raise ValueError(f"{folder / pattern} holds no masks{endings}: expected {pattern}/{expected} for "
                         f"{options['pictures']}/NAME.jpg. The key truth names another folder")
    if not any(name in masks for name in pictures):
        raise ValueError(f"no mask in {folder / pattern} has the name of a picture in {folder / options['pictures']}: "
                         + difference(pictures, masks))


def refuse_twins(masks: Mapping[str, list[Path]]) -> None:
    """Raise ValueError if two masks belong to one picture."""
    for name, paths in masks.items():
        if len(paths) > 1:
            raise ValueError(f"several masks fit the picture {name}: {' and '.join(map(str, paths))}. Keep one, or "
                             "name their ending by mask_ending")


def places_of(folder: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    """The folders that a key names, each with the first part of its names: "" or, for {split}, such as "valid/".

    Raises ValueError for a folder outside `folder`.
    """
    if os.path.normpath(pattern).startswith(("..", "/")):
        raise ValueError(f"{pattern} does not lie in {folder}: pictures and truth name folders in the one that path "
                         "names")
    if SPLIT not in pattern:
        yield "", folder / pattern
        return
    for name in SPLIT_FOLDERS:
        if (place := folder / pattern.replace(SPLIT, name)).exists():
            yield f"{name}/", place


def files_below(folder: Path, pattern: str, suffixes: Collection[str], *,
                without: str | None = None) -> dict[str, list[Path]]:
    """The files by `normal_name` of their path below the folder that `pattern` names, without the suffix.

    suffixes: the suffixes to read, in lower case; those of the files may be in upper case. without: the pattern
    of a folder whose files are left out if it lies inside. Hidden files and folders, and those that macOS and Windows
    leave behind, are left out. A folder that is not there has none. Raises ValueError for a name that is not UTF-8, in
    which tables are written.
    """
    endings = frozenset(suffixes)
    found: dict[str, list[Path]] = {}
    for first, place in places_of(folder, pattern):
        other = [path for _, path in places_of(folder, without)] if without else []
        for path in all_files(place, [path for path in other if path != place and path.is_relative_to(place)]):
            if path.suffix.lower() not in endings:
                continue
            if not is_text(str(path.relative_to(folder))):
                raise ValueError(f"{path.parent} holds a file whose name is not UTF-8, {os.fsencode(path.name)!r}: "
                                 "rename it")
            name = normal_name(first + path.relative_to(place).with_suffix("").as_posix())
            found.setdefault(name, []).append(path)
    return found


def all_files(place: Path, without: Collection[Path] = ()) -> Iterator[Path]:
    """All files below a folder in the order of their names, but hidden ones and those of the folders in `without`."""
    seen = set()
    for parent, folders, files in os.walk(place, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:  # a link to a folder around it
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _is_left_behind(name)
                            and Path(parent, name) not in without)
        yield from (Path(parent, name) for name in sorted(files) if not _is_left_behind(name))


def _is_left_behind(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")
