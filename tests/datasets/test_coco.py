"""COCO against pycocotools' own COCO class, on the real sample; rule and masks by hand where the sample has no case."""

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from seglib import tasks
from seglib.configs import DownloadConfig
from seglib.datasets import coco, prepare, readers, store, workers
from seglib.datasets.coco_masks import decode
from seglib.datasets.samples import done
from seglib.files import canonical_json, write_json
from tests.conftest import fetch_config, prepare_config

CONFIG = {"kind": "coco", "classes": ["cake", "dog", "motorcycle"], "min_box": 200.0, "instances": "any"}
PREPARE = {"image_size": 256, "resize": "stretch", "val_fraction": 0.1, "max_rejected": 0.05}
NETWORK = {"workers": 4, "retries": 1, "timeout": 5.0}


@pytest.fixture(scope="session")
def annotations(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotations")
    with zipfile.ZipFile(mirror / "images.cocodataset.org/annotations/annotations_trainval2017.zip") as archive:
        archive.extractall(folder)
    return folder / "annotations"


@pytest.fixture
def fetched(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    raw = tmp_path / "raw"
    raw.mkdir()
    config = fetch_config(CONFIG, DownloadConfig(mirror=str(mirror), **NETWORK))
    write_json(raw / readers.SELECTION, coco.fetch(config, raw))
    return raw


def peer_choice(api: COCO, instances: str) -> set[int]:
    """The sources' rule, written with pycocotools' own queries."""
    categories = api.getCatIds(catNms=CONFIG["classes"])
    chosen = set()
    for image_id in api.getImgIds():
        found = api.loadAnns(api.getAnnIds(imgIds=[image_id], catIds=categories, iscrowd=False))
        large = [a for a in found if a["bbox"][2] >= 200 and a["bbox"][3] >= 200]
        if (instances == "any" and large) or (instances == "single" and len(found) == 1 and len(large) == 1):
            chosen.add(image_id)
    return chosen


@pytest.mark.parametrize(("instances", "train", "test"), [("any", 23, 9), ("single", 16, 4)])
def test_the_rule_takes_the_pictures_that_pycocotools_takes(annotations: Path, instances: str, train: int, test: int):
    for split, count in (("train2017", train), ("val2017", test)):
        path = annotations / f"instances_{split}.json"
        chosen = set(coco.select(json.loads(path.read_text()), CONFIG | {"instances": instances}))
        assert chosen == peer_choice(COCO(path), instances)
        assert len(chosen) == count


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_every_mask_of_the_sample_is_pycocotools_own(annotations: Path, split: str):
    api = COCO(annotations / f"instances_{split}.json")
    kinds = set()
    for annotation in api.loadAnns(api.getAnnIds()):
        image = api.imgs[annotation["image_id"]]
        kinds.add(type(annotation["segmentation"]))
        expected = api.annToMask(annotation)
        segmentation = annotation["segmentation"], image["height"], image["width"]
        if expected.any():
            np.testing.assert_array_equal(decode(*segmentation).mask_HW, expected.astype(bool))
        else:
            with pytest.raises(ValueError, match="its mask is empty"):
                decode(*segmentation)
    assert kinds == {list, dict}  # polygons and the crowds' uncompressed run lengths


def test_compressed_run_lengths_are_read(annotations: Path):
    api = COCO(annotations / "instances_val2017.json")
    annotation = next(iter(api.anns.values()))
    image = api.imgs[annotation["image_id"]]
    compressed = api.annToRLE(annotation)
    for counts in (compressed["counts"], compressed["counts"].decode()):
        found = decode(compressed | {"counts": counts}, image["height"], image["width"]).mask_HW
        np.testing.assert_array_equal(found, api.annToMask(annotation).astype(bool))


def test_the_fetched_annotations_are_the_originals_cut_down_byte_for_byte(fetched: Path, annotations: Path):
    for split in ("train2017", "val2017"):
        path = annotations / f"instances_{split}.json"
        content, chosen = json.loads(path.read_text()), peer_choice(COCO(path), "any")
        content["images"] = [one for one in content["images"] if one["id"] in chosen]
        content["annotations"] = [one for one in content["annotations"] if one["image_id"] in chosen]
        assert (fetched / "annotations" / path.name).read_text(encoding="utf-8") == canonical_json(content)


def peer_masks(api: COCO, image_id: int) -> list[tuple[int, np.ndarray]]:
    """The masks of the instances that pass the rule, with their class index, by pycocotools."""
    found = []
    for annotation in api.loadAnns(api.getAnnIds(imgIds=[image_id], iscrowd=False)):
        name = api.cats[annotation["category_id"]]["name"]
        if name in CONFIG["classes"] and min(annotation["bbox"][2:]) >= 200:
            found.append((CONFIG["classes"].index(name), api.annToMask(annotation)))
    return found


def test_prepared_pixels_and_masks_are_the_originals_resized(fetched: Path, annotations: Path, mirror: Path,
                                                             tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    contents = prepare.prepare(fetched, prepare_config(CONFIG | PREPARE), out)
    assert contents.counts == {"train": 20, "val": 3, "test": 9}
    assert store.DatasetInfo.read(out).label_values == pytest.approx([250 / 3, 500 / 3, 250])
    assert contents.selection == {"train2017": {"pictures": 74, "selected": 23},
                                  "val2017": {"pictures": 36, "selected": 9}}
    for split, official in (("train", "train2017"), ("val", "train2017"), ("test", "val2017")):
        api = COCO(annotations / f"instances_{official}.json")
        prepared = store.Split.open(out, split)
        for i, row in enumerate(prepared.index().itertuples()):
            image = api.imgs[int(row.id)]
            with Image.open(mirror / "images.cocodataset.org" / official / image["file_name"]) as picture:
                expected = np.asarray(picture.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR))
            np.testing.assert_array_equal(prepared.images[i], expected)
            planes = np.zeros((3, 256, 256), bool)
            for k, mask in peer_masks(api, image["id"]):
                resized = Image.fromarray(mask).resize((256, 256), Image.Resampling.NEAREST)
                planes[k] |= np.asarray(resized).astype(bool)
            np.testing.assert_array_equal(tasks.get("multilabel").unpack(prepared.masks[i], 3), planes)
            assert not tasks.get("multilabel").ignored(prepared.masks[i]).any()
    with (out / "rejected.csv").open() as file:
        rejected = list(csv.DictReader(file))
    assert [(row["what"], row["id"], row["reason"]) for row in rejected] == [
        ("annotation", "165681", "a crowd of a chosen class, excluded by the rule")]


def test_the_same_bytes_by_any_number_of_processes(fetched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "FEW", 0)
    found = []
    for processes in (1, 2):
        out = tmp_path / f"by{processes}"
        out.mkdir()
        prepare.prepare(fetched, prepare_config(CONFIG | PREPARE | {"resize": "pad"}), out, processes=processes)
        found.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert len(found[0]) == 3 + 3 + 4 + 4 and found[0] == found[1]


def test_own_masks_are_pycocotools_own(fetched: Path, annotations: Path, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    prepare.prepare(fetched, prepare_config(CONFIG | PREPARE | {"resize": "crop"}), out)
    for split, official in (("val", "train2017"), ("test", "val2017")):
        api = COCO(annotations / f"instances_{official}.json")
        prepared = store.Split.open(out, split)
        for row, mask in zip(prepared.index().itertuples(), prepared.own_masks(), strict=True):
            planes = np.zeros((3, row.height, row.width), bool)
            for k, plane in peer_masks(api, int(row.id)):
                planes[k] |= plane.astype(bool)
            np.testing.assert_array_equal(tasks.get("multilabel").unpack(mask, 3), planes)


def test_a_picture_that_keeps_no_object_at_a_small_size_is_left_out(fetched: Path, annotations: Path, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    contents = prepare.prepare(fetched, prepare_config(CONFIG | PREPARE | {"image_size": 1, "max_rejected": 1.0}), out)
    kept = set()
    for official in ("train2017", "val2017"):
        api = COCO(annotations / f"instances_{official}.json")
        for image_id in api.getImgIds():
            # The one pixel is the nearest to the picture's middle.
            if any(mask[mask.shape[0] // 2, mask.shape[1] // 2] for _, mask in peer_masks(api, image_id)):
                kept.add(str(image_id))
    assert 0 < len(kept) < 32
    assert sum(contents.counts.values()) == len(kept)
    assert {i for split in contents.counts for i in store.Split.open(out, split).index()["id"]} == kept


def test_a_second_fetch_needs_neither_mirror_nor_network(fetched: Path, mirror: Path, tmp_path: Path):
    cached = {path: path.stat().st_mtime_ns for path in (tmp_path / ".work/downloads").rglob("*") if path.is_file()}
    assert len(cached) == 1 + 23 + 9
    again = tmp_path / "again"
    again.mkdir()
    coco.fetch(fetch_config(CONFIG, DownloadConfig(mirror=str(mirror), **NETWORK)), again)
    assert {path: path.stat().st_mtime_ns for path in cached} == cached
    names = {path.relative_to(again) for path in again.rglob("*") if path.is_file()}
    assert names == {path.relative_to(fetched) for path in fetched.rglob("*") if path.is_file()} - {
        Path(readers.SELECTION)}


def test_a_damaged_picture_is_left_out_and_counted(fetched: Path, tmp_path: Path):
    victim = sorted((fetched / "train2017").iterdir())[0]
    data = victim.read_bytes()
    victim.unlink()  # a hard link to the cache: write a new file, never into the old one
    victim.write_bytes(data[: len(data) // 2])
    out = tmp_path / "out"
    out.mkdir()
    contents = prepare.prepare(fetched, prepare_config(CONFIG | PREPARE), out)
    assert sum(contents.counts.values()) == 31
    assert f"train2017/{victim.name}" in (out / "rejected.csv").read_text()


def test_a_picture_that_is_gone_is_left_out_and_counted(fetched: Path, tmp_path: Path):
    victim = sorted((fetched / "val2017").iterdir())[0]
    victim.unlink()
    out = tmp_path / "out"
    out.mkdir()
    assert sum(prepare.prepare(fetched, prepare_config(CONFIG | PREPARE), out).counts.values()) == 31
    assert f"val2017/{victim.name},{victim.name}: no such file" in (out / "rejected.csv").read_text()


def test_an_annotation_that_lost_what_the_rule_asks_for_is_a_clear_error(fetched: Path, tmp_path: Path):
    path = fetched / "annotations/instances_train2017.json"
    path.write_text(path.read_text().replace('"iscrowd"', '"crowd"'))
    with pytest.raises(ValueError, match="instances_train2017.json is not as it was fetched, annotation .*`iscrowd`"):
        list(done(coco.read(fetched, prepare_config(CONFIG), "train")))


def test_what_cannot_be_asked_is_said(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    download = DownloadConfig(mirror=str(mirror), **NETWORK)
    with pytest.raises(ValueError, match="COCO has no category 'motorcicle': did you mean 'motorcycle'"):
        coco.fetch(fetch_config(CONFIG | {"classes": ["motorcicle"]}, download), tmp_path)
    with pytest.raises(ValueError, match=r"no picture of train2017 passes \(of 74\): .*Lower min_box"):
        coco.fetch(fetch_config(CONFIG | {"min_box": 2000.0}, download), tmp_path)


def test_single_and_any_by_hand():
    def annotation(image: int, width: float, height: float, category: int = 1, crowd: int = 0) -> dict:
        return {"image_id": image, "category_id": category, "iscrowd": crowd, "bbox": [0, 0, width, height]}
    content = {
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "cow"}],
        "images": [{"id": i} for i in range(1, 8)],
        "annotations": [
            annotation(1, 200, 200),  # exactly the limit: passes
            annotation(2, 300, 199),  # one side short
            annotation(3, 300, 300), annotation(3, 300, 300, 2),  # two instances
            annotation(4, 300, 300), annotation(4, 10, 10),  # a small second one
            annotation(5, 300, 300, crowd=1),  # a crowd only
            annotation(6, 300, 300), annotation(6, 300, 300, crowd=1),  # a crowd beside it does not count
            annotation(7, 300, 300), annotation(7, 300, 300, 3),  # another class does not count
            annotation(99, 300, 300),  # a picture that is not there
        ]}
    rule = {"classes": ["cat", "dog"], "min_box": 200.0}
    assert set(coco.select(content, rule | {"instances": "single"})) == {1, 6, 7}
    chosen = coco.select(content, rule | {"instances": "any"})
    assert {image: len(found) for image, found in chosen.items()} == {1: 1, 3: 2, 4: 1, 6: 1, 7: 1}
