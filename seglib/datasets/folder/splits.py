"""The split of each picture of a user's folder.

Lists decide if there are any (see `lists`), then sub-folders named as splits are, and otherwise the hash of the
picture's name. With the key `group`, the hash is that of the group's text, so that all pictures of a group are in one
split.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from seglib.configs import PrepareConfig
from seglib.datasets.folder.layout import SPLIT_FOLDERS
from seglib.datasets.folder.lists import Listed, listed_splits
from seglib.datasets.labels import share_of, split_by_hash

SPLITS = ("train", "val", "test")


def groups_of(pictures: Collection[str], pattern: str | None) -> dict[str, str]:
    """The group of each picture: what the first parenthesis of `pattern` matches in its name, or the whole pattern if
    it has none. Without a pattern no picture has a group. Raises ValueError for a name that does not match.
    """
    if pattern is None:
        return {}
    found = {}
    for name in sorted(pictures):
        match = re.search(pattern, name)
        group = match and (match.group(1) if match.re.groups else match.group())
        if not group:
            raise ValueError(f"the picture {name} has no group: its name does not match group: {pattern}")
        found[name] = group
    return found


def given_splits(folder: Path, pictures: Collection[str], others: Collection[str]) -> Listed | None:
    """The splits that lists or sub-folders give; None if there are neither.

    others: names of masks without a picture. Raises ValueError for lists and folders that contradict each other, and
    for those that leave out train or test.
    """
    names = {*pictures, *others}
    given = listed_splits(folder, names) or _of_folders(pictures, names)
    if given is None or given.undivided:
        return given
    for split in SPLITS:
        if len(places := [place for place, of in given.splits.items() if of == split]) > 1:
            raise ValueError(f"{folder} has {' and '.join(places)}, which both mean {split}: keep one of them")
    if missing := {"train", "test"} - {*given.splits.values()}:
        raise ValueError(
            f"{folder} has {', '.join(given.splits)}, but no {' and no '.join(sorted(missing))}: "
            + ("take some of these pictures for test, on which nothing is chosen" if missing == {"test"} else "add it")
            + ". Without val, val_fraction of train becomes val; without any lists or folders of splits, the hash of a "
              "picture's name decides")
    return given


def _of_folders(pictures: Collection[str], names: Collection[str]) -> Listed | None:
    """The splits of sub-folders, if each picture lies in one that is named as a split."""
    if not all("/" in name and _first(name) in SPLIT_FOLDERS for name in pictures):
        return None
    place_of = {name: f"{name.split('/')[0]}/" for name in sorted(names) if _first(name) in SPLIT_FOLDERS}
    split_of = {name: SPLIT_FOLDERS[_first(name)] for name in place_of}
    return Listed(split_of=split_of, place_of=place_of,
                  splits={place_of[name]: split for name, split in split_of.items()})


def _first(name: str) -> str:
    """The folder with which a name begins, in small letters."""
    return name.split("/")[0].lower()


def assign_splits(folder: Path, config: PrepareConfig, pictures: Collection[str],
                  masks: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The split of each name (one that lists leave out has none), and the group of each picture that has one.

    A split that its hash leaves empty gets the pictures, or groups, that rank next. masks: names of masks. Raises
    ValueError as `given_splits` and `groups_of`, for a group in two splits, and for too few pictures or groups.
    """
    options = config.options
    given = given_splits(folder, pictures, {*masks} - {*pictures})
    taken = pictures if given is None else [name for name in pictures if name in given.split_of]
    groups = groups_of(taken, options["group"])
    usable = {*taken} if options["unlisted"] == "empty" else {*taken} & {*masks}
    if given is None:
        fractions = {"val": config.val_fraction, "test": options["test_fraction"]}
        return _by_hash({*pictures, *masks}, usable, groups, fractions, str(folder)), groups
    _check_groups(groups, given)
    split_of = dict(given.split_of)
    if "val" not in given.splits.values():
        fractions = {"val": config.val_fraction, "test": options["test_fraction"] if given.undivided else 0.0}
        train = {name for name, split in split_of.items() if split == "train"}
        place = next(place for place, split in given.splits.items() if split == "train")
        split_of |= _by_hash(train, usable & train, groups, fractions, place)
    return split_of, groups


def _check_groups(groups: Mapping[str, str], given: Listed) -> None:
    """Raises ValueError for a group in two splits."""
    first: dict[str, str] = {}
    for name, group in groups.items():
        other = first.setdefault(group, name)
        if given.split_of[other] != given.split_of[name]:
            raise ValueError(f"the group {group} is in two splits: {other} is in {given.place_of[other]}, {name} in "
                             f"{given.place_of[name]}. Pictures of one group belong to one split")


def _by_hash(names: Collection[str], usable: Collection[str], groups: Mapping[str, str],
             fractions: Mapping[str, float], place: str) -> dict[str, str]:
    """The split of each name by its hash, or by that of its group.

    fractions: of val and test; a split without one is not wanted. If a wanted split has nothing that is usable, the
    units are ranked by their hash instead: the first are test, the next are val.
    """
    shares = {"val_fraction": fractions["val"], "test_fraction": fractions["test"]}
    unit_of = {name: groups.get(name, name) for name in names}
    split_of = {unit: split_by_hash(unit, **shares) for unit in unit_of.values()}
    units = sorted({unit_of[name] for name in usable}, key=share_of)
    wanted = [split for split in SPLITS if split == "train" or fractions[split]]
    if {*wanted} - {split_of[unit] for unit in units}:
        if not units:
            raise ValueError(f"{place} has no picture with a mask")
        if len(units) < len(wanted):
            noun = "group" if groups else "picture"
            raise ValueError(
                f"{place} has {len(units)} {noun}{'s' * (len(units) != 1)} with masks, and {len(wanted)} are needed: "
                f"at least one each for {', '.join(wanted[:-1])} and {wanted[-1]}. Add pictures"
                + (", or let group tell more groups apart" if groups else ""))
        test, val = _filled(len(units), fractions)
        split_of |= {unit: "test" if rank < test else "val" if rank < test + val else "train"
                     for rank, unit in enumerate(units)}
    return {name: split_of[unit] for name, unit in unit_of.items()}


def _filled(units: int, fractions: Mapping[str, float]) -> tuple[int, int]:
    """How many units test and val get, at least one each if it has a fraction, and at least one is left for train."""
    least = {split: int(fractions[split] > 0) for split in ("val", "test")}
    test = min(max(round(fractions["test"] * units), least["test"]), units - 1 - least["val"])
    val = min(max(round(fractions["val"] * (units - test)), least["val"]), units - test - 1)
    return test, val
