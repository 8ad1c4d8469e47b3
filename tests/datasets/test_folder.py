"""A folder of one's own in each of its forms; masks are judged by the arrays they were written from."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from seglib.datasets import folder, prepare, store, workers
from seglib.datasets.samples import Rejection, Sample, done
from seglib.files import write_json
from tests.conftest import SHARED

CONFIG = {"kind": "folder", "masks": "ids", "classes": ["background", "cat", "dog"], "ignore": [255],
          "image_size": 16, "resize": "stretch", "val_fraction": 0.25, "test_fraction": 0.3, "max_rejected": 0.0}
NAMES = [f"p{i}" for i in range(8)]
SIZE = (20, 30)


def ids_of(name: str) -> np.ndarray:
    """Ids 0, 1, 2 and 255, uint8 (H, W)."""
    return np.random.default_rng(list(name.encode())).choice(np.array([0, 1, 2, 255], np.uint8), SIZE)


def make(root: Path, masks: str = "ids", names: list[str] = NAMES, lists: dict[str, str] | None = None) -> Path:
    (root / "images").mkdir(parents=True)
    annotations = []
    for number, name in enumerate(names):
        picture = np.random.default_rng(list(name.encode())).integers(0, 256, (*SIZE, 3), np.uint8)
        Image.fromarray(picture).save(root / f"images/{name}.png")
        if masks == "ids":
            save(root / f"masks/{name}.png", ids_of(name))
        for k, label in enumerate(("cat", "dog"), start=1):
            if masks == "folders":
                save(root / f"masks/{label}/{name}.png", (ids_of(name) == k) * np.uint8(40 * k))
            if masks == "coco":
                counts = coco_mask.encode(np.asfortranarray(ids_of(name) == k, np.uint8))
                annotations.append({"id": 2 * number + k, "image_id": 100 + number, "category_id": 10 * k, "iscrowd": 0,
                                    "segmentation": counts | {"counts": counts["counts"].decode()}})
    if masks == "coco":
        (root / "annotations.json").write_text(json.dumps({
            "images": [{"id": 100 + i, "file_name": f"elsewhere/{name}.png", "height": SIZE[0], "width": SIZE[1]}
                       for i, name in enumerate(names)],
            "annotations": annotations, "categories": [{"id": 10, "name": "cat"}, {"id": 20, "name": "dog"}]}))
    for split, content in (lists or {}).items():
        (root / f"{split}.txt").write_text(content)
    return root


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def config_of(root: Path, masks: str = "ids", **changed: Any) -> dict[str, Any]:
    classes = CONFIG["classes"] if masks == "ids" else ["dog", "cat"]
    return CONFIG | {"path": str(root), "masks": masks, "classes": classes} | changed


def fetch_config(config: dict[str, Any]) -> dict[str, Any]:
    """What `fetch` is given: see `Folder.fetch_keys` in seglib.params.datasets."""
    return {key: config[key] for key in ("kind", "path", "masks", "classes")}


def entries(root: Path, config: dict[str, Any], split: str | None = None) -> list[Sample | Rejection]:
    splits = [split] if split else folder.SPLITS
    return [entry for name in splits for entry in done(folder.read(root, config, name))]


def rejection(root: Path, config: dict[str, Any]) -> Rejection:
    (found,) = [entry for entry in entries(root, config) if isinstance(entry, Rejection)]
    return found


@pytest.fixture
def pennfudan() -> Path:
    path = SHARED / "pennfudan"
    if not path.exists():
        pytest.skip(f"no real pictures: {path} is not there")
    return path


@pytest.mark.parametrize("masks", ["ids", "folders", "coco"])
def test_masks_are_what_they_were_drawn_from(tmp_path: Path, masks: str):
    root = make(tmp_path / "mine", masks)
    config = config_of(root, masks)
    out = tmp_path / "raw"
    out.mkdir()
    selection = folder.fetch(fetch_config(config), out)
    assert selection == {"images": {"pictures": 8, "selected": 8}}
    found = entries(out, config)
    assert sorted(sample.id for sample in found) == NAMES
    for sample in found:
        ids_HW = ids_of(sample.id)
        for plane_HW, label in zip(sample.planes_KHW, config["classes"], strict=True):
            np.testing.assert_array_equal(plane_HW, ids_HW == ["background", "cat", "dog"].index(label))
        if masks == "ids":
            np.testing.assert_array_equal(sample.ignore_HW, ids_HW == 255)
        if masks == "coco":
            assert [k for k, _ in sample.objects] == [1, 0]  # of the cat, then of the dog
    again = entries(root, config)  # where it is, without a fetch
    assert [sample.id for sample in again] == [sample.id for sample in found]


def test_a_fetch_leaves_the_folder_as_it_was_and_shares_no_file_with_it(tmp_path: Path):
    root = make(tmp_path / "mine", lists={"train": "p0\np1.png\n", "val": "images/p2.png\n", "test": "# none\n\np3\n"})
    (root / "images/notes.txt").write_text("notes")
    (root / "masks/p9.jpg").write_text("no mask")
    before = {path: (path.stat(), path.read_bytes()) for path in root.rglob("*") if path.is_file()}
    out = tmp_path / "raw"
    out.mkdir()
    assert folder.fetch(fetch_config(config_of(root)), out) == {"images": {"pictures": 8, "selected": 4}}
    for path, (stat, content) in before.items():
        assert path.read_bytes() == content
        assert (path.stat().st_mtime_ns, path.stat().st_mode, path.stat().st_nlink) == (
            stat.st_mtime_ns, stat.st_mode, 1)
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names == {"train.txt", "val.txt", "test.txt"} | {f"{place}/p{i}.png" for place in ("images", "masks")
                                                            for i in range(4)}
    splits = {split: [sample.id for sample in entries(out, config_of(root), split)] for split in folder.SPLITS}
    assert splits == {"train": ["p0", "p1"], "val": ["p2"], "test": ["p3"]}


def test_a_picture_keeps_its_split_when_others_join(tmp_path: Path):
    few = make(tmp_path / "few")
    more = make(tmp_path / "more", names=[f"p{i}" for i in range(60)])
    splits = [{entry.id: split for split in folder.SPLITS for entry in entries(root, config_of(root), split)}
              for root in (few, more)]
    assert splits[0].items() <= splits[1].items()
    assert set(splits[1].values()) == {"train", "val", "test"}


def test_without_val_txt_val_is_drawn_from_train_alone(tmp_path: Path):
    names = [f"p{i}" for i in range(60)]
    root = make(tmp_path / "mine", names=names, lists={"train": "\n".join(names[:50]), "test": "\n".join(names[50:])})
    test = {entry.id for entry in entries(root, config_of(root), "test")}
    train, val = ({entry.id for entry in entries(root, config_of(root), split)} for split in ("train", "val"))
    assert test == set(names[50:])
    assert train | val == set(names[:50])
    assert 4 <= len(val) <= 22  # a quarter of 50: 12.5, three standard deviations of 3.1


@pytest.mark.parametrize(("lists", "said"), [
    ({"train": "p0\np1", "test": "p1"}, "p1 stands in train.txt and in test.txt"),
    ({"train": "p0", "val": "p1"}, "has train.txt, val.txt, but no test.txt"),
    ({"val": "p1"}, "no test.txt and no train.txt"),
])
def test_lists_that_contradict_are_refused(tmp_path: Path, lists: dict[str, str], said: str):
    root = make(tmp_path / "mine", lists=lists)
    for act in (lambda: folder.fetch(config_of(root), tmp_path), lambda: entries(root, config_of(root))):
        with pytest.raises(ValueError, match=said):
            act()


def test_ids_that_are_ignored_are_passed_over_in_counting(tmp_path: Path):
    root = make(tmp_path / "mine")
    config = config_of(root, classes=["cat", "dog"], ignore=[0, 255])
    for sample in entries(root, config):
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
    config = config_of(root, classes=["background", *(f"c{i}" for i in range(1, 7))], ignore=[255, 765])
    found = {entry.id: entry for entry in entries(root, config)}
    np.testing.assert_array_equal(found["p0"].planes_KHW[2], ids_of("p0") == 2)
    np.testing.assert_array_equal(found["p1"].planes_KHW[6], ids_of("p1") == 2)


@pytest.mark.parametrize(("spoil", "what", "said"), [
    (lambda root: (root / "masks/p3.png").unlink(), "picture", "no mask has its name"),
    (lambda root: (root / "images/p3.png").unlink(), "file", "a mask without a picture"),
    (lambda root: save(root / "masks/p3.png", ids_of("p3").T), "picture", "its mask is 20×30, the picture 30×20"),
    (lambda root: save(root / "masks/p3.png", ids_of("p3") // 25), "picture", "neither a class nor ignored: 10"),
    (lambda root: save(root / "masks/p3.png", np.zeros((*SIZE, 3), np.uint8)), "picture", "its mask: .* mode RGB"),
    (lambda root: (root / "masks/p3.png").write_bytes(b"no"), "picture", "its mask: p3.png cannot be read"),
    (lambda root: save(root / "masks/p3.tif", ids_of("p3")), "picture", "2 masks have its name"),
    (lambda root: (root / "images/p3.png").write_bytes(b"no"), "picture", "p3.png cannot be read as a picture"),
    (lambda root: shutil.copy(root / "images/p3.png", root / "images/p3.JPG"), "picture", "2 pictures have its name"),
])
def test_what_is_wrong_with_a_picture_is_one_rejection(tmp_path: Path, spoil: Any, what: str, said: str):
    root = make(tmp_path / "mine")
    spoil(root)
    found = rejection(root, config_of(root))
    assert (found.id, found.what) == ("p3", what)
    assert re.search(said, found.reason)
    assert len(entries(root, config_of(root))) == 8


def test_a_listed_picture_that_is_not_there_counts_as_a_picture(tmp_path: Path):
    root = make(tmp_path / "mine", lists={"train": "p0\np1\ngone.jpg", "test": "p2"})
    found = rejection(root, config_of(root))
    assert (found.id, found.what, found.reason) == ("gone", "picture", "listed, but not there")


def test_what_follows_a_dot_in_a_listed_name_is_no_suffix_unless_pictures_have_it(tmp_path: Path):
    root = make(tmp_path / "mine", names=["p0", "p1", "p2"], lists={"train": "p0.v2\np1", "test": "p2.png"})
    assert {entry.id for entry in entries(root, config_of(root), "train") if isinstance(entry, Sample)} == {"p1"}
    assert rejection(root, config_of(root)).id == "p0.v2"
    assert [entry.id for entry in entries(root, config_of(root), "test")] == ["p2"]


def test_no_mask_of_one_class_says_it_is_not_there_and_none_at_all_says_nothing(tmp_path: Path):
    root = make(tmp_path / "mine", "folders")
    (root / "masks/dog/p1.png").unlink()
    for label in ("cat", "dog"):
        (root / f"masks/{label}/p2.png").unlink()
    found = {entry.id: entry for entry in entries(root, config_of(root, "folders"))}
    assert found["p1"].planes_KHW.any((1, 2)).tolist() == [False, True]
    assert found["p2"].reason == "no mask has its name, not even an empty one"


def rewrite(root: Path, change: Any) -> None:
    path = root / "annotations.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_coco_file_with_warts(tmp_path: Path):
    root = make(tmp_path / "mine", "coco")

    def change(content: dict) -> None:
        annotations = {(a["image_id"] - 100, a["category_id"] // 10): a for a in content["annotations"]}
        annotations[0, 1]["iscrowd"] = 1
        annotations[1, 1]["segmentation"] = []
        for k in (1, 2):
            del annotations[2, k]["segmentation"]
        content["images"][3]["height"] = 99
        content["images"].append(content["images"][4] | {"id": 999})
        content["images"].append({"id": 1000, "file_name": "gone.jpg"})
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 105]
        content["categories"].append({"id": 5, "name": "cow"})
        content["annotations"].append({"id": 77, "image_id": 106, "category_id": 5, "segmentation": "not looked at"})
    rewrite(root, change)
    found = {(type(entry).__name__, entry.id): entry for entry in entries(root, config_of(root, "coco"))}
    crowd = found["Sample", "p0"]
    assert not crowd.planes_KHW[1].any()
    np.testing.assert_array_equal(crowd.ignore_HW, ids_of("p0") == 1)
    assert "annotation 3: its segmentation cannot be decoded" in found["Rejection", "p1"].reason
    assert found["Rejection", "p1"].what == "annotation"
    np.testing.assert_array_equal(found["Sample", "p1"].planes_KHW[0], ids_of("p1") == 2)
    assert found["Rejection", "p2"].reason.startswith("none of its annotations gave a mask")
    assert found["Rejection", "p3"].reason == "annotations.json says it is 30×99, it is 30×20"
    assert found["Rejection", "p4"].reason == "annotations.json lists 2 pictures of its name"
    assert not found["Sample", "p5"].planes_KHW.any()  # nothing of it is annotated: it holds no class
    assert found["Rejection", "gone"].what == "file"
    assert len(found) == 10


def test_annotations_of_no_picture_and_of_no_category_are_counted(tmp_path: Path):
    root = make(tmp_path / "mine", "coco")

    def change(content: dict) -> None:
        content["annotations"][0]["image_id"] = 5
        content["annotations"][2]["category_id"] = 99
        content["annotations"][4]["segmentation"] = content["annotations"][5]["segmentation"] = [[1, 1, 5, 5]]
    rewrite(root, change)
    found = entries(root, config_of(root, "coco"))
    assert [(e.id, e.what, e.reason) for e in found if isinstance(e, Rejection)] == [
        ("1", "annotation", "its image_id is of no picture"),
        *sorted([("p1", "annotation", "annotation 3: its category 99 is not there"),
                 ("p2", "picture", "none of its annotations gave a mask, such as annotation 5: its segmentation cannot "
                  "be decoded: a polygon of 4 numbers, expected x and y of three corners or more")],
                key=lambda row: [entry.id for entry in found].index(row[0]))]
    samples = {entry.id: entry for entry in found if isinstance(entry, Sample)}
    assert not samples["p0"].planes_KHW[1].any() and not samples["p1"].planes_KHW[1].any()  # the cats


@pytest.mark.parametrize(("change", "said"), [
    (lambda content: content["images"][1].update(id=100), "annotations.json: 2 pictures have the id 100"),
    (lambda content: content["categories"][1].update(id=10), "annotations.json: 2 categories have the id 10"),
    (lambda content: content["categories"][1].update(name="cat"), "annotations.json: 2 categories have the name 'cat'"),
    (lambda content: content["images"][1].update(id={}), r"not in COCO's format: .* at `\$.images\[1\].id`"),
    (lambda content: content["images"][1].update(height="20"), r"at `\$.images\[1\].height`"),
    (lambda content: content["images"][1].pop("file_name"), r"`file_name` - at `\$.images\[1\]`"),
    (lambda content: content["annotations"][1].update(category_id=[1]), r"at `\$.annotations\[1\].category_id`"),
    (lambda content: content["annotations"][1].pop("image_id"), r"`image_id` - at `\$.annotations\[1\]`"),
    (lambda content: content["annotations"][1].update(area=float("nan")), "not in COCO's format: JSON is malformed"),
    (lambda content: content["categories"][1].update(name=None), r"at `\$.categories\[1\].name`"),
])
def test_annotations_that_say_too_little_or_too_much_are_refused(tmp_path: Path, change: Any, said: str):
    root = make(tmp_path / "mine", "coco")
    rewrite(root, change)
    with pytest.raises(ValueError, match=said):
        entries(root, config_of(root, "coco"))


def test_a_licence_nobody_can_make_out_is_not_recorded(tmp_path: Path):
    root = make(tmp_path / "mine", "coco", names=["p0", "p1", "p2"])

    def change(content: dict) -> None:
        content["licenses"] = [{"name": "no id"}, 5, {"id": 1, "name": "by"}]
        for image, licence in zip(content["images"], (1, {}, None), strict=True):
            image["license"] = licence
    rewrite(root, change)
    assert {entry.id: entry.licence for entry in entries(root, config_of(root, "coco"))} == {
        "p0": "by", "p1": "not recorded", "p2": "not recorded"}


def test_names_that_no_table_can_hold_are_refused(tmp_path: Path):
    root = make(tmp_path / "mine")
    (root / "train.txt").write_bytes("p0\npé".encode("latin-1"))
    (root / "test.txt").write_text("p1")
    with pytest.raises(ValueError, match="train.txt is not text in UTF-8"):
        entries(root, config_of(root))
    (root / "train.txt").unlink()
    (root / "test.txt").unlink()
    path = os.fsencode(root / "images") + b"/p\xe9.png"
    try:
        Path(os.fsdecode(path)).write_bytes(b"")
    except OSError:
        pytest.skip("this file system has no such names itself")
    with pytest.raises(ValueError, match=r"a file whose name is not UTF-8, b'p\\xe9.png': rename it"):
        entries(root, config_of(root))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"images": [{}], "annotations": [], "categories": []}',
                                     '{"images": 5, "annotations": [], "categories": []}'])
def test_a_file_that_is_not_cocos_is_a_clear_error(tmp_path: Path, content: str):
    root = make(tmp_path / "mine", "coco")
    (root / "annotations.json").write_text(content)
    with pytest.raises(ValueError, match="annotations.json is not in COCO's format"):
        folder.fetch(config_of(root, "coco"), tmp_path)


@pytest.mark.parametrize(("masks", "classes", "said"), [
    ("folders", ["dgo"], "no folder for the class 'dgo': did you mean 'dog'"),
    ("coco", ["dgo"], "no category 'dgo': did you mean 'dog'"),
])
def test_a_class_that_is_not_there_names_the_nearest(tmp_path: Path, masks: str, classes: list[str], said: str):
    root = make(tmp_path / "mine", masks)
    with pytest.raises(ValueError, match=said):
        folder.fetch(config_of(root, masks, classes=classes), tmp_path)


@pytest.mark.parametrize(("masks", "said"), [("ids", "holds no masks"), ("folders", "holds no folders at all"),
                                             ("coco", "holds no annotations.json")])
def test_a_folder_without_masks_or_pictures_says_what_is_missing(tmp_path: Path, masks: str, said: str):
    with pytest.raises(ValueError, match="images holds no pictures"):
        folder.fetch(config_of(tmp_path / "nowhere", masks), tmp_path)
    root = make(tmp_path / "mine", "none")
    with pytest.raises(ValueError, match=said):
        folder.fetch(config_of(root, masks), tmp_path)


def test_pictures_are_taken_as_stored_because_masks_are(tmp_path: Path):
    root = make(tmp_path / "mine", names=["p0"])
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    with Image.open(root / "images/p0.png") as image:
        stored = np.asarray(image)
        image.save(root / "images/p0.png", exif=exif)
    (sample,) = entries(root, config_of(root))
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
    found = entries(root, config_of(root))
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
    config = config_of(root, "folders", classes=["pedestrian"], val_fraction=0.0)
    (sample,) = entries(root, config)
    with Image.open(pennfudan / "FudanPed00054_mask.png") as mask:
        numbers_HW = np.asarray(mask)
    np.testing.assert_array_equal(sample.planes_KHW[0], numbers_HW > 0)
    refused = rejection(root, config | {"masks": "ids", "classes": ["background", "pedestrian"]})
    assert refused.reason.endswith("ignored: 2, 3")


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("masks", ["ids", "folders", "coco"])
def test_a_folder_becomes_a_prepared_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, masks: str,
                                             processes: int):
    monkeypatch.setattr(workers, "FEW", 0)
    root = make(tmp_path / "mine", masks, names=[f"p{i}" for i in range(30)])
    out, raw, config = tmp_path / "out", tmp_path / "raw", config_of(root, masks)
    out.mkdir()
    raw.mkdir()
    write_json(raw / prepare.SELECTION, folder.fetch(fetch_config(config), raw))
    root.rename(tmp_path / "moved")  # the raw folder stands on its own
    info = prepare.prepare(raw, config, out, processes=processes)
    assert info.task == ("multiclass" if masks == "ids" else "multilabel") and sum(info.counts.values()) == 30
    split = store.Split.open(out, "val")
    for i, name in enumerate(split.index()["id"]):
        resized = np.asarray(Image.fromarray(ids_of(name)).resize((16, 16), Image.Resampling.NEAREST))
        dog_and_cat = (resized == 2) | (resized == 1) << 1
        np.testing.assert_array_equal(split.masks[i], resized if masks == "ids" else dog_and_cat)
