"""The splits of a user's folder: by lists of any writing, by sub-folders, and by hash; no group is ever divided."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.datasets import folder, prepare, readers
from seglib.datasets.folder.lists import listed_splits
from seglib.datasets.folder.splits import SPLITS, assign_splits, groups_of
from seglib.datasets.labels import split_by_hash
from seglib.datasets.samples import Sample
from seglib.datasets.store import Split
from seglib.files import write_json
from tests.conftest import fetch_config, prepare_config, shared
from tests.datasets.folders import NAMES, entries, keys_of, make

NAMED = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 99)), min_size=6, max_size=40, unique=True)


def splits_of(names: list[str], root: Path, **changed: object) -> tuple[dict[str, str], dict[str, str]]:
    return assign_splits(root, prepare_config(keys_of(root, **changed)), names, names)


@pytest.mark.parametrize("val", ["val", "valid", "validation", "dev"])
def test_val_has_many_names(tmp_path: Path, val: str):
    root = make(tmp_path / "mine", lists={"train": "p0\np1", val: "p2", "test": "p3"})
    assert [entry.id for entry in entries(root, keys_of(root), "val")] == ["p2"]


def test_two_lists_of_val_are_refused(tmp_path: Path):
    root = make(tmp_path / "mine", lists={"train": "p0\np1", "val": "p2", "dev": "p4", "test": "p3"})
    with pytest.raises(ValueError, match="has val.txt and dev.txt, which both mean val: keep one"):
        entries(root, keys_of(root))


@pytest.mark.parametrize(("line", "name"), [
    ("my picture", "my picture"), ("my picture.png", "my picture"), ("my%20picture.PNG", "my picture"),
    ("images/a/b.png", "a/b"), ("a/b", "a/b"), ("./a/b.jpg", "a/b"), ("/home/me/data/images/a/b.jpg", "a/b"),
    ("C:\\data\\images\\a\\b.jpg", "a/b"), ("c.1.3_t0.jpg", "c.1.3_t0"), ("c.1.3_t0", "c.1.3_t0"), ("b", "a/b"),
    ("images/my picture.png masks/my picture.png", "my picture"), ("a/b.jpg,a/b_mask.png", "a/b"),
    ("a/b.jpg\ta/b.png", "a/b"), ('"a/b.jpg", "a/b.png"', "a/b"), ("my.png my_gt.png", "my"),
    ("/JPEGImages/a/b.jpg /SegmentationClass/a/b.png", "a/b"),
    ("#1", "#1"), ("#1.png", "#1"), ("images/#1.png", "#1"), ("#1.png masks/#1.png", "#1"),
    ("# a/b is not good", None), ("#my", None), ("", None), ("   ", None),
    ("gone.jpg", "gone"), ("gone.jpg gone.png", "gone"), ("not a/gone one.jpg", "gone one"),
    ("my gone", "my gone"),  # not my
])
def test_a_line_is_read_on_purpose(tmp_path: Path, line: str, name: str | None):
    known = ["my picture", "my", "a/b", "c.1.3_t0", "#1"]
    (tmp_path / "train.txt").write_text(line + "\n")
    assert [*listed_splits(tmp_path, known).split_of] == ([] if name is None else [name])


def test_vocs_lists_are_found(tmp_path: Path):
    root = make(tmp_path / "mine")
    place = root / "ImageSets/Segmentation"
    place.mkdir(parents=True)
    for split, names in (("trainval", "p0 p1 p2"), ("train", "p0 p1"), ("val", "p2"), ("test", "p3")):
        (place / f"{split}.txt").write_text("\n".join(names.split()))
    assert {split: [entry.id for entry in entries(root, keys_of(root), split)] for split in SPLITS} == {
        "train": ["p0", "p1"], "val": ["p2"], "test": ["p3"]}
    out = tmp_path / "raw"
    out.mkdir()
    assert folder.fetch(fetch_config(keys_of(root)), out)["images"] == {"pictures": 8, "selected": 4}
    assert (out / "ImageSets/Segmentation/val.txt").is_file()
    (place / "test.txt").unlink()
    with pytest.raises(ValueError, match=r"train.txt, val.txt, but no test: take some of these pictures for test"):
        entries(root, keys_of(root))
    for split in ("train", "val"):
        (place / f"{split}.txt").unlink()
    assert {entry.id for entry in entries(root, keys_of(root))} == {"p0", "p1", "p2"}  # divided by hash


@pytest.mark.parametrize("val", ["val", "Valid", None])
def test_sub_folders_named_as_splits_are_splits(tmp_path: Path, val: str | None):
    places = ["train", "test", *([val] if val else [])]
    root = make(tmp_path / "mine", names=[f"{place}/p{i}" for place in places for i in range(6)])
    found = {split: {entry.id for entry in entries(root, keys_of(root), split)} for split in SPLITS}
    assert found["test"] == {f"test/p{i}" for i in range(6)}
    if val:
        assert found["val"] == {f"{val}/p{i}" for i in range(6)}
    else:
        assert found["val"] and found["train"] | found["val"] == {f"train/p{i}" for i in range(6)}


def test_sub_folders_without_test_say_what_is_missing(tmp_path: Path):
    root = make(tmp_path / "mine", names=["train/a", "train/b", "val/c"])
    with pytest.raises(ValueError, match="has train/, val/, but no test: take some"):
        entries(root, keys_of(root))


@given(NAMED, st.sampled_from([r"^[a-h]", r"^([a-h])\d+", r"([a-h])"]))
def test_no_group_is_divided(pairs: list[tuple[str, int]], pattern: str):
    names = [f"{letter}{number}" for letter, number in pairs]
    units = {letter for letter, _ in pairs}
    if len(units) < 3:
        return
    split_of, groups = splits_of(names, Path("nowhere"), group=pattern)
    assert groups == {name: name[0] for name in names}
    assert {*split_of.values()} == {*SPLITS}
    assert len({(name[0], split) for name, split in split_of.items()}) == len(units)


@given(st.lists(st.integers(0, 10**6), min_size=3, max_size=60, unique=True))
def test_each_split_gets_a_picture_and_full_splits_stay(numbers: list[int]):
    names = [str(number) for number in numbers]
    split_of, _ = splits_of(names, Path("nowhere"))
    plain = {name: split_by_hash(name, val_fraction=0.25, test_fraction=0.3) for name in names}
    assert {*split_of.values()} == {*SPLITS}
    if {*plain.values()} == {*SPLITS}:
        assert split_of == plain


@pytest.mark.parametrize(("count", "said"), [
    (2, "2 pictures with masks, and 3 are needed: at least one each for train"),
    (1, "1 picture with masks, and 3 are needed")])
def test_fewer_than_three_pictures_get_a_sentence(tmp_path: Path, count: int, said: str):
    root = make(tmp_path / "mine", names=NAMES[:count])
    with pytest.raises(ValueError, match=f"{root} has {said}"):
        entries(root, keys_of(root))


def test_a_list_of_one_picture_cannot_give_val(tmp_path: Path):
    root = make(tmp_path / "mine", lists={"train": "p1", "test": "p2"})
    with pytest.raises(ValueError, match="train.txt has 1 picture with masks, and 2 are needed: .* train and val"):
        entries(root, keys_of(root))


def test_two_groups_are_too_few(tmp_path: Path):
    root = make(tmp_path / "mine", names=["a1", "a2", "b1", "b2"])
    with pytest.raises(ValueError, match="has 2 groups with masks, and 3 are needed: .* let group tell more"):
        entries(root, keys_of(root, group="^."))


@pytest.mark.parametrize("pattern", [r"^(a)\d", r"^a", r"(x)?"])
def test_a_name_without_a_group_is_named(pattern: str):
    with pytest.raises(ValueError, match=f"the picture b1 has no group: .* group: {re.escape(pattern)}"):
        groups_of(["a1", "b1"] if "x" not in pattern else ["b1"], pattern)


def test_a_group_in_two_lists_is_refused(tmp_path: Path):
    root = make(tmp_path / "mine", names=["a1", "a2", "b1"], lists={"train": "a1\nb1", "test": "a2"})
    with pytest.raises(ValueError, match="the group a is in two splits: a1 is in train.txt, a2 in test.txt"):
        entries(root, keys_of(root, group="^(.)"))


def test_val_is_taken_from_train_by_groups(tmp_path: Path):
    names = [f"{letter}{i}" for letter in "abcdefgh" for i in range(5)]
    root = make(tmp_path / "mine", names=names, lists={"train": "\n".join(names[:-5]), "test": "\n".join(names[-5:])})
    keys = keys_of(root, group="^(.)")
    found = {split: {entry.id[0] for entry in entries(root, keys, split)} for split in SPLITS}
    assert found["test"] == {"h"} and found["val"] and found["train"]
    assert not found["train"] & found["val"]


def test_a_prepared_split_names_the_group_of_each_picture(tmp_path: Path):
    root = make(tmp_path / "mine", names=[f"{letter}{i}" for letter in "abcdef" for i in range(3)])
    raw = tmp_path / "raw"
    raw.mkdir()
    write_json(raw / readers.SELECTION, folder.fetch(fetch_config(keys_of(root)), raw))
    for pattern in (None, "^(.)"):
        out = tmp_path / f"out {pattern is None}"
        out.mkdir()
        prepare.prepare(raw, prepare_config(keys_of(root, group=pattern)), out, processes=1)
        for split in SPLITS:
            index = Split.open(out, split).index()
            assert ("unit" in index) == (pattern is not None)
            if pattern:
                assert index["unit"].tolist() == [name[0] for name in index["id"]]


def test_three_pictures_of_peoples_own_are_one_each():
    root = shared("own_data") / "three_pictures"
    keys = keys_of(root, classes=["background", "thing"])
    assert all(isinstance(entry, Sample) for entry in entries(root, keys))
    assert {split: len(entries(root, keys, split)) for split in SPLITS} == {"train": 1, "val": 1, "test": 1}
