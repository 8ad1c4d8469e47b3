"""Annotation files against Python's own json, which reads all of them."""

import json
import re
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.datasets.archives import read_zip_member
from seglib.datasets.coco_annotations import AnnotationFile, category_ids
from seglib.files import canonical_json

CLASSES = {1: "cat", 2: "dog", 90: "cow"}

# What an entry may hold beside what the rule asks: numbers that lose digits where they become others, any text.
extras = st.dictionaries(st.text().filter(lambda key: key not in (
    "id", "file_name", "image_id", "category_id", "iscrowd", "bbox")), st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda values: st.lists(values) | st.dictionaries(st.text(), values), max_leaves=5), max_size=3)
picture_ids = st.integers(0, 5) | st.integers(min_value=2**62)
pictures = st.builds(lambda extra, id: extra | {"id": id, "file_name": f"{id}.jpg"}, extras, picture_ids)
annotations = st.builds(
    lambda extra, image, category, crowd, box: extra | {
        "bbox": box, "image_id": image, "category_id": category, "iscrowd": crowd},
    extras, picture_ids, st.sampled_from([1, 2, 90, 91]), st.sampled_from([0, 1, False, True, None]),
    st.lists(st.floats(0, 500) | st.integers(0, 500), min_size=4, max_size=4))
contents = st.fixed_dictionaries({
    "info": extras, "licenses": st.lists(extras, max_size=2),
    "images": st.lists(pictures, max_size=4, unique_by=lambda picture: picture["id"]),
    "annotations": st.lists(annotations, max_size=6),
    "categories": st.just([{"supercategory": "x", "id": id, "name": name} for id, name in CLASSES.items()])})


def opened(content: Any) -> AnnotationFile:
    return AnnotationFile(json.dumps(content).encode(), "some.json")


@given(contents, st.sets(picture_ids), st.booleans())
def test_of_pictures_is_the_content_cut_down_byte_for_byte(content: dict, ids: set[int], ascii: bool):
    file = AnnotationFile(json.dumps(content, ensure_ascii=ascii).encode(), "some.json")
    expected = content | {"images": [one for one in content["images"] if one["id"] in ids],
                          "annotations": [one for one in content["annotations"] if one["image_id"] in ids]}
    assert canonical_json(file.of_pictures(ids)) == canonical_json(expected)
    assert file.pictures == len(content["images"])


@given(contents, st.sets(st.sampled_from(["cat", "dog", "cow", "bird"])))
def test_an_outline_holds_what_a_rule_asks_of_the_classes_annotations(content: dict, classes: set[str]):
    keys = ("image_id", "category_id", "iscrowd", "bbox")
    outline = opened(content).outline(classes)
    assert [one["id"] for one in outline["images"]] == [one["id"] for one in content["images"]]
    assert {one["id"]: one["name"] for one in outline["categories"]} == CLASSES
    assert [one | {"bbox": list(one["bbox"])} for one in outline["annotations"]] == [
        {key: one[key] for key in keys} for one in content["annotations"]
        if CLASSES.get(one["category_id"]) in classes]


def test_what_a_file_need_not_hold_is_empty():
    assert opened({"images": [], "annotations": [], "categories": []}).of_pictures({1}) == {
        "info": {}, "licenses": [], "images": [], "annotations": [], "categories": []}


CONTENT = {"images": [{"id": 7, "file_name": "7.jpg"}],
           "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
           "annotations": [{"image_id": 7, "category_id": 1, "iscrowd": 0, "bbox": [1, 2, 3, 4]}] * 2}


def changed(key: str, **changes: Any) -> dict:
    """CONTENT with the last entry of a list changed; a value of ... takes its key away."""
    last = {name: value for name, value in (CONTENT[key][-1] | changes).items() if value is not ...}
    return CONTENT | {key: [*CONTENT[key][:-1], last]}


