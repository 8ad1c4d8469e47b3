"""Masks that are named otherwise than their pictures: each is matched to its own, or what to set is said."""

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from seglib.datasets import folder
from seglib.datasets.folder.lists import listed_splits
from seglib.datasets.folder.names import Finder, NamesMatchError, difference, match, normal_name
from seglib.datasets.samples import Rejection, Sample
from tests.conftest import fetch_config, shared
from tests.datasets.folders import NAMES, entries, ids_of, keys_of, make, save

# How a name may be written differently by another program.
WRITINGS: dict[str, Callable[[str], str]] = {
    "same": lambda name: name,
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "windows": lambda name: name.replace("/", "\\"),
    "quoted": lambda name: name.replace(" ", "%20"),
}
WORDS = st.text(st.sampled_from("abÖé1.2 -"), min_size=1, max_size=8).filter(lambda word: word.strip(" .") == word)
PATHS = st.lists(WORDS, min_size=1, max_size=3).map("/".join)
ENDINGS = st.sampled_from(["", "_mask", "_gt", "_L", ".mask", "-labels", "mask", "_0_mask", " (copy)"])


@given(pictures=st.lists(PATHS, min_size=2, max_size=12, unique_by=lambda name: normal_name(name).lower()),
       ending=ENDINGS, of_pictures=st.sampled_from(["", "_leftImg8bit", "_t0", ".img"]), given_key=st.booleans(),
       data=st.data())
def test_any_mixture_of_differences_still_matches_each_mask_to_its_picture(pictures: list[str], ending: str,
                                                                         of_pictures: str, given_key: bool,
                                                                         data: st.DataObject):
    """The pictures and the masks are each written by programs of any kind; the masks have one ending."""
    writing = st.sampled_from(list(WRITINGS.values()))
    own = {name: normal_name(data.draw(writing)(name + of_pictures)) for name in pictures}
    masks = {normal_name(data.draw(writing)(name + of_pictures * (ending == "") + ending)): name for name in pictures}
    assume(len(masks) == len(pictures))
    found = match(own.values(), masks, ending if given_key and ending else None)
    assert found.picture_of == {mask: own[name] for mask, name in masks.items()}


@pytest.mark.parametrize(("pictures", "masks", "ending", "expected"), [
    ("p1 p2 p3", "p1 p2 p30", None, {"p1": "p1", "p2": "p2"}),  # p30 is no ending of p3
    ("p1 p2 p3", "p1 p2 p3_old", None, {"p1": "p1", "p2": "p2"}),  # one is no rule
    ("a b", "a_mask b_mask a b", None, {"a": "a", "b": "b", "a_mask": "a", "b_mask": "b"}),  # two masks each
    ("a b", "a_mask b_mask a_color b_color", "_mask", {"a_mask": "a", "b_mask": "b"}),
    ("x/a x/b", "x/a_gt x/b_gt", None, {"x/a_gt": "x/a", "x/b_gt": "x/b"}),
    ("a a_1", "a_gt a_1_gt", None, {"a_gt": "a", "a_1_gt": "a_1"}),
    ("a b", "x y", None, {}),
    ("a b c", "a_m d_m e_m f_m b_m", None, {"a_m": "a", "b_m": "b"}),  # more masks than pictures
    ("c/x_000019_leftImg8bit c/y_000019_leftImg8bit",
     "c/x_000019_gtFine_labelIds c/x_000019_gtFine_color c/y_000019_gtFine_labelIds c/y_000019_gtFine_color",
     "_gtFine_labelIds", {"c/x_000019_gtFine_labelIds": "c/x_000019_leftImg8bit",
                          "c/y_000019_gtFine_labelIds": "c/y_000019_leftImg8bit"}),
    ("a%20b a b", "a%20b a b", None, {"a%20b": "a%20b", "a": "a", "b": "b"}),
])
def test_names_that_match(pictures: str, masks: str, ending: str | None, expected: dict[str, str]):
    assert match(pictures.split(), masks.split(), ending).picture_of == expected


