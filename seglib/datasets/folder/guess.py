"""Guess an entry of params.yaml for a folder, with a reason for each key.

A guess is a start: `check` then reads every picture by it, and the user corrects what is wrong.
"""

import collections
import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from seglib.datasets.folder.guess_values import FEW, keys_of_values
from seglib.datasets.folder.json_text import read_json
from seglib.datasets.folder.layout import SPLIT_FOLDERS, all_files, picture_suffixes
from seglib.datasets.folder.values import a_few, as_numbers, joined
from seglib.datasets.folder.yolo import names_in
from seglib.datasets.images import STORED, ImageError
from seglib.datasets.labels import read_labels, text_of
from seglib.datasets.pixels import facts_of

SAMPLE = 200  # masks whose values are counted, and annotation files that are read
FIRST_PAGE = dataclasses.replace(STORED, page=1)
PIXELS = 40  # pictures whose pixels are looked at
PEEK = 8  # files of a folder that say whether it holds masks
MASK_WORDS = re.compile(r"mask|label|truth|annot|segm|(^|[_\W])(gt|ann)($|[_\W])", re.IGNORECASE)
YOLO_LINE = re.compile(r"\d+(\s+-?[\d.]+(e-?\d+)?){4,}\s*\Z")
VOC_MASKS, VOC_OBJECTS = "SegmentationClass", "SegmentationObject"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guess:
    """Keys of an entry of kind `folder`, and a sentence for each thing that was guessed."""

    keys: dict[str, Any]
    reasons: list[str]


class _Folder:
    """The files of a folder by what they may be; hidden ones are left out."""

    def __init__(self, root: Path):
        self.root = root
        self.pictures: dict[str, list[Path]] = collections.defaultdict(list)  # by folder, relative
        self.by_suffix: dict[str, list[Path]] = collections.defaultdict(list)
        suffixes = {*picture_suffixes()}
        for path in all_files(root):
            self.by_suffix[path.suffix.lower()].append(path)
            if path.suffix.lower() in suffixes:
                self.pictures[self.relative(path.parent)].append(path)

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def guess(root: Path) -> Guess:
    """Guess layout, form of masks, classes and values. Raises ValueError if the folder holds nothing like a dataset."""
    files = _Folder(root)
    if not files.pictures:
        raise ValueError(f"{root} holds no pictures that can be read ({', '.join(sorted(picture_suffixes()))})")
    for attempt in (_coco, _labelme, _yolo, _mask_pictures):
        if (found := attempt(files)) is not None:
            keys, reasons = _pixels(files, found.keys)
            return Guess(keys=found.keys | keys, reasons=[*found.reasons, *reasons])
    there = ", ".join(f"{place}/ ({len(paths)})" for place, paths in sorted(files.pictures.items())[:PEEK])
    raise ValueError(f"{root} holds pictures in {there}, but neither masks nor annotations. Expected pictures in "
                     "images/, and beside it masks/NAME.png, masks/CLASS/NAME.png, annotations.json (COCO), NAME.json "
                     "(LabelMe) or labels/NAME.txt (YOLO); give the folders by pictures and truth in params.yaml")


def _entry(masks: str, pictures: str, truth: str | None, classes: Sequence[str], **more: Any) -> dict[str, Any]:
    usual = {"ids": "masks", "folders": "masks", "coco": "annotations.json", "yolo": "labels", "labelme": pictures}
    return ({"masks": masks} | ({"pictures": pictures} if pictures != "images" else {})
            | ({"truth": truth} if truth not in (None, usual[masks]) else {}) | {"classes": list(classes)} | more)


def _coco(files: _Folder) -> Guess | None:
    found = [(path, content) for path in a_few(files.by_suffix[".json"], SAMPLE)
             if isinstance(content := _json(path), dict) and {"images", "annotations"} <= content.keys()]
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(files.relative(path) for path, _ in found[:PEEK])
        raise ValueError(f"{files.root} holds {len(found)} annotation files in COCO's format: {names}. seglib reads "
                         "one: merge them, with train.txt, val.txt and test.txt for the splits, or name one by truth")
    (path, content), = found
    annotations = _objects(content["annotations"])
    used = {str(entry.get("category_id")) for entry in annotations}
    categories = _objects(content.get("categories"))
    classes = list(dict.fromkeys(str(entry.get("name")) for entry in categories if str(entry.get("id")) in used))
    names = {PurePosixPath(str(entry.get("file_name", "")).replace("\\", "/")).stem
             for entry in _objects(content["images"])}
    places = [place for place, paths in files.pictures.items() if any(one.stem in names for one in paths)]
    place, _ = _root_of(places or files.pictures)
    keys = _entry("coco", place, files.relative(path), classes or ["thing"])
    reasons = [f"masks: coco, because {files.relative(path)} holds images and annotations",
               f"classes: the categories that annotations refer to, in the file's order ({len(classes)} of "
               f"{len(categories)})", f"pictures: {place} holds the files that it lists"]
    if annotations and all(entry.get("iscrowd") for entry in annotations):
        keys["crowds"] = "objects"
        reasons.append("crowds: objects, because every annotation has iscrowd: 1, as brushes of some tools write it")
    return Guess(keys=keys, reasons=reasons)


