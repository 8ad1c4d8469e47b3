"""`check` on datasets with one known flaw each: what it finds is what was put there, and no more."""

import fnmatch
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglib import tasks
from seglib.datasets import check, folder, readers, shapes, stanford
from seglib.datasets.measure import Measurer
from seglib.datasets.samples import Description, Sample
from seglib.datasets.survey import Survey
from seglib.files import write_json
from tests.conftest import fetch_config, prepare_config
from tests.datasets.folders import CONFIG
from tests.datasets.test_stanford import original

CLASSES = ["background", "cat", "dog"]
COUNTS = {"train": 20, "val": 10, "test": 10}
SIZE = (20, 20)


def picture(name: str, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(list(name.encode())).integers(0, 256, (*size, 3), np.uint8)


def ids_of(name: str, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(list(name.encode())).choice(np.array([0, 1, 2, 255], np.uint8), size)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a flaw, of pictures train0, train1 … val0 … test9."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    root = tmp_path / "mine"
    for split, count in COUNTS.items():
        names = [f"{split}{i}" for i in range(count)]
        for name in names:
            save(root / f"images/{name}.png", picture(name))
            save(root / f"masks/{name}.png", ids_of(name))
        (root / f"{split}.txt").write_text("\n".join(names))
    return root


def keys_of(**changed: Any) -> dict[str, Any]:
    return CONFIG | {"path": "mine", "classes": CLASSES, "val_fraction": 0.1, "test_fraction": 0.2,
                     "max_rejected": 0.05} | changed


def noticed(**changed: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    """All findings but the one that every dataset of ids has."""
    findings = check.run("mine", prepare_config(keys_of(**changed))).findings
    return [(finding.level, finding.text, finding.names) for finding in findings
            if not finding.text.startswith("ids in masks stand for")]


def test_nothing_is_found_where_nothing_is_wrong(mine: Path):
    report = check.run("mine", prepare_config(keys_of()))
    assert [finding.text for finding in report.findings] == [
        "ids in masks stand for: 0 background, 1 cat, 2 dog; ignored: 255"]
    assert not report.failed
    assert report.pictures == COUNTS
    for split, count in COUNTS.items():
        counts = np.bincount(np.concatenate([ids_of(f"{split}{i}").ravel() for i in range(count)]), minlength=256)
        assert report.class_pixels[split] == counts[:3].tolist()
        assert (report.valid_pixels[split], report.ignored_pixels[split]) == (counts[:3].sum(), counts[255])
    lines = [line.split() for line in report.render().splitlines()]
    assert ["pictures", "20", "10", "10"] in lines
    shares = [report.class_pixels[split][1] / report.valid_pixels[split] for split in COUNTS]
    assert ["cat", *(f"{share:.2%}" for share in shares)] in lines


def lack_class(mine: Path, split: str) -> None:
    for i in range(COUNTS[split]):
        name = f"{split}{i}"
        save(mine / f"masks/{name}.png", np.where(ids_of(name) == 2, np.uint8(0), ids_of(name)))


def resave(mine: Path, name: str, size: tuple[int, int]) -> None:
    save(mine / f"images/{name}.png", picture(name, size))
    save(mine / f"masks/{name}.png", ids_of(name, size))


def one_pixel(mine: Path) -> None:
    for split, count in COUNTS.items():
        for i in range(count):
            mask_HW = np.zeros((100, 100), np.uint8)
            mask_HW[50:60, 50:60] = 1
            mask_HW[1, 1] = 2 if i < 8 else 0
            save(mine / f"images/{split}{i}.png", picture(f"{split}{i}", (100, 100)))
            save(mine / f"masks/{split}{i}.png", mask_HW)


def stray(mine: Path) -> None:
    (mine / "images/notes.txt").write_text("notes")
    save(mine / "images/more/a.png", picture("a"))
    (mine / "masks/train0.jpg").write_bytes(b"a mask that JPEG would have spoilt")


def turn(mine: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (mine / "images/train4.png").unlink()
    Image.fromarray(picture("train4")).save((mine / "images/train4").with_suffix(suffix), exif=exif)


FLAWS = {
    "no mask": (lambda mine: [(mine / f"masks/train{i}.png").unlink() for i in (3, 4)], [
        ("warning", "2 pictures left out: no mask has its name", ("images/train3.png", "images/train4.png"))]),
    "no picture": (lambda mine: (mine / "images/train3.png").unlink(), [
        ("warning", "1 file left out: a mask without a picture", ("masks/train3.png",))]),
    "sizes": (lambda mine: [save(mine / f"masks/train{i}.png", ids_of("a", (20, 20 + i))) for i in (1, 2)], [
        ("warning", "2 pictures left out: its mask is 21×20, the picture 20×20, and the like",
         ("images/train1.png", "images/train2.png"))]),
    "unreadable": (lambda mine: [(mine / f"images/val{i}.png").write_bytes(b"no") for i in (1, 2, 3)], [
        ("error", "3 of 40 pictures cannot be used, more than prepare.max_rejected (0.05) allows", ()),
        ("warning", "3 pictures left out: val1.png cannot be read as a picture: it is none of *, and the like",
         ("images/val1.png", "images/val2.png", "images/val3.png")),
        ("warning", "val has 7 pictures: scores on it will say little", ())]),
    "ids": (lambda mine: save(mine / "masks/test0.png", ids_of("test0") // 2), [
        ("warning", "1 picture left out: its mask holds values that are neither a class nor ignored: 127; map them *",
         ("images/test0.png",)), ("warning", "test has 9 pictures: scores on it will say little", ())]),
    "train lacks a class": (lambda mine: lack_class(mine, "train"), [
        ("error", "the class dog never occurs in train: no network can learn it. *.allow: [[]absent_class]", ())]),
    "val lacks a class": (lambda mine: lack_class(mine, "val"), [
        ("error", "the class dog never occurs in val: a mean there is over 2 of 3 classes. *[[]unscored_class]", ())]),
    "leak": (lambda mine: [shutil.copyfile(mine / "images/train1.png", mine / f"images/test{i}.png") for i in (2, 5)], [
        ("error", "2 pictures in two splits, pixel for pixel: scores will flatter",
         ("test2 (test) = train1 (train)", "test5 (test) = train1 (train)"))]),
    "repeat": (lambda mine: shutil.copyfile(mine / "images/train1.png", mine / "images/train2.png"), [
        ("warning", "1 picture the same as another of the split, pixel for pixel", ("train2 = train1",))]),
    "empty split": (lambda mine: (mine / "val.txt").write_text(""), [
        ("note", "10 pictures in none of the split lists", ("val0", "val1", "val2")),
        ("error", "the split val is empty", ())]),
    "in two lists": (lambda mine: (mine / "val.txt").write_text("val0\ntrain0"), [
        ("error", "train0 stands in train.txt and in val.txt: a picture belongs to one", ())]),
    "mostly ignored": (lambda mine: save(mine / "masks/train7.png", np.where(
        np.arange(400).reshape(SIZE) < 361, 255, 1).astype(np.uint8)), [
        ("warning", "1 picture with more than 90% of the pixels ignored", ("train7",))]),
    "nine tenths ignored": (lambda mine: save(mine / "masks/train7.png", np.where(
        np.arange(400).reshape(SIZE) < 360, 255, 1).astype(np.uint8)), []),
    "another shape": (lambda mine: (resave(mine, "train0", (20, 25)), resave(mine, "train1", (40, 20))), [
        ("warning", "1 picture distorted by more than 1.25 (at most 2.00) at 16×16 with resize: stretch",
         ("train1",))]),
    "small": (lambda mine: (resave(mine, "train0", (8, 8)), resave(mine, "train1", (7, 8))), [
        ("note", "1 picture enlarged more than 2 times to 16×16", ("train1",))]),
    "too small a class": (one_pixel, [
        ("warning", "the class dog has 0.004% of train's pixels: weigh classes (ce), or take a loss of overlap (dice)",
         ()), ("warning", "24 pictures with a class lost altogether at 16×16, too small or cut away",
               ("train0", "train1", "train2"))]),
    "strays": (stray, [("note", "2 files neither a picture (in images/) nor a mask (as masks: ids has it)",
                        ("images/notes.txt", "masks/train0.jpg")),
                       ("note", "1 picture in none of the split lists", ("more/a",))]),
    "orientation": (lambda mine: turn(mine, ".png"), [
        ("warning", "1 picture with an EXIF orientation, whose masks fit the picture as it is stored and *",
         ("train4",))]),
    "orientation of a TIFF": (lambda mine: turn(mine, ".tif"), [
        ("warning", "1 picture with an EXIF orientation, whose masks fit the picture as it is stored and *",
         ("train4",))]),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_found_and_counted(mine: Path, flaw: str):
    spoil, expected = FLAWS[flaw]
    spoil(mine)
    found = noticed()
    assert len(found) == len(expected), found
    for (level, text, names), (expected_level, expected_text, expected_names) in zip(found, expected, strict=True):
        assert (level, names) == (expected_level, expected_names)
        assert fnmatch.fnmatchcase(text, expected_text)
    assert check.run("mine", prepare_config(keys_of())).failed == any(level == "error" for level, _, _ in expected)
    for _, text, _ in found:
        assert text in check.run("mine", prepare_config(keys_of())).render()


@pytest.mark.parametrize(("resize", "said"), [
    ("crop", [("warning", "1 picture cut by more than 25% of the area (at most 50%) at 16×16 with resize: crop")]),
    ("pad", [("note", "1 picture with more than 25% of the frame empty (at most 50%) at 16×16 with resize: pad")]),
])
def test_what_crop_cuts_and_pad_leaves_empty(mine: Path, resize: str, said: list[tuple[str, str]]):
    resave(mine, "train0", (20, 40))
    resave(mine, "train1", (20, 25))  # a fifth of it, or of the frame
    assert [(level, text) for level, text, _ in noticed(resize=resize)] == said


def test_a_folder_that_changed_since_its_fetch_is_told(mine: Path, tmp_path: Path):
    raw = tmp_path / "data/raw/mine/fetched"
    raw.mkdir(parents=True)
    write_json(raw / readers.SELECTION, folder.fetch(fetch_config(keys_of()), raw))
    assert noticed() == []
    save(mine / "masks/val1.png", np.fliplr(ids_of("val1")))
    save(mine / "images/val9.png", picture("another"))
    ((_, text, names),) = noticed()
    assert text == "2 files changed since the fetch: run `dvc repro -f fetch@mine`"
    assert names == ("images/val9.png", "masks/val1.png")


def test_what_is_not_there_is_said(mine: Path, tmp_path: Path):
    assert [text for _, text, _ in noticed(path="yours")] == [
        f"{tmp_path / 'yours'} is not there: give its path as datasets.mine.path"]
    report = check.run("coco", prepare_config({"kind": "coco", "classes": ["cake"], "image_size": 64, "min_box": 0.0,
                                               "instances": "any"}))
    assert report.failed
    place = tmp_path / "data/raw/coco/fetched"
    assert report.render() == (f"coco: {place}\n\nerror: not fetched yet: name coco in run.datasets and run `dvc repro "
                               "fetch@coco`\n\n1 error, 0 warnings, 0 notes")


def test_other_kinds_are_checked_where_they_were_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    keys = {"kind": "stanford", "source": str(original(tmp_path, 60)), "unknown": "ignore", "image_size": 32,
            "resize": "pad", "val_fraction": 0.25, "test_fraction": 0.25, "max_rejected": 0.0}
    raw = tmp_path / "data/raw/stanford/fetched"
    raw.mkdir(parents=True)
    stanford.fetch(fetch_config(keys), raw)
    (raw / "labels/0000007.regions.txt").unlink()
    report = check.run("stanford", prepare_config(keys))
    assert [(finding.level, finding.names) for finding in report.findings if "without labels" in finding.text] == [
        ("warning", ("images/0000007.jpg",))]
    assert sum(report.pictures.values()) == 59
    keys = {"kind": "shapes", "source": "generated", "train_images": 30, "test_images": 12, "seed": 1,
            "background": "dark", "val_fraction": 0.1, "max_rejected": 0.0}
    raw = tmp_path / "data/raw/shapes/fetched"
    raw.mkdir(parents=True)
    shapes.fetch(fetch_config(keys), raw)
    report = check.run("shapes", prepare_config(keys))
    assert (report.pictures, report.findings) == ({"train": 30, "test": 12}, [])


def test_a_pixel_that_is_ignored_counts_for_no_class():
    description = Description(task=tasks.get("multilabel"), classes=["cat"], label_values=[250.0], image_size=SIZE)
    survey = Survey(description, prepare_config(keys_of()))
    sample = Sample(id="a", source="a.png", image_HWC=picture("a"), planes_KHW=np.ones((1, *SIZE), bool),
                    ignore_HW=np.arange(400).reshape(SIZE) < 100, objects=[], licence="")
    for measured in Measurer(size=SIZE, mode="stretch").measure(sample):
        survey.add("train", measured)
    assert survey.truth.class_pixels["train"].tolist() == [survey.truth.valid_pixels["train"]] == [300]


def test_memory_does_not_grow_with_the_dataset(mine: Path):
    def peak() -> int:
        tracemalloc.start()
        check.run("mine", prepare_config(keys_of()))
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest
    size = (256, 256)  # a picture, its planes and its resized form take about a megabyte
    for i in range(4):
        resave(mine, f"train{i}", size)
    few = peak()
    for i in range(4, 20):
        resave(mine, f"train{i}", size)
    assert peak() < few + 200_000