def test_names_that_percent_codes_alone_tell_apart_stay_apart():
    assert match(["a b", "a%20b"], ["a b", "a%20b"], None).picture_of == {"a b": "a b", "a%20b": "a%20b"}
    assert Finder(["a b", "a%20b"]).find("a%20b") == "a%20b"


@pytest.mark.parametrize(("pictures", "masks"), [
    ("a b c", "a_color a_ids b_color b_ids c_color c_ids"),
    ("c/x_19_left c/y_19_left", "c/x_19_color c/x_19_ids c/y_19_color c/y_19_ids"),
])
def test_several_masks_of_each_picture_are_refused_with_the_key(pictures: str, masks: str):
    with pytest.raises(NamesMatchError, match="end in _color, _ids: choose one .* mask_ending: _color"):
        match(pictures.split(), masks.split(), None)


@pytest.mark.parametrize(("pictures", "masks", "said"), [
    ("train/a train/b", "a b", "their folders differ (train/a and a): set pictures: FOLDER/train"),
    ("a b", "png/a png/b", "their folders differ (a and png/a): set truth: FOLDER/png"),
    ("A b1", "a B1", "capital letters differ (b1 and B1)"),
    ("img_1 img_2", "mask_1 mask_2", "their beginnings differ (such as img_1 and mask_1)"),
    ("a b", "x y", "pictures are named such as a, masks such as x"),
])
def test_the_most_common_difference_is_named(pictures: str, masks: str, said: str):
    assert said in difference(pictures.split(), masks.split())


def test_a_fetch_without_any_match_names_the_users_folder_and_the_key(tmp_path: Path):
    root = make(tmp_path / "mine")
    (root / "masks").rename(root / "png")
    (root / "masks").mkdir()
    (root / "png").rename(root / "masks/png")
    with pytest.raises(ValueError, match=f"no mask in {root}/masks has the name of a picture .* set truth: FOLDER/png"):
        folder.fetch(fetch_config(keys_of(root)), tmp_path)
    assert len(entries(root, keys_of(root, truth="masks/png"))) == 8


