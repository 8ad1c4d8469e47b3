"""COCO: segmentations of any kind, annotation files before and after `fetch`, and those of a folder of one's own."""

import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from seglib.datasets import coco, folder
from seglib.datasets.coco_annotations import AnnotationFile
from seglib.datasets.coco_masks import decode
from seglib.datasets.samples import Sample, done
from seglib.files import write_json
from tests.conftest import prepare_config
from tests.datasets.folders import ALL_TRAIN, CONFIG
from tests.fuzz.mutation import assert_lawful, changed, changes, damage, fuzzed, json_of, odd_values

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(900, method="thread")]

HEIGHT, WIDTH = 9, 14
RULE = {"kind": "coco", "classes": ["dog", "猫, gross"], "min_box": 2.0, "instances": "any"}


def run_lengths(top: int, compressed: bool) -> dict[str, Any]:
    """Of a mask with a rectangle in it."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[top:7, 2:9] = 1
    encoded = coco_mask.encode(mask)
    if compressed:
        return encoded | {"counts": encoded["counts"].decode()}
    runs = np.flatnonzero(np.diff(mask.ravel("F"), prepend=0, append=1))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff(runs, prepend=0).tolist()}


SEGMENTATIONS = [[[1.5, 1, 12, 2, 6, 8.25]], [[0, 0, 14, 0, 14, 9, 0, 9], [3, 3, 5, 8, 9, 3, 4, 7]],
                 run_lengths(1, True), run_lengths(2, False)]
CONTENT = {
    "info": {"year": 2017}, "licenses": [{"id": 1, "name": "by"}, {"id": 2, "name": "by-nc"}],
    "categories": [{"id": 3, "name": "dog"}, {"id": 5, "name": "猫, gross"}, {"id": 7, "name": "cow"}],
    "images": [{"id": 10 + i, "file_name": f"p{i}.png", "height": HEIGHT, "width": WIDTH, "license": 1 + i}
               for i in range(3)],
    "annotations": [{"id": 100 + i, "image_id": 10 + i // 2, "category_id": (3, 5, 7)[i % 3], "iscrowd": int(i == 1),
                     "bbox": [1, 1, 8.5, 6], "area": 40.0, "segmentation": segmentation}
                    for i, segmentation in enumerate(SEGMENTATIONS + SEGMENTATIONS[:2])]}
PICTURE = io.BytesIO()
Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(PICTURE, "PNG")


def assert_mask(segmentation: Any) -> None:
    """Twice the same: what is left of former memory would not be."""
    try:
        found_HW = decode(segmentation, HEIGHT, WIDTH)
    except ValueError as error:
        assert str(error)
        return
    assert found_HW.dtype == bool and found_HW.shape == (HEIGHT, WIDTH)
    first = found_HW.tobytes("F")
    np.full((HEIGHT, WIDTH), 255, np.uint8)  # in memory that is free again at once
    assert decode(segmentation, HEIGHT, WIDTH).tobytes("F") == first
    assert {1} <= set(first) <= {0, 1}


coordinates = st.floats() | st.integers(-20, 30) | st.floats(-10, 30) | st.sampled_from([1e9, -1e9, 2**31 / 5, 2**63])
polygons = st.lists(st.lists(coordinates, min_size=3, max_size=10), max_size=3)
sizes = st.just([HEIGHT, WIDTH]) | st.lists(st.integers(-1, 2**33), max_size=3)
counts = (st.lists(st.integers(-1, 130) | st.integers(), max_size=6) | st.text(max_size=12)
          | st.text(st.characters(min_codepoint=46, max_codepoint=113), max_size=12))


@fuzzed(0.15)
@given(polygons)
def test_made_up_polygons_are_a_mask_or_a_value_error(segmentation: list):
    assert_mask(segmentation)


@fuzzed(0.15)
@given(st.fixed_dictionaries({"size": sizes, "counts": counts}))
def test_made_up_run_lengths_are_a_mask_or_a_value_error(segmentation: dict):
    assert_mask(segmentation)


@fuzzed(0.2)
@given(st.sampled_from(SEGMENTATIONS).flatmap(lambda one: st.builds(changed, st.just(one), changes)) | odd_values)
def test_changed_segmentations_are_a_mask_or_a_value_error(segmentation: Any):
    assert_mask(segmentation)


texts = damage([json_of(CONTENT), json.dumps(CONTENT).encode()]) | st.builds(changed, st.just(CONTENT),
                                                                            changes).map(json_of)


@fuzzed(0.25)
@given(texts)
def test_a_changed_annotation_file_goes_through_fetch_or_is_a_value_error(fuzz_folder: Path, text: bytes):
    def read() -> list:
        file = AnnotationFile(text, "some.json")
        content = file.of_pictures(coco.select(file.outline(RULE["classes"]), RULE))
        write_json(fuzz_folder / "annotations/instances_train2017.json", content)
        assert all(Path(image["file_name"]).name == image["file_name"] for image in content["images"])
        return list(done(coco.read(fuzz_folder, prepare_config(RULE), "train")))
    assert_lawful(read, 2)


@fuzzed(0.25)
@given(st.builds(changed, st.just(CONTENT), changes).map(lambda content: json_of(content, indent=2) + b"\n")
       | damage([json_of(CONTENT, indent=2) + b"\n"]))
def test_fetched_annotations_that_were_changed_are_samples_or_a_value_error(fuzz_folder: Path, text: bytes):
    (fuzz_folder / "annotations/instances_train2017.json").write_bytes(text)
    assert_lawful(lambda: done(coco.read(fuzz_folder, prepare_config(RULE), "train")), 2)


@fuzzed(0.3)
@given(texts)
def test_a_folders_changed_annotations_are_samples_or_a_value_error(fuzz_folder: Path, text: bytes):
    (fuzz_folder / "annotations.json").write_bytes(text)
    config = prepare_config(CONFIG | {"masks": "coco", "classes": RULE["classes"], **ALL_TRAIN})
    assert_lawful(lambda: done(folder.read(fuzz_folder, config, "train")), 2)


@pytest.fixture(scope="module")
def fuzz_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the pictures that the annotations are of, as both readers look for them."""
    root = tmp_path_factory.mktemp("coco")
    for name in ("annotations", "train2017", "images"):
        (root / name).mkdir()
        if name != "annotations":
            for i in range(3):
                (root / name / f"p{i}.png").write_bytes(PICTURE.getvalue())
    return root


def test_the_content_that_is_changed_is_whole(fuzz_folder: Path):
    """So that what is fuzzed is not an error to begin with."""
    content = copy.deepcopy(CONTENT)
    write_json(fuzz_folder / "annotations/instances_train2017.json", content)
    (fuzz_folder / "annotations.json").write_bytes(json_of(content))
    config = prepare_config(CONFIG | {"masks": "coco", "classes": RULE["classes"], **ALL_TRAIN})
    for entries in (done(coco.read(fuzz_folder, prepare_config(RULE), "train")),
                    done(folder.read(fuzz_folder, config, "train"))):
        found = [entry.id for entry in entries if isinstance(entry, Sample)]
        assert found in (["10", "11", "12"], ["p0", "p1", "p2"])
