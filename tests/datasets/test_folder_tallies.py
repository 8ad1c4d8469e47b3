"""Every annotation ends in exactly one tally, whatever the file says; and real folders that were read wrongly once."""

import collections
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from seglib.datasets import coco, folder
from seglib.datasets.samples import TALLIES, Rejection, Sample, done
from seglib.files import write_json
from tests.conftest import prepare_config, shared
from tests.datasets.folders import ALL_TRAIN, entries, keys_of, save

HEIGHT, WIDTH = 9, 14
ids = st.sampled_from([0, 1, 2, "1", 2.0, "x"])
boxes = st.sampled_from([None, [1, 1, 4, 4], [-20, -20, 5, 5], [1, 1, 0, 0], ["1", "2", "3", "4"], "box"])
segmentations = st.sampled_from([
    [[1, 1, 8, 1, 8, 6]], [[3, 3], [1, 1, 8, 1, 8, 6]], [[3, 3]], [[1, 1, None, 1, 8, 6]], [[15, 1, 18, 1, 18, 6]], [],
    None, {"size": [HEIGHT, WIDTH], "counts": [20, 9, 97]}, {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]},
    {"size": [WIDTH, HEIGHT], "counts": [20, 9, 97]}])
annotations = st.lists(st.fixed_dictionaries({
    "image_id": ids, "category_id": ids, "iscrowd": st.sampled_from([0, 1, True, "1", None, "yes"]), "bbox": boxes,
    "segmentation": segmentations}), max_size=12)
pictures = st.lists(st.sampled_from(["a.png", "images/b.jpg", "gone.png", "damaged.png", "a.jpg"]), max_size=3)


