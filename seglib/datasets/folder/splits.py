"""The split of each picture of a user's folder: by lists if there are any, otherwise by the hash of its name."""

from collections.abc import Collection
from pathlib import Path, PurePath

from seglib.configs import PrepareConfig
from seglib.datasets.folder.layout import MASK_SUFFIXES, picture_suffixes
from seglib.datasets.labels import split_by_hash, text_of

SPLITS = ("train", "val", "test")


def split_lists(folder: Path) -> dict[str, Path]:
    return {split: path for split in SPLITS if (path := folder / f"{split}.txt").is_file()}


def listed_splits(folder: Path, known: Collection[str]) -> dict[str, str] | None:
    """The list that holds each name; None if the folder has no lists. A line holds a name or a file's path.

    Raises ValueError if there are lists, but no train.txt or no test.txt, and for a name in two of them.
    """
    lists = split_lists(folder)
    if missing := {"train", "test"} - lists.keys() if lists else ():
        raise ValueError(f"{folder} has {', '.join(path.name for path in lists.values())}, but no "
                         f"{' and no '.join(f'{split}.txt' for split in sorted(missing))}: add it (without val.txt, "
                         "val_fraction of train.txt becomes val), or take the lists away to split by hash")
    found: dict[str, str] = {}
    for split, path in lists.items():
        for line in text_of(path.read_bytes(), path).splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            entry = PurePath(line.strip())
            is_file = entry.suffix.lower() in (*picture_suffixes(), *MASK_SUFFIXES)
            name = entry.stem if is_file and entry.name not in known else entry.name
            if found.setdefault(name, split) != split:
                raise ValueError(f"{name} stands in {found[name]}.txt and in {path.name}: a picture belongs to one")
    return found if lists else None


def assign_splits(folder: Path, config: PrepareConfig, known: Collection[str]) -> dict[str, str]:
    """The split of each name: by the lists if there are any (a name in none has no split), else by its hash."""
    listed = listed_splits(folder, known)
    fractions = {"val_fraction": config.val_fraction, "test_fraction": config.options["test_fraction"]}
    if listed is None:
        return {name: split_by_hash(name, **fractions) for name in known}
    if "val" not in split_lists(folder):
        fractions["test_fraction"] = 0
        return {name: split_by_hash(name, **fractions) if split == "train" else split for name, split in listed.items()}
    return listed
