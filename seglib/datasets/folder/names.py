"""Which mask belongs to which picture, by their names. A name is a file's path below its folder, without the suffix.

Names match if they are equal after `normal_name`. Or a common ending tells the masks from the pictures, which is
computed and stands in no list: a.jpg and a_mask.png, or a_leftImg8bit.png and a_gtFine_labelIds.png.
"""

import collections
import dataclasses
import os
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote

SEPARATORS = "_-. "  # the characters before which an ending is cut, so that it reads well


def normal_name(text: str) -> str:
    """The name with composed letters (NFC), which macOS takes apart, and with / for each \\ of Windows."""
    return unicodedata.normalize("NFC", text).replace("\\", "/")


class NamesMatchError(ValueError):
    """The names of masks and pictures do not say which belong together."""


class Finder:
    """Finds a known name by a text that may hold %20 for a space."""

    def __init__(self, known: Iterable[str]):
        self._own = set(known)
        counts = collections.Counter(map(_plain, self._own))
        # Names that would be the same without their % codes are told apart by them.
        self._by_plain = {_plain(name): name for name in self._own if counts[_plain(name)] == 1}

    def find(self, text: str) -> str | None:
        """The known name that `text` stands for; None if there is none."""
        name = normal_name(text)
        return name if name in self._own else self._by_plain.get(_plain(name))


class PathFinder:
    """Finds a known name by a path, of this computer or another, that ends with it."""

    def __init__(self, known: Collection[str], suffixes: Collection[str]):
        self._finder, self._suffixes = Finder(known), suffixes
        counts = collections.Counter(map(_base, known))
        self._by_base = {_base(name): name for name in known if counts[_base(name)] == 1}

    def find(self, path: str) -> str | None:
        """/elsewhere/images/a/b.png is a/b, or b if there is no a/b, or c/b if that is the only b; None for no name."""
        parts = normal_name(path).split("/")
        for start in range(len(parts)):
            if (name := self.find_whole("/".join(parts[start:]))) is not None:
                return name
        return self._by_base.get(parts[-1]) or self._by_base.get(without_suffix(parts[-1], self._suffixes))

    def find_whole(self, path: str) -> str | None:
        """The name that the whole path is, with or without one of the suffixes."""
        return self._finder.find(path) or self._finder.find(without_suffix(path, self._suffixes))


def suffix_of(path: str) -> str:
    """The last suffix in small letters, such as .png."""
    return PurePosixPath(path).suffix.lower()


def without_suffix(path: str, suffixes: Collection[str]) -> str:
    """The path without its suffix, if that is one of `suffixes`."""
    suffix = suffix_of(path)
    return path[:-len(suffix)] if suffix and suffix in suffixes else path


