"""A folder of one's own in each of its forms; masks are judged by the arrays they were written from."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglib.datasets import folder, prepare, readers, store, workers
from seglib.datasets.samples import Rejection, Sample
from seglib.files import write_json
from tests.conftest import fetch_config, prepare_config, shared
from tests.datasets.folders import ALL_TRAIN, NAMES, SIZE, entries, ids_of, keys_of, make, rejection, save


@pytest.fixture
def pennfudan() -> Path:
    return shared("pennfudan")


@pytest.mark.parametrize("masks", ["ids", "folders", "coco"])
def test_masks_are_what_they_were_drawn_from(tmp_path: Path, masks: str):
    root = make(tmp_path / "mine", masks)
    keys = keys_of(root, masks)
    out = tmp_path / "raw"
    out.mkdir()
    selection = folder.fetch(fetch_config(keys), out)
    assert selection == {"images": {"pictures": 8, "selected": 8}}
    found = entries(out, keys)
    assert sorted(sample.id for sample in found) == NAMES
    for sample in found:
        ids_HW = ids_of(sample.id)
        for plane_HW, label in zip(sample.planes_KHW, keys["classes"], strict=True):
            np.testing.assert_array_equal(plane_HW, ids_HW == ["background", "cat", "dog"].index(label))
        if masks == "ids":
            np.testing.assert_array_equal(sample.ignore_HW, ids_HW == 255)
        if masks == "coco":
            assert [k for k, _ in sample.objects] == [1, 0]  # of the cat, then of the dog
    again = entries(root, keys)  # where it is, without a fetch
    assert [sample.id for sample in again] == [sample.id for sample in found]


def test_a_fetch_leaves_the_folder_as_it_was_and_shares_no_file_with_it(tmp_path: Path):
    root = make(tmp_path / "mine", lists={"train": "p0\np1.png\n", "val": "images/p2.png\n", "test": "# none\n\np3\n"})
    (root / "images/notes.txt").write_text("notes")
    (root / "masks/p9.jpg").write_text("no mask")
    before = {path: (path.stat(), path.read_bytes()) for path in root.rglob("*") if path.is_file()}
    out = tmp_path / "raw"
    out.mkdir()
    assert folder.fetch(fetch_config(keys_of(root)), out) == {"images": {"pictures": 8, "selected": 4}}
    for path, (stat, content) in before.items():
        assert path.read_bytes() == content
        assert (path.stat().st_mtime_ns, path.stat().st_mode, path.stat().st_nlink) == (
            stat.st_mtime_ns, stat.st_mode, 1)
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names == {"train.txt", "val.txt", "test.txt"} | {f"{place}/p{i}.png" for place in ("images", "masks")
                                                            for i in range(4)}
    splits = {split: [sample.id for sample in entries(out, keys_of(root), split)] for split in folder.SPLITS}
    assert splits == {"train": ["p0", "p1"], "val": ["p2"], "test": ["p3"]}


def test_a_picture_keeps_its_split_when_others_join(tmp_path: Path):
    few = make(tmp_path / "few")
    more = make(tmp_path / "more", names=[f"p{i}" for i in range(60)])
    splits = [{entry.id: split for split in folder.SPLITS for entry in entries(root, keys_of(root), split)}
              for root in (few, more)]
    assert splits[0].items() <= splits[1].items()
    assert set(splits[1].values()) == {"train", "val", "test"}


def test_without_val_txt_val_is_drawn_from_train_alone(tmp_path: Path):
    names = [f"p{i}" for i in range(60)]
    root = make(tmp_path / "mine", names=names, lists={"train": "\n".join(names[:50]), "test": "\n".join(names[50:])})
    test = {entry.id for entry in entries(root, keys_of(root), "test")}
    train, val = ({entry.id for entry in entries(root, keys_of(root), split)} for split in ("train", "val"))
    assert test == set(names[50:])
    assert train | val == set(names[:50])
    assert 4 <= len(val) <= 22  # a quarter of 50: 12.5, three standard deviations of 3.1


@pytest.mark.parametrize(("lists", "said"), [
    ({"train": "p0\np1", "test": "p1"}, "p1 stands in train.txt and in test.txt"),
    ({"train": "p0", "val": "p1"}, "has train.txt, val.txt, but no test: take some"),
    ({"val": "p1"}, "has val.txt, but no test and no train: add it"),
])
def test_lists_that_contradict_are_refused(tmp_path: Path, lists: dict[str, str], said: str):
    root = make(tmp_path / "mine", lists=lists)
    for act in (lambda: folder.fetch(fetch_config(keys_of(root)), tmp_path), lambda: entries(root, keys_of(root))):
        with pytest.raises(ValueError, match=said):
            act()


def test_ids_that_are_ignored_are_passed_over_in_counting(tmp_path: Path):
    root = make(tmp_path / "mine")
    keys = keys_of(root, classes=["cat", "dog"], ignore=[0, 255])
    for sample in entries(root, keys):
        ids_HW = ids_of(sample.id)
        np.testing.assert_array_equal(sample.planes_KHW, [ids_HW == 1, ids_HW == 2])
        np.testing.assert_array_equal(sample.ignore_HW, (ids_HW == 0) | (ids_HW == 255))


def test_ids_may_stand_in_palettes_and_in_sixteen_bits(tmp_path: Path):
    root = make(tmp_path / "mine")
    with_palette = Image.fromarray(ids_of("p0"))
    with_palette.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    with_palette.save(root / "masks/p0.png")
    (root / "masks/p1.png").unlink()
    Image.fromarray(ids_of("p1").astype(np.uint16) * 3).save(root / "masks/p1.tif")
    keys = keys_of(root, classes=["background", *(f"c{i}" for i in range(1, 7))], ignore=[255, 765])
    found = {entry.id: entry for entry in entries(root, keys)}
    np.testing.assert_array_equal(found["p0"].planes_KHW[2], ids_of("p0") == 2)
    np.testing.assert_array_equal(found["p1"].planes_KHW[6], ids_of("p1") == 2)


@pytest.mark.parametrize(("spoil", "what", "said"), [
    (lambda root: (root / "masks/p3.png").unlink(), "picture", "no mask has its name"),
    (lambda root: (root / "images/p3.png").unlink(), "file", "a mask without a picture"),
    (lambda root: save(root / "masks/p3.png", ids_of("p3").T), "picture", "its mask is 20×30, the picture 30×20"),
    (lambda root: save(root / "masks/p3.png", ids_of("p3") // 25), "picture", "neither a class nor ignored: 10"),
    (lambda root: save(root / "masks/p3.png", np.full((*SIZE, 3), (9, 8, 7), np.uint8)), "picture",
     "colours that are neither a class nor ignored: #090807"),
    (lambda root: (root / "masks/p3.png").write_bytes(b"no"), "picture", "its mask: p3.png cannot be read"),
    (lambda root: (root / "images/p3.png").write_bytes(b"no"), "picture", "p3.png cannot be read as a picture"),
    (lambda root: shutil.copy(root / "images/p3.png", root / "images/p3.JPG"), "picture",
     "several pictures have its name: images/p3.JPG and images/p3.png"),
])
def test_what_is_wrong_with_a_picture_is_one_rejection(tmp_path: Path, spoil: Any, what: str, said: str):
    root = make(tmp_path / "mine")
    spoil(root)
    found = rejection(root, keys_of(root))
    assert (found.id, found.what) == ("p3", what)
    assert re.search(said, found.reason)
    assert len(entries(root, keys_of(root))) == 8


def test_a_listed_picture_that_is_not_there_counts_as_a_picture(tmp_path: Path):
    root = make(tmp_path / "mine", lists={"train": "p0\np1\ngone.jpg", "test": "p2"})
    found = rejection(root, keys_of(root))
    assert (found.id, found.what, found.reason) == ("gone", "picture", "listed, but not there")


def test_what_follows_a_dot_in_a_listed_name_is_no_suffix_unless_pictures_have_it(tmp_path: Path):
    root = make(tmp_path / "mine", lists={"train": "p0.v2\np1\np3", "test": "p2.png"})
    assert {entry.id for entry in entries(root, keys_of(root), "train") if isinstance(entry, Sample)} <= {"p1", "p3"}
    assert rejection(root, keys_of(root)).id == "p0.v2"
    assert [entry.id for entry in entries(root, keys_of(root), "test")] == ["p2"]


def test_no_mask_of_one_class_says_it_is_not_there_and_none_at_all_says_nothing(tmp_path: Path):
    root = make(tmp_path / "mine", "folders")
    (root / "masks/dog/p1.png").unlink()
    for label in ("cat", "dog"):
        (root / f"masks/{label}/p2.png").unlink()
    found = {entry.id: entry for entry in entries(root, keys_of(root, "folders"))}
    assert found["p1"].planes_KHW.any((1, 2)).tolist() == [False, True]
    assert found["p2"].reason.startswith("no mask has its name, not even an empty one: set unlisted: skip")


def test_names_that_no_table_can_hold_are_refused(tmp_path: Path):
    root = make(tmp_path / "mine")
    (root / "train.txt").write_bytes("p0\npé".encode("latin-1"))
    (root / "test.txt").write_text("p1")
    with pytest.raises(ValueError, match="train.txt is not text in UTF-8"):
        entries(root, keys_of(root))
    (root / "train.txt").unlink()
    (root / "test.txt").unlink()
    path = os.fsencode(root / "images") + b"/p\xe9.png"
    try:
        Path(os.fsdecode(path)).write_bytes(b"")
    except OSError:
        pytest.skip("this file system has no such names itself")
    with pytest.raises(ValueError, match=r"a file whose name is not UTF-8, b'p\\xe9.png': rename it"):
        entries(root, keys_of(root))


@pytest.mark.parametrize(("masks", "classes", "said"), [
    ("folders", ["dgo"], "no folder for the class 'dgo': did you mean 'dog'"),
    ("coco", ["dgo"], "no category 'dgo': did you mean 'dog'"),
])
def test_a_class_that_is_not_there_names_the_nearest(tmp_path: Path, masks: str, classes: list[str], said: str):
    root = make(tmp_path / "mine", masks)
    with pytest.raises(ValueError, match=said):
        folder.fetch(fetch_config(keys_of(root, masks, classes=classes)), tmp_path)


@pytest.mark.parametrize(("masks", "said"), [("ids", "holds no masks"), ("folders", "holds no folders at all"),
                                             ("coco", "holds no annotations.json")])
def test_a_folder_without_masks_or_pictures_says_what_is_missing(tmp_path: Path, masks: str, said: str):
    with pytest.raises(ValueError, match="images holds no pictures"):
        folder.fetch(fetch_config(keys_of(tmp_path / "nowhere", masks)), tmp_path)
    root = make(tmp_path / "mine", "none")
    with pytest.raises(ValueError, match=said):
        folder.fetch(fetch_config(keys_of(root, masks)), tmp_path)


def test_pictures_are_taken_as_stored_because_masks_are(tmp_path: Path):
    root = make(tmp_path / "mine", names=["p0"])
    keys = keys_of(root, **ALL_TRAIN)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    with Image.open(root / "images/p0.png") as image:
        stored = np.asarray(image)
        image.save(root / "images/p0.png", exif=exif)
    (sample,) = entries(root, keys)
    np.testing.assert_array_equal(sample.image_HWC, stored)


def test_odd_and_damaged_pictures_are_samples_or_rejections(tmp_path: Path, hostile_images: Path):
    root = tmp_path / "mine"
    (root / "images").mkdir(parents=True)
    files = [path for path in hostile_images.rglob("*") if path.suffix in (".jpg", ".png")]
    for path in files:
        shutil.copyfile(path, root / "images" / f"{path.stem}_{path.suffix[1:]}{path.suffix}")  # one name, one picture
    for path in (root / "images").iterdir():
        try:
            with Image.open(path) as image:
                size = image.size
        except OSError:
            size = (5, 5)
        save(root / f"masks/{path.stem}.png", np.zeros(size[::-1], np.uint8))
    found = entries(root, keys_of(root))
    assert len(found) == len(files) == 16
    assert {entry.source for entry in found if isinstance(entry, Rejection)} >= {"images/corrupt_jpg.jpg",
                                                                                 "images/sigsegv_png.png"}
    assert sum(isinstance(entry, Sample) for entry in found) >= 10


def test_a_real_instance_mask_is_a_class_folder_as_it_is(tmp_path: Path, pennfudan: Path):
    """Penn-Fudan's mask numbers its pedestrians: as class ids they are refused, as one class's mask they are right."""
    root = tmp_path / "mine"
    for target, name in (("images/a.png", "FudanPed00054.png"), ("masks/pedestrian/a.png", "FudanPed00054_mask.png"),
                         ("masks/a.png", "FudanPed00054_mask.png")):
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pennfudan / name, root / target)
    (root / "train.txt").write_text("a")
    (root / "test.txt").write_text("")
    keys = keys_of(root, "folders", classes=["pedestrian"], val_fraction=0.0)
    (sample,) = entries(root, keys)
    with Image.open(pennfudan / "FudanPed00054_mask.png") as mask:
        numbers_HW = np.asarray(mask)
    np.testing.assert_array_equal(sample.planes_KHW[0], numbers_HW > 0)
    refused = rejection(root, keys | {"masks": "ids", "classes": ["background", "pedestrian"]})
    assert refused.reason.startswith("its mask holds values that are neither a class nor ignored: 2, 3;")


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("masks", ["ids", "folders", "coco"])
def test_a_folder_becomes_a_prepared_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, masks: str,
                                             processes: int):
    monkeypatch.setattr(workers, "FEW", 0)
    root = make(tmp_path / "mine", masks, names=[f"p{i}" for i in range(30)])
    out, raw, keys = tmp_path / "out", tmp_path / "raw", keys_of(root, masks)
    out.mkdir()
    raw.mkdir()
    write_json(raw / readers.SELECTION, folder.fetch(fetch_config(keys), raw))
    root.rename(tmp_path / "moved")  # the raw folder stands on its own
    contents = prepare.prepare(raw, prepare_config(keys), out, processes=processes)
    info = store.DatasetInfo.read(out)
    assert info.task.name == ("multiclass" if masks == "ids" else "multilabel") and sum(contents.counts.values()) == 30
    split = store.Split.open(out, "val")
    for i, name in enumerate(split.index()["id"]):
        resized = np.asarray(Image.fromarray(ids_of(name)).resize((16, 16), Image.Resampling.NEAREST))
        dog_and_cat = (resized == 2) | (resized == 1) << 1
        np.testing.assert_array_equal(split.masks[i], resized if masks == "ids" else dog_and_cat)