def tallies_of(found: list[Sample | Rejection]) -> collections.Counter:
    counts = collections.Counter()
    for entry in found:
        assert entry.tally.keys() <= TALLIES.keys() and all(count >= 0 for count in entry.tally.values())
        counts.update(entry.tally)
    return counts


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tallies")
    for name in ("a", "b", "c"):
        save(root / f"images/{name}.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    (root / "images/damaged.png").write_bytes(b"no")
    return root


@given(pictures, annotations, st.sampled_from(["ignore", "objects"]), st.sampled_from([None, "skip", "empty"]),
       st.sampled_from([None, ["a", "c"], ["a", "b", "damaged", "gone"]]))
def test_every_annotation_of_a_folder_ends_in_one_tally(place: Path, names: list[str], found: list[dict], crowds: str,
                                                        unlisted: str | None, listed: list[str] | None):
    content = {"images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
               "annotations": [annotation | {"id": i} for i, annotation in enumerate(found)],
               "categories": [{"id": 0, "name": "dog"}, {"id": 1, "name": "cat"}, {"id": 2, "name": "cow"}]}
    (place / "annotations.json").write_text(json.dumps(content))
    for split in ("train", "test"):
        (place / f"{split}.txt").unlink(missing_ok=True)
        if listed:
            (place / f"{split}.txt").write_text("\n".join(listed[:2] if split == "train" else listed[2:]))
    keys = keys_of(place, "coco", crowds=crowds, unlisted=unlisted, **ALL_TRAIN)
    try:
        given = entries(place, keys)
    except ValueError as error:
        assume("no picture with a mask" not in str(error))
        raise
    counts = tallies_of(given)
    assert counts.total() == len(found)
    assert crowds == "ignore" or not counts["crowd"]
    for entry in given:
        if isinstance(entry, Sample):
            assert entry.tally.get("drawn", 0) == len(entry.objects)
            assert not (entry.ignore_HW is not None and (entry.ignore_HW & entry.planes_KHW.any(0)).any())


@given(annotations, st.sampled_from(["any", "single"]), st.sampled_from([0, 3]))
def test_every_annotation_of_cocos_own_ends_in_one_tally(place: Path, found: list[dict], instances: str, least: int):
    def whole(annotation: dict) -> dict:
        """As COCO's own reader demands."""
        box = annotation["bbox"] if annotation["bbox"] and annotation["bbox"] != "box" else [0, 0, 0, 0]
        category = 99 if annotation["category_id"] == "x" else int(annotation["category_id"] == 1)
        return annotation | {"image_id": int(annotation["image_id"] == 1), "iscrowd": int(annotation["iscrowd"] == 1),
                             "category_id": category, "bbox": list(map(float, box))}
    content = {"images": [{"id": i, "file_name": f"{name}.png", "height": HEIGHT, "width": WIDTH}
                          for i, name in enumerate(("a", "damaged"), start=1)],
               "annotations": [whole(annotation) | {"id": i} for i, annotation in enumerate(found)],
               "categories": [{"id": 0, "name": "dog"}, {"id": 1, "name": "cat"}]}
    if not (place / "train2017").exists():
        (place / "train2017").symlink_to(place / "images")
    write_json(place / "annotations/instances_train2017.json", content)
    config = prepare_config({"kind": "coco", "classes": ["cat"], "min_box": least, "instances": instances})
    assert tallies_of(list(done(coco.read(place, config, "train")))).total() == len(found)


def own(name: str, **changed: Any) -> tuple[dict[str, Sample], list[Rejection]]:
    root = shared("own_data") / name
    keys = keys_of(root, "coco", **({"classes": ["cow"]} | changed))
    found = entries(root, keys)
    return ({entry.id: entry for entry in found if isinstance(entry, Sample)},
            [entry for entry in found if isinstance(entry, Rejection)])


def rectangles(name: str) -> dict[str, np.ndarray]:
    """The masks of a folder whose objects are rectangles with corners on pixels' edges, by slices alone."""
    root = shared("own_data") / name
    content = json.loads((root / "annotations.json").read_text(encoding="utf-8-sig"))
    name_of = {str(image["id"]): image["file_name"].removesuffix(".png") for image in content["images"]}
    found = {one: np.zeros((24, 24), bool) for one in name_of.values()}
    for annotation in content["annotations"]:
        x0, y0, x1, _, _, y1 = annotation["segmentation"][-1][:6]
        found[name_of[str(annotation["image_id"])]][y0:y1, x0:x1] = True
    return found


@pytest.mark.parametrize(("name", "classes"), [
    ("image_id_text", ["cow"]), ("json_bom", ["cow"]), ("one_bad_part", ["cow"]), ("roboflow_root", ["fish"])])
def test_a_real_folder_is_read_as_it_was_drawn(name: str, classes: list[str]):
    samples, rejections = own(name, classes=classes)
    expected = rectangles(name)
    assert samples.keys() == expected.keys()
    for identifier, sample in samples.items():
        np.testing.assert_array_equal(sample.planes_KHW[0], expected[identifier])
        assert not sample.ignore_HW.any()
    stray = "a polygon of 2 numbers, expected x and y of three corners or more; its other parts are drawn"
    assert {(one.what, one.reason) for one in rejections} == ({("part", stray)} if name == "one_bad_part" else set())
    assert name != "one_bad_part" or [one.source for one in rejections[:2]] == [
        "images/t0.png annotation 1", "images/t3.png annotation 31"]


def test_brushes_are_crowds_until_they_are_said_to_be_objects():
    samples, rejections = own("brush_as_crowd")
    assert tallies_of([*samples.values(), *rejections]) == {"crowd": 12}
    assert all(sample.ignore_HW.any() and not sample.planes_KHW.any() for sample in samples.values())
    drawn, rejections = own("brush_as_crowd", crowds="objects")
    assert not rejections and len(drawn) == 12
    for identifier, sample in drawn.items():
        np.testing.assert_array_equal(sample.planes_KHW[0], samples[identifier].ignore_HW)
        assert not sample.ignore_HW.any() and sample.tally == {"drawn": 1}


def test_pictures_that_are_not_listed_are_left_out_skipped_or_empty():
    samples, rejections = own("unlisted_pictures")
    assert len(samples) == 9 and {one.id for one in rejections} == {"t2", "t6", "e0"}
    assert {one.reason for one in rejections} == {
        "annotations.json does not list it: set unlisted: skip, if nobody looked for objects in it, or unlisted: "
        "empty, if it holds none"}
    skipped, rejections = own("unlisted_pictures", unlisted="skip")
    assert skipped.keys() == samples.keys() and not rejections
    empty, rejections = own("unlisted_pictures", unlisted="empty")
    assert len(empty) == 12 and not rejections
    assert not any(empty[name].planes_KHW.any() for name in empty.keys() - samples.keys())
    root = shared("own_data") / "unlisted_pictures"
    for value, said in (("skip", "not used"), ("empty", "used as pictures without objects")):
        notes = folder.remarks(root, prepare_config(keys_of(root, "coco", classes=["cow"], unlisted=value)))
        assert any(said in text and names == ["e0", "t2", "t6"] for _, text, names in notes)
