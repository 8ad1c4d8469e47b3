"""Annotations picture by picture, against all of them read at once by the json module."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from seglib.datasets import coco_fetched
from seglib.datasets.coco_fetched import FetchedAnnotations, read_entries
from seglib.files import write_json


def by_picture(content: dict[str, Any]) -> list[tuple[dict, list[dict]]]:
    return [(image, [a for a in content["annotations"] if a["image_id"] == image["id"]])
            for image in sorted(content["images"], key=lambda image: image["id"])]


def read_all(path: Path) -> list[tuple[dict, list[dict]]]:
    places = FetchedAnnotations(path).pictures()
    found = [read_entries(path, [picture, *annotations]) for picture, annotations in places]
    return [(image, annotations) for image, *annotations in found]


@pytest.mark.parametrize("split", ["train2017", "val2017"])
@pytest.mark.parametrize("chunk", [1000, 1 << 20])
def test_the_real_sample_is_read_as_json_reads_it(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                  split: str, chunk: int):
    monkeypatch.setattr(coco_fetched, "CHUNK", chunk)
    archive = mirror / "images.cocodataset.org/annotations/annotations_trainval2017.zip"
    with zipfile.ZipFile(archive) as bundle:
        content = json.loads(bundle.read(f"annotations/instances_{split}.json"))
    path = tmp_path / "instances.json"
    write_json(path, content)
    assert read_all(path) == by_picture(content)
    fetched = FetchedAnnotations(path)
    assert (fetched.categories, fetched.licenses) == (content["categories"], content["licenses"])


# Text that looks like the layout, lists within entries, objects within them, a list that is empty, ids out of order.
ODD = {
    "info": {"about": {"nested": [{"id": 1}]}, "text": '\n    {\n  "images": [', "list": [{"a": {}}]}, "licenses": [],
    "categories": [{"id": 1, "name": 'a\n    }"'}],
    "images": [{"id": 9, "file_name": "é.jpg", "t": "é\n    }", "width": 4, "height": 3},
               {"id": -3, "file_name": "3.jpg", "t": '\n    {"id": 7}', "width": 1, "height": 1, "more": [{"id": 5}]}],
    "annotations": [{"image_id": -3, "category_id": 1, "segmentation": {"counts": [1, 2], "size": [{"x": {}}]}},
                    {"image_id": 4, "category_id": 1}, {"image_id": -3, "category_id": 1, "text": "}\n    }"}]}


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_nothing_in_an_entry_is_taken_for_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int):
    monkeypatch.setattr(coco_fetched, "CHUNK", chunk)
    path = tmp_path / "instances.json"
    write_json(path, ODD)
    assert read_all(path) == by_picture(ODD)
    assert FetchedAnnotations(path).categories == ODD["categories"] and FetchedAnnotations(path).licenses == []


@pytest.mark.parametrize("change", [lambda text: "", lambda text: text[: len(text) // 2],
                                    lambda text: json.dumps(json.loads(text)), lambda text: text.replace('"id"', '"i"'),
                                    lambda text: text.replace("image_id", "picture"),
                                    lambda text: text.replace("width", "breadth"),
                                    lambda text: text.replace("category_id", "class"),
                                    lambda text: text.replace('"name"', '"nom"'),
                                    lambda text: text.replace('"id": -3', '"id": 9'),
                                    lambda text: text.replace("\u00e9", "../")])
def test_a_file_that_is_not_as_it_was_fetched_is_a_clear_error(tmp_path: Path, change: Any):
    path = tmp_path / "instances.json"
    write_json(path, ODD)
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match="instances.json is not as it was fetched"):
        FetchedAnnotations(path)