def _labelme(files: _Folder) -> Guess | None:
    found = [(path, content) for path in a_few(files.by_suffix[".json"], SAMPLE)
             if isinstance(content := _json(path), dict) and isinstance(content.get("shapes"), list)]
    if not found:
        return None
    labels = sorted({str(shape["label"]) for _, content in found for shape in content["shapes"]
                     if isinstance(shape, dict) and "label" in shape})
    place, _ = _root_of(files.pictures)
    beside = all(files.relative(path.parent) in files.pictures for path, _ in found)
    truth = None if beside else _root_of([files.relative(path.parent) for path, _ in found])[0]
    return Guess(keys=_entry("labelme", place, truth, labels or ["thing"]), reasons=[
        f"masks: labelme, because {files.relative(found[0][0])} and others hold shapes",
        f"classes: the labels of {len(found)} of these files"])


def _yolo(files: _Folder) -> Guess | None:
    stems = {path.stem for paths in files.pictures.values() for path in paths}
    found = [path for path in a_few([path for path in files.by_suffix[".txt"] if path.stem in stems], SAMPLE)
             if any(YOLO_LINE.match(line) for line in _lines(path))]
    if not found:
        return None
    numbers = {int(line.split()[0]) for path in found for line in _lines(path) if YOLO_LINE.match(line)}
    names = _yolo_names(files)
    classes = names or [f"class_{i}" for i in range(max(numbers) + 1)]
    place, _ = _root_of([files.relative(path.parent) for path in found])
    pictures, _ = _root_of([where for where, paths in files.pictures.items() if paths])
    why = "data.yaml names them" if names else "no data.yaml names them: put the right names"
    return Guess(keys=_entry("yolo", pictures, place, classes), reasons=[
        f"masks: yolo, because {files.relative(found[0])} and others hold a class number and an outline per line",
        f"classes: {why}"])


def _yolo_names(files: _Folder) -> list[str] | None:
    for path in (*files.by_suffix[".yaml"], *files.by_suffix[".yml"]):
        try:
            if names := names_in(path):
                return names
        except ValueError:
            continue  # then it names no classes
    return None


def _mask_pictures(files: _Folder) -> Guess | None:
    """Masks that are pictures themselves: the folders whose files hold few values."""
    named = [place for place in files.pictures if any(MASK_WORDS.search(part) for part in PurePosixPath(place).parts)]
    masks = [place for place in named or files.pictures if _holds_masks(files.pictures[place], 256 if named else FEW)]
    if voc := [place for place in masks if PurePosixPath(place).name == VOC_MASKS]:
        masks = voc
    pictures = [place for place in files.pictures if place not in masks and not place.endswith(VOC_OBJECTS)]
    if named and not masks:
        raise ValueError(_unreadable(files, named))
    if not masks or not pictures:
        return _in_one_folder(files)
    (truth, below), (root, picture_folders) = _root_of(masks), _root_of(pictures)
    reasons = [f"pictures: {root}, masks: {truth}, because the pictures below it hold few values"]
    if below and truth != "." and not {*below} <= {*picture_folders, *SPLIT_FOLDERS} and "{split}" not in truth:
        return Guess(keys=_entry("folders", root, truth, below), reasons=[
            *reasons, f"masks: folders, because {truth} holds a folder for each of {', '.join(below)}"])
    paths = [path for place in masks for path in files.pictures[place]]
    keys, why = keys_of_values(files.root, a_few(paths, SAMPLE), FIRST_PAGE)
    return Guess(keys=_entry("ids", root, truth, keys.pop("classes"), **keys), reasons=[*reasons, *why])


def _unreadable(files: _Folder, places: list[str]) -> str:
    """Why the files of folders that are called masks cannot be masks."""
    for path in (path for place in places for path in a_few(files.pictures[place], PEEK)):
        try:
            read_labels(path, FIRST_PAGE)
        except ImageError as error:
            return f"{files.relative(path)} lies where masks are expected, but {error}"
    return f"{places[0]} is called as folders of masks are, but its pictures hold too many values to be masks"