@pytest.mark.parametrize("masks", ["ids", "folders"])
def test_sub_folders_are_part_of_a_name_and_are_fetched(tmp_path: Path, masks: str):
    root = make(tmp_path / "mine", masks, names=[f"{place}/p{i}" for place in ("a", "b/c") for i in range(4)])
    for junk in ("images/.hidden.png", "images/a/._p0.png", "masks/Thumbs.db", "images/.cache/p0.png"):
        (root / junk).parent.mkdir(exist_ok=True)
        (root / junk).write_bytes(b"no")
    out = tmp_path / "raw"
    out.mkdir()
    assert folder.fetch(fetch_config(keys_of(root, masks)), out)["images"] == {"pictures": 8, "selected": 8}
    copied = {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    assert copied == {path.relative_to(root) for path in root.rglob("*.png")
                      if not any(part.startswith(".") for part in path.relative_to(root).parts)}
    found = entries(out, keys_of(root, masks))
    assert sorted(entry.id for entry in found) == [f"{place}/p{i}" for place in ("a", "b/c") for i in range(4)]
    assert all(isinstance(entry, Sample) for entry in found)


@pytest.mark.parametrize(("pictures", "truth", "ending"), [
    (".", "masks", None), (".", ".", "_mask"), ("images", ".", None), ("deep/er", "deep", None)])
def test_pictures_and_masks_may_lie_in_any_folder(tmp_path: Path, pictures: str, truth: str, ending: str | None):
    made = make(tmp_path / "made")
    root = tmp_path / "mine"
    for place, of in ((pictures, "images"), (truth, "masks")):
        (root / place).mkdir(parents=True, exist_ok=True)
        for path in (made / of).iterdir():
            shutil.copy(path, root / place / f"{path.stem}{ending or '' if of == 'masks' else ''}.png")
    keys = keys_of(root, pictures=pictures, truth=truth, mask_ending=ending)
    out = tmp_path / "raw"
    out.mkdir()
    folder.fetch(fetch_config(keys), out)
    found = {entry.id: entry for entry in entries(out, keys)}
    assert sorted(found) == NAMES
    assert all((found[name].planes_KHW[1] == (ids_of(name) == 1)).all() for name in NAMES)


def test_one_folder_of_pictures_and_masks_needs_an_ending(tmp_path: Path):
    root = make(tmp_path / "mine")
    with pytest.raises(ValueError, match="holds pictures and masks alike: set mask_ending"):
        entries(root, keys_of(root, truth="images"))


@pytest.mark.parametrize("key", ["pictures", "truth"])
def test_folders_outside_the_users_are_refused(tmp_path: Path, key: str):
    root = make(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"\.\./other does not lie in"):
        folder.fetch(fetch_config(keys_of(root, **{key: "../other"})), tmp_path)


def test_a_split_may_be_part_of_the_keys(tmp_path: Path):
    root = tmp_path / "mine"
    for split in ("train", "valid", "test"):
        make(root / split, names=[f"{split}{i}" for i in range(3)])
    keys = keys_of(root, pictures="{split}/images", truth="{split}/masks")
    found = {split: [entry.id for entry in entries(root, keys, split)] for split in folder.SPLITS}
    assert found == {"train": [f"train/train{i}" for i in range(3)], "val": [f"valid/valid{i}" for i in range(3)],
                     "test": [f"test/test{i}" for i in range(3)]}
    out = tmp_path / "raw"
    out.mkdir()
    folder.fetch(fetch_config(keys), out)
    assert sorted(path.name for path in (out / "valid/masks").iterdir()) == ["valid0.png", "valid1.png", "valid2.png"]


@pytest.mark.parametrize("form", ["ids", "folders"])
def test_two_masks_of_one_picture_are_an_error(tmp_path: Path, form: str):
    root = make(tmp_path / "mine", form)
    place = "masks" if form == "ids" else "masks/cat"
    save(root / place / "p3.tif", ids_of("p3"))
    with pytest.raises(ValueError, match=r"several masks fit the picture p3: .*p3.png and .*p3.tif. .*mask_ending"):
        entries(root, keys_of(root, form))


def test_two_masks_of_one_picture_are_told_by_name(tmp_path: Path):
    root = make(tmp_path / "mine", names=["Größe", *NAMES])
    save(root / "masks" / (unicodedata.normalize("NFD", "Größe") + ".png"), ids_of("Größe"))
    if len(list((root / "masks").iterdir())) == len(NAMES) + 1:
        pytest.skip("this file system takes both names for one")
    with pytest.raises(ValueError, match="several masks fit the picture Größe: "):
        entries(root, keys_of(root))


@pytest.mark.parametrize("case", ["names_decomposed", "mask_suffix", "valid_txt"])
def test_cases_of_peoples_own_data_are_read(tmp_path: Path, case: str):
    root = shared("own_data") / case
    keys = keys_of(root, classes=["background", "thing"], ignore=[100])
    out = tmp_path / "raw"
    out.mkdir()
    counts = folder.fetch(fetch_config(keys), out)["images"]
    assert counts["pictures"] == counts["selected"] == len(list((root / "images").iterdir()))
    for split in folder.SPLITS:
        found = entries(out, keys, split)
        assert found
        # What is said of a mask's values is no matter of its name.
        assert not any("mask has its name" in entry.reason or "without a picture" in entry.reason
                       for entry in found if isinstance(entry, Rejection))
    if case == "valid_txt":
        assert {entry.id for entry in entries(out, keys, "val")} == set((root / "valid.txt").read_text().split())
        assert set(listed_splits(root, []).splits.values()) == {"train", "val", "test"}
