"""A folder of one's own whose masks stand in COCO's format: what its annotations may lack, and what they may not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglib.datasets import folder
from seglib.datasets.samples import Rejection, Sample
from tests.conftest import fetch_config
from tests.datasets.folders import entries, ids_of, keys_of, make


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
    found = {(type(entry).__name__, entry.id): entry for entry in entries(root, keys_of(root, "coco"))}
    crowd = found["Sample", "p0"]
    assert not crowd.planes_KHW[1].any()
    np.testing.assert_array_equal(crowd.ignore_HW, ids_of("p0") == 1)
    assert found["Rejection", "p1"].what == "picture"  # nobody knows where its annotation lies
    assert found["Rejection", "p1"].reason.startswith("an annotation that cannot be drawn may lie anywhere in it")
    assert found["Rejection", "p1"].tally == {"left out": 1}
    assert found["Rejection", "p2"].reason.startswith("an annotation that cannot be drawn may lie anywhere in it")
    assert found["Rejection", "p3"].reason == "annotations.json says it is 30×99, it is 30×20"
    assert found["Rejection", "p4"].reason == "annotations.json lists 2 pictures of its name"
    assert not found["Sample", "p5"].planes_KHW.any()  # nothing of it is annotated: it holds no class
    assert found["Rejection", "gone"].what == "file"
    assert found["Sample", "p6"].tally == {"drawn": 2, "other": 1}
    assert len(found) == 10


def test_annotations_of_no_picture_and_of_no_category_are_counted(tmp_path: Path):
    root = make(tmp_path / "mine", "coco")

    def change(content: dict) -> None:
        content["annotations"][0]["image_id"] = 5
        content["annotations"][2]["category_id"] = 99
        content["annotations"][4]["category_id"] = content["annotations"][5]["category_id"] = 99
    rewrite(root, change)
    found = entries(root, keys_of(root, "coco"))
    assert {(e.id, e.what, e.source, e.reason, *e.tally.items()) for e in found if isinstance(e, Rejection)} == {
        ("1", "annotation", "annotations.json annotation 1", "its image_id is of no picture", ("dangling", 1)),
        ("p1", "annotation", "images/p1.png annotation 3", "its category 99 is not there", ("dangling", 1)),
        ("p2", "annotation", "images/p2.png annotation 5", "its category 99 is not there", ("dangling", 1)),
        ("p2", "annotation", "images/p2.png annotation 6", "its category 99 is not there", ("dangling", 1)),
        ("p2", "picture", "images/p2.png", "none of its annotations gave a mask: its category 99 is not there")}
    samples = {entry.id: entry for entry in found if isinstance(entry, Sample)}
    assert not samples["p0"].planes_KHW[1].any() and not samples["p1"].planes_KHW[1].any()  # the cats


@pytest.mark.parametrize(("change", "said"), [
    (lambda content: content["images"][1].update(id=100), "annotations.json: 2 pictures have the id 100"),
    (lambda content: content["categories"][1].update(id=10), "annotations.json: 2 categories have the id 10: cat, dog"),
    (lambda content: content["categories"][1].update(name="cat"), "annotations.json has no category 'dog'"),
    (lambda content: content["categories"].append({"id": 30, "name": "cat"}) or
        content["annotations"][1].update(category_id="30"),
     "annotations.json: 2 categories have the name 'cat', and annotations refer to more than one of them"),
    (lambda content: content["categories"].append({"id": "10", "name": "cow"}),
     "annotations.json: 2 categories have the id 10: cat, cow"),
    (lambda content: content["images"][1].update(id="100"), "annotations.json: 2 pictures have the id 100"),
    (lambda content: content["images"][1].update(id={}), r"not in COCO's format: images\[1\].id is an object"),
    (lambda content: content["images"][1].pop("file_name"), r"images\[1\] has no file_name"),
    (lambda content: content["annotations"][1].update(category_id=[1]), r"annotations\[1\].category_id is a list"),
    (lambda content: content["annotations"][1].pop("image_id"), r"annotations\[1\] has no image_id"),
    (lambda content: content["annotations"][1].update(image_id=float("nan")), r"annotations\[1\].image_id is null"),
    (lambda content: content["categories"][1].update(name=None), "annotations.json has no category 'dog'"),
])
def test_annotations_that_say_too_little_or_too_much_are_refused(tmp_path: Path, change: Any, said: str):
    root = make(tmp_path / "mine", "coco")
    rewrite(root, change)
    with pytest.raises(ValueError, match=said):
        entries(root, keys_of(root, "coco"))


def test_a_licence_nobody_can_make_out_is_not_recorded(tmp_path: Path):
    root = make(tmp_path / "mine", "coco", names=["p0", "p1", "p2"])

    def change(content: dict) -> None:
        content["licenses"] = [{"name": "no id"}, 5, {"id": 1, "name": "by"}]
        for image, licence in zip(content["images"], (1, {}, None), strict=True):
            image["license"] = licence
    rewrite(root, change)
    assert {entry.id: entry.licence for entry in entries(root, keys_of(root, "coco"))} == {
        "p0": "by", "p1": "not recorded", "p2": "not recorded"}


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"images": [{}], "annotations": [], "categories": []}',
                                     '{"images": 5, "annotations": [], "categories": []}'])
def test_a_file_that_is_not_cocos_is_a_clear_error(tmp_path: Path, content: str):
    root = make(tmp_path / "mine", "coco")
    (root / "annotations.json").write_text(content)
    with pytest.raises(ValueError, match="annotations.json is not in COCO's format"):
        folder.fetch(fetch_config(keys_of(root, "coco")), tmp_path)


def as_utf_8_with_a_mark(text: str) -> bytes:
    return b"\xef\xbb\xbf" + text.encode()


@pytest.mark.parametrize("write", [
    as_utf_8_with_a_mark, lambda text: text.encode("utf-16"), lambda text: text.encode("utf-16-le"),
    lambda text: text.encode("utf-32-be"),
    lambda text: text.replace('"iscrowd": 0',
                              '"area": NaN, "score": -Infinity, "note": "NaN \\"Infinity", "iscrowd": "0"'),
    lambda text: text.replace('"height": 20, "width": 30', '"height": "20.0", "width": 30.0'),
    lambda text: text.replace('"height": 20, "width": 30', '"height": NaN, "width": "unknown"'),
    lambda text: text.replace('"image_id": 10', '"image_id": "10').replace(', "category_id": 1', '", "category_id": 1')
                     .replace(', "category_id": 20', '", "category_id": 20.0'),
    lambda text: text.replace('"category_id": 10', '"category_id": "10"'),
    lambda text: text.replace('"id": 10, "name"', '"id": 0, "name"').replace('"category_id": 10', '"category_id": 0'),
    lambda text: text.replace('"categories": [',
                              '"categories": [{"name": "root"}, {"id": 5, "name": null}, {"id": 7, "name": "cat"}, '
                              '{"id": [1], "name": "dog"}, {"id": 7, "name": "cow"}, '),
    lambda text: text.replace("elsewhere/", "C:\\\\data\\\\images\\\\"),
    lambda text: text.replace("elsewhere/", "a%20b/").replace(".png", ".JPG"),
])
def test_what_no_mask_depends_on_may_be_odd(tmp_path: Path, write: Any):
    root = make(tmp_path / "mine", "coco")
    text = (root / "annotations.json").read_text()
    expected = entries(root, keys_of(root, "coco"))
    written = write(text)
    assert written != text
    (root / "annotations.json").write_bytes(written.encode() if isinstance(written, str) else written)
    found = entries(root, keys_of(root, "coco"))
    assert [entry.id for entry in found] == [entry.id for entry in expected]
    for entry, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(entry.planes_KHW, other.planes_KHW)
        assert entry.tally == other.tally == {"drawn": 2}


@pytest.mark.parametrize(("name", "written"), [
    ("a b", "a%20b.png"), ("a%20b", "a%20b.png"),
    ("m\N{LATIN SMALL LETTER E WITH ACUTE}", "me\N{COMBINING ACUTE ACCENT}.png"),
    ("scan.v2", "scan.v2.png"), ("scan.v2", "scan.v2"), ("scan.v2", "scan.v2.dng"), ("x", "x.jpeg")])
def test_a_file_name_means_the_picture_that_a_person_would_take(tmp_path: Path, name: str, written: str):
    root = make(tmp_path / "mine", "coco", names=["p1", name, "scan"])
    rewrite(root, lambda content: content["images"][1].update(file_name=written))
    assert sorted(entry.id for entry in entries(root, keys_of(root, "coco")) if isinstance(entry, Sample)) == sorted(
        ["p1", name, "scan"])


@pytest.mark.parametrize(("segmentation", "box", "rows", "columns"), [
    ([[1, 1, 5, 5]], [2.5, 3, 4, 5], slice(3, 8), slice(2, 7)), ([[1, 1, 5, 5]], None, slice(1, 5), slice(1, 5)),
    ("nothing", [-3, -3, 100, 5], slice(0, 2), slice(0, 30))])
def test_the_box_of_what_cannot_be_drawn_is_ignored_except_where_an_object_is(tmp_path: Path, segmentation: Any,
                                                                              box: Any, rows: slice, columns: slice):
    root = make(tmp_path / "mine", "coco")
    rewrite(root, lambda content: content["annotations"][0].update(segmentation=segmentation, bbox=box))
    found = {(type(entry).__name__, entry.id): entry for entry in entries(root, keys_of(root, "coco"))}
    expected_HW = np.zeros(ids_of("p0").shape, bool)
    expected_HW[rows, columns] = True
    np.testing.assert_array_equal(found["Sample", "p0"].ignore_HW, expected_HW & (ids_of("p0") != 2))
    assert found["Rejection", "p0"].tally == {"undrawable": 1}
    assert found["Rejection", "p0"].source == "images/p0.png annotation 1"


def test_a_damaged_part_is_ignored_and_a_stray_point_is_not(tmp_path: Path):
    root = make(tmp_path / "mine", "coco")
    parts = [[3, 3], [20, 2, 26, 2, float("nan"), 8, 20, 8], [1, 10, 6, 10, 6, 15, 1, 15]]
    rewrite(root, lambda content: content["annotations"][0].update(segmentation=parts))
    found = entries(root, keys_of(root, "coco"))
    (sample,) = [entry for entry in found if isinstance(entry, Sample) and entry.id == "p0"]
    expected_HW = np.zeros(ids_of("p0").shape, bool)
    expected_HW[2:8, 20:26] = True
    np.testing.assert_array_equal(sample.ignore_HW, expected_HW & (ids_of("p0") != 2))
    np.testing.assert_array_equal(np.argwhere(sample.planes_KHW[1])[[0, -1]], [[10, 1], [14, 5]])
    assert sample.tally == {"drawn": 2}
    assert [entry.what for entry in found if isinstance(entry, Rejection)] == ["part", "part"]