def _base(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def without_ending(name: str, ending: str) -> str | None:
    """What stands before the ending in a normal name; None if the name does not end so."""
    ending = normal_name(ending)
    text = next((text for text in (name, _plain(name)) if text.endswith(ending)), None)
    return None if text is None else text.removesuffix(ending)


def _plain(name: str) -> str:
    return normal_name(unquote(name)) if "%" in name else name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Matched:
    """Which mask belongs to which picture."""

    picture_of: Mapping[str, str]  # by the mask's name; masks that fit no picture are not in it
    ending: str = ""  # what the masks' names have after that of the picture


def match(pictures: Collection[str], masks: Collection[str], ending: str | None) -> Matched:
    """Match the names of masks to those of pictures, both normal.

    ending: what each mask's name has after that of the picture; masks without it are left out. None: it is computed.
    Two masks of one picture are both matched to it. Raises NamesMatchError if each picture could have several masks,
    told apart by their endings.
    """
    stems = {mask: stem for mask in masks if (stem := without_ending(mask, ending or "")) is not None}
    finder = Finder(pictures)
    exact = {mask: found for mask, stem in stems.items() if (found := finder.find(stem)) is not None}
    rest = {mask: stem for mask, stem in stems.items() if mask not in exact}
    found = None
    if ending is None and rest:
        # A few names that happen to begin as others do are no ending.
        fewest = max(min(2, len(pictures), len(masks)), len(set(exact.values())) / 2)
        found = _most_common(_votes({name: name for name in pictures}, rest), fewest)
    if not exact and found is None and rest:
        found = _by_both_endings(pictures, rest)
    if found is None:
        return Matched(picture_of=exact, ending=ending or "")
    return Matched(picture_of=exact | found.picture_of, ending=found.ending + (ending or ""))


def _by_both_endings(pictures: Collection[str], stems: Mapping[str, str]) -> Matched | None:
    """The masks that have a common ending, if the pictures have one as well, which is taken away first."""
    # Without their first character, so that something is left of each.
    common = os.path.commonprefix([_base(name)[:0:-1] for name in pictures])[::-1]
    if not common or len(pictures) < 2:
        return None
    cores = {name.removesuffix(common): name for name in pictures}
    return _most_common(_votes(cores, stems, whole=True), 2, common)


def _most_common(votes: Mapping[str, Mapping[str, str]], fewest: float, of_pictures: str = "") -> Matched | None:
    """The ending that most masks have, if at least `fewest` have it. `of_pictures`: the pictures' own ending."""
    if not votes or len(found := votes[ending := max(votes, key=lambda one: (len(votes[one]), one))]) < fewest:
        return None
    shared = len(os.path.commonprefix([of_pictures, ending]))
    if shared and (of_pictures + ending)[shared - 1] in SEPARATORS:
        shared -= 1
    alike = sorted(one[shared:] for one, of_one in votes.items()
                   if len(of_one) == len(found) or 2 * len(of_one.keys() - found.keys()) > len(found))
    if len(alike) > 1:
        raise NamesMatchError(f"several masks fit each picture; their names end in {', '.join(alike[:4])}: choose one "
                              f"by its ending, such as mask_ending: {alike[0]}")
    return Matched(picture_of=found, ending=ending[shared:])


def _votes(pictures: Mapping[str, str], stems: Mapping[str, str], *,
           whole: bool = False) -> dict[str, dict[str, str]]:
    """For each ending, the masks whose names are a picture's name with that ending, and the picture's own name.

    pictures: their names, by what a mask's name may begin with; a mask votes for the ending that each of them leaves.
    Unless `whole` is set, an ending is not empty and does not begin within a number.
    """
    by_plain = {_plain(start): name for start, name in pictures.items()}
    plain = _plain if len(by_plain) == len(pictures) else str  # % codes that tell names apart stay
    starts = by_plain if plain is _plain else pictures
    votes: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for mask, stem in stems.items():
        text = plain(stem)
        for end in range(len(text) - (not whole), text.rfind("/") + 1, -1):
            if text[:end] in starts and (whole or not (text[end - 1].isdigit() and text[end].isdigit())):
                votes[text[end:]][mask] = starts[text[:end]]
    return votes


def difference(pictures: Collection[str], masks: Collection[str]) -> str:
    """How the names of masks differ from those of pictures, if none match, and the key that makes them match."""
    base_of = collections.defaultdict(list)
    for name in sorted(pictures):
        base_of[_base(name)].append(name)
    folders: collections.Counter[tuple[str, str]] = collections.Counter()
    letters, examples = 0, {}
    lower = {name.lower(): name for name in pictures}
    for mask in sorted(masks):
        place, _, base = mask.rpartition("/")
        for name in base_of.get(base, ())[:1]:
            folders[name.rpartition("/")[0], place] += 1
            examples.setdefault("folder", (name, mask))
        if mask.lower() in lower:
            letters += 1
            examples.setdefault("letters", (lower[mask.lower()], mask))
    if folders and folders.total() >= letters:
        (of_pictures, of_masks), _ = folders.most_common(1)[0]
        keys = [f"{key}: FOLDER/{place}" for key, place in (("pictures", of_pictures), ("truth", of_masks)) if place]
        return (f"their folders differ ({examples['folder'][0]} and {examples['folder'][1]}): set "
                f"{' and '.join(keys)}, with the FOLDER that is read now")
    if letters:
        return f"capital letters differ ({examples['letters'][0]} and {examples['letters'][1]}): rename the files"
    picture, mask = min(pictures), min(masks)
    ending = os.path.commonprefix([picture[::-1], mask[::-1]])[::-1]
    if ending and len(ending) < min(len(picture), len(mask)):
        return (f"their beginnings differ (such as {picture} and {mask}): rename the files, so that a mask's name "
                "begins with its picture's, or set pictures and truth if these are the wrong folders")
    return (f"pictures are named such as {picture}, masks such as {mask}: rename the files, so that a mask's name "
            "begins with its picture's, set mask_ending to what follows, or set pictures and truth if these are the "
            "wrong folders")
