"""Lists of splits: text files with one picture a line, as people and tools write them.

They lie in the user's folder or, as VOC has them, in its ImageSets/Segmentation. A line is a picture's name or path, of
this computer or another, and may be followed by its mask's. A line that begins with # is a comment, unless a picture
has that name.
"""

import dataclasses
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from seglib.datasets.folder.layout import MASK_SUFFIXES, SPLIT_FOLDERS, picture_suffixes
from seglib.datasets.folder.names import PathFinder, normal_name, suffix_of, without_suffix
from seglib.datasets.labels import text_of

PLACES = ("", "ImageSets/Segmentation")  # the first that holds lists is read
BOTH = "trainval"  # VOC's name for train and val in one list


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listed:
    """The splits that lists, or sub-folders of pictures, give."""

    split_of: Mapping[str, str]  # by name
    place_of: Mapping[str, str]  # by name: the list or the sub-folder that holds it
    splits: Mapping[str, str]  # the split of each list or sub-folder, also of an empty one
    undivided: bool = False  # whether there is but one list, whose pictures are for all splits


def split_lists(folder: Path) -> dict[Path, str]:
    """The lists and their splits. VOC's trainval.txt counts if there is no list of train."""
    for place in PLACES:
        names = [*SPLIT_FOLDERS, BOTH]
        found = {path: SPLIT_FOLDERS.get(path.stem, "train") for name in names
                 if (path := folder / place / f"{name}.txt").is_file()}
        if any(path.stem == "train" for path in found):
            found = {path: split for path, split in found.items() if path.stem != BOTH}
        if found:
            return found
    return {}


def listed_splits(folder: Path, known: Collection[str]) -> Listed | None:
    """What the lists say of each name; None if there are none. A picture that is listed and not there has a name too.

    known: the names of pictures, and of masks without one. Raises ValueError for a name in lists of two splits.
    """
    if not (lists := split_lists(folder)):
        return None
    resolver = _Resolver(known)
    split_of: dict[str, str] = {}
    place_of: dict[str, str] = {}
    for path, split in lists.items():
        for line in text_of(path.read_bytes(), path).splitlines():
            if (name := resolver.name_of(line.strip())) is None:
                continue
            if split_of.setdefault(name, split) != split:
                raise ValueError(f"{name} stands in {place_of[name]} and in {path.name}: a picture belongs to one")
            place_of.setdefault(name, path.name)
    return Listed(split_of=split_of, place_of=place_of, splits={path.name: split for path, split in lists.items()},
                  undivided=[path.stem for path in lists] == [BOTH])


class _Resolver:
    """Finds the name that a line of a list means."""

    def __init__(self, known: Collection[str]):
        self._suffixes = {*picture_suffixes(), *MASK_SUFFIXES}
        self._truth_suffixes = self._suffixes | {".txt", ".json", ".xml", ".npy"}
        self._paths = PathFinder(known, self._suffixes)

    def name_of(self, line: str) -> str | None:
        """The name, which may be of no picture; None for an empty line and a comment."""
        line = line.strip("\"' ")
        beginnings = [line, *(first for first, _ in _cut(line))]
        if line == "" or (line.startswith("#") and not any(map(self._paths.find_whole, beginnings))):
            return None
        if (name := self._paths.find(line)) is not None:
            return name
        for first, second in _cut(line):
            if (name := self._paths.find(first)) is not None and (
                    suffix_of(second) in self._truth_suffixes or self._paths.find(second) == name):
                return name
        for first, second in _cut(line):
            if suffix_of(first) in self._suffixes and suffix_of(second) in self._truth_suffixes:
                line = first
        return without_suffix(normal_name(line).rsplit("/", 1)[-1], self._suffixes)


def _cut(line: str) -> list[tuple[str, str]]:
    """The line cut in two at each comma, semicolon, tab and space, the longest first part first."""
    return [(line[:gap.start()].strip("\"' "), line[gap.end():].strip("\"' "))
            for gap in reversed([*re.finditer(r"\s*[,;\t]\s*|\s+", line)])]