@pytest.mark.parametrize(("content", "message"), [
    (changed("annotations", image_id=...), r"some.json, annotations\[1\]: .*`image_id`"),
    (changed("annotations", category_id=None), r"some.json, annotations\[1\]: .*`null` - at `\$.category_id`"),
    (changed("annotations", image_id="7"), r"some.json, annotations\[1\]: .*`str` - at `\$.image_id`"),
    (changed("annotations", bbox=...), r"some.json, annotations\[1\]: .*`bbox`"),
    (changed("annotations", bbox=None), r"some.json, annotations\[1\]: .*`null` - at `\$.bbox`"),
    (changed("annotations", bbox=[1, 2, 3]), r"some.json, annotations\[1\]: .*length 4"),
    (changed("annotations", bbox=[1, 2, "3", 4]), r"some.json, annotations\[1\]: .*at `\$.bbox\[2\]`"),
    (changed("annotations", iscrowd=...), r"some.json, annotations\[1\]: .*`iscrowd`"),
    (changed("annotations", area=float("nan")), r"some.json is not in COCO's format: .*\(byte \d+\)"),
    (changed("images", id=...), r"some.json, images\[0\]: .*`id`"),
    (changed("images", file_name=None), r"some.json, images\[0\]: .*`null` - at `\$.file_name`"),
    *((changed("images", file_name=name), r"some.json, images\[0\]: .*matching regex .* - at `\$.file_name`")
      for name in ("../7.jpg", "/etc/passwd", "..", "", "a/b.jpg", "a\\b.jpg", "a\0b.jpg", "a\nb.jpg",
                   "a.jpg\n", "\x1b[2J", "a\x7f")),
    (CONTENT | {"images": CONTENT["images"] * 3}, "some.json: 3 pictures have the id 7"),
    (CONTENT | {"images": [{"id": id, "file_name": "7.jpg"} for id in (7, 8)]},
     "some.json: 2 pictures have the file_name '7.jpg'"),
    (changed("annotations", bbox=[1, 2, 3, 1e300]), r"some.json, annotations\[1\]: .*at `\$.bbox\[3\]`"),
    (changed("categories", name=...), r"some.json, categories\[1\]: .*`name`"),
    (CONTENT | {"annotations": [5]}, r"some.json, annotations\[0\]: Expected `object`, got `int`"),
    (CONTENT | {"annotations": {}}, r"some.json is not in COCO's format: .*at `\$.annotations`"),
    ({"images": []}, "some.json is not in COCO's format: .*required field"),
    ([], "some.json is not in COCO's format: Expected `object`, got `array`")])
def test_what_is_not_in_the_format_is_named_with_its_place(content: Any, message: str):
    with pytest.raises(ValueError, match=message):
        opened(content).outline(["dog", "cat"])


@pytest.mark.parametrize(("text", "message"), [
    (b"", "some.json is not in COCO's format: Input data was truncated"),
    (json.dumps(CONTENT).encode()[:-9], "some.json is not in COCO's format: Input data was truncated"),
    (json.dumps(CONTENT).encode("utf-16"), r"some.json is not in COCO's format: .*\(byte 0\)"),
    (b'{"annotations": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "some.json is not in COCO's format: .*recursion"),
    (json.dumps(changed("annotations", note="\xff"), ensure_ascii=False).encode("latin-1"),
     r"some.json, annotations\[1\]: .*utf-8")])
def test_damaged_json_is_a_value_error(text: bytes, message: str):
    with pytest.raises(ValueError, match=message):
        AnnotationFile(text, "some.json").of_pictures({7})


@pytest.mark.parametrize("changes", [
    {"image_id": 99}, {"category_id": 55, "bbox": None}, {"category_id": 2, "iscrowd": ...}])
def test_what_the_rule_does_not_ask_for_is_passed_over(changes: dict):
    outline = opened(changed("annotations", **changes)).outline(["cat"])
    assert [one for one in outline["annotations"] if one["image_id"] == 7] == [
        {"image_id": 7, "category_id": 1, "iscrowd": 0, "bbox": (1, 2, 3, 4)}]


@pytest.mark.parametrize(("categories", "said"), [
    ([{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}], "some.json: 2 categories have the name 'cat'"),
    ([{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}], "some.json: 2 categories have the id 1"),
    ([{"id": 1, "name": "cats"}, {"id": 2, "name": "dog"}], "some.json has no category 'cat': did you mean 'cats'?")])
def test_categories_that_are_not_there_or_cannot_be_told_apart_are_refused(categories: list[dict], said: str):
    with pytest.raises(ValueError, match=re.escape(said)):
        category_ids(categories, ["cat"], "some.json")


def test_a_member_is_read_whole_and_held_once(tmp_path: Path):
    size = 64_000_000
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:
        bundle.writestr("zeros", bytes(size))
    tracemalloc.start()
    content = read_zip_member(tmp_path / "a.zip", "zeros")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert content == bytes(size)
    assert peak < 1.3 * size


def test_a_zip_that_does_not_give_a_member_is_a_value_error(tmp_path: Path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("some.json", json.dumps([*range(2000)]))
    whole = path.read_bytes()
    with pytest.raises(ValueError, match="a.zip does not give other.json whole: .*no item named 'other.json'"):
        read_zip_member(path, "other.json")
    for damaged in (whole[: len(whole) // 2], whole[:60] + bytes(100) + whole[160:], b"no zip at all", b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="a.zip does not give some.json whole: "):
            read_zip_member(path, "some.json")