def _in_one_folder(files: _Folder) -> Guess | None:
    """Masks beside their pictures, a.jpg and a_mask.png: most files are a picture or its mask."""
    for place, paths in files.pictures.items():
        stems = {path.stem for path in paths}
        of_masks = {path: next((part for i in range(len(path.stem) - 1, 0, -1)
                                if (part := path.stem[:i]) in stems), None)
                    for path in paths}
        endings = collections.Counter(path.stem.removeprefix(stem) for path, stem in of_masks.items() if stem)
        if not endings:
            continue
        (ending, count), = endings.most_common(1)
        masks = [path for path, stem in of_masks.items() if stem and path.stem == stem + ending]
        if 2 * count >= len(paths) - 1 and _holds_masks(masks, 256):
            keys, why = keys_of_values(files.root, a_few(masks, SAMPLE), FIRST_PAGE)
            return Guess(keys=_entry("ids", place, place, keys.pop("classes"), mask_ending=ending, **keys), reasons=[
                f"pictures and masks: {place}; mask_ending: {ending}, which {count} files have after another's name",
                *why])
    return None


def _pixels(files: _Folder, keys: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The keys by which the pictures' pixels are read, from a sample of them."""
    root, truth = (PurePosixPath(keys.get(key, usual)) for key, usual in (("pictures", "images"), ("truth", "masks")))
    paths = [path for place, there in files.pictures.items() if _is_below(place, root)
             and not (_is_below(place, truth) and truth != root) for path in there]
    taken = {*paths}
    masks = {path.stem: path for there in files.pictures.values() for path in there if path not in taken}
    facts, turned = [], 0
    for path in a_few(paths, PIXELS):
        try:
            facts.append(one := facts_of(path, STORED))
            ending = next((stem for stem in masks if stem.startswith(path.stem)), None)
            if one.orientation >= 5 and ending is not None:
                labels, _ = read_labels(masks[ending], FIRST_PAGE)
                turned += labels.shape[:2] == one.size[::-1] != one.size
        except ImageError:
            continue  # `check` says why
    found, reasons = {}, []
    if turned:
        found["upright"] = True
        reasons.append(f"upright: true, because masks fit {turned} of {len(facts)} pictures as EXIF turns them")
    if any(one.pages > 1 for one in facts):
        found["page"] = 1
        reasons.append("page: 1, because files have several pages; put the one that the masks belong to")
    if any(one.sheer for one in facts):
        found["alpha"] = "drop"
        reasons.append("alpha: drop, because the last band varies, as near infrared does; if it is transparency, put "
                       "white")
    deep = [one for one in facts if one.bits > 8 and not one.is_deep_colour]
    high = max((one.high for one in deep), default=0)
    if deep and min(one.low for one in deep) >= 0 and high <= 0.25 * max(one.top for one in deep):
        bits = int(high).bit_length()
        found["range"] = [0.0, float(2 ** (bits + bits % 2) - 1)]
        reasons.append(f"range: pictures have {deep[0].bits} bits, and their values end at {high:g}")
    return found, reasons


def _is_below(place: str, root: PurePosixPath) -> bool:
    """Whether a folder is `root` or lies in it; {split} in `root` stands for a folder of any name."""
    parts, wanted = PurePosixPath(place).parts, root.parts
    return len(parts) >= len(wanted) and all(one in (other, "{split}")
                                             for one, other in zip(wanted, parts, strict=False))


def _objects(found: Any) -> list[dict[str, Any]]:
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _root_of(places: Iterable[str]) -> tuple[str, list[str]]:
    """The folder that holds these folders, and their names below it; {split} stands for train, val and test."""
    parts = [PurePosixPath(place).parts for place in places]
    splits = {SPLIT_FOLDERS.get(part[0]) if len(part) > 1 else None for part in parts}
    if {"train", "test"} <= splits and None not in splits and len({part[1] for part in parts}) == 1:
        return f"{{split}}/{parts[0][1]}", []
    common = os.path.commonpath(["/".join(part) or "." for part in parts]) if parts else ""
    depth = len(PurePosixPath(common or ".").parts)
    return common or ".", sorted({part[depth] for part in parts if len(part) > depth})


def _holds_masks(paths: list[Path], most: int) -> bool:
    """Whether pictures may be masks: they keep every pixel's value, and none of a few has more than `most` values."""
    counts = []
    for path in a_few(paths, PEEK):
        try:
            labels, _ = read_labels(path, FIRST_PAGE)
        except ImageError:
            continue
        labels = as_numbers(labels)
        counts.append(len(np.unique(joined(labels) if labels.ndim == 3 else labels)))
    return bool(counts) and max(counts) <= most


def _json(path: Path) -> Any:
    try:
        return read_json(path, Any, "JSON", path.name)
    except (ValueError, OSError):
        return None


def _lines(path: Path) -> list[str]:
    try:
        return text_of(path.read_bytes(), path).splitlines()
    except (ValueError, OSError):
        return []
