"""Folders as people bring them, made after public bug reports: each ends as its owner would wish.

`FIXED` are the keys with which each folder is right; `SAID` is what `check` says without them.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglib.datasets import check, folder, prepare, readers
from seglib.datasets.folder.guess import guess
from seglib.datasets.samples import Sample, done
from seglib.datasets.store import Contents
from seglib.files import write_json
from tests.conftest import fetch_config, prepare_config, shared
from tests.datasets.folders import CONFIG

IDS = {"masks": "ids", "classes": ["background", "thing"], "ignore": [255]}
COCO = {"masks": "coco", "classes": ["cow"], "ignore": []}
AS_GIVEN = {  # what its owner writes first
    "bits12": IDS, "brush_as_crowd": COCO, "data_in_raw": IDS, "exif_portrait": IDS, "grey_as_rgb": IDS,
    "image_id_text": COCO, "json_bom": COCO, "last_batch_of_one": IDS, "mask_suffix": IDS | {"ignore": []},
    "masks_0_255": IDS, "names_decomposed": IDS, "nir_as_alpha": IDS, "one_bad_part": COCO,
    "one_class_ids": {"masks": "ids", "classes": ["thing"], "ignore": [0, 255]},
    "roboflow_root": COCO | {"classes": ["fish"]}, "stack_of_slices": IDS, "three_pictures": IDS,
    "unlisted_pictures": COCO, "valid_txt": IDS}
SAID = {
    "bits12": r"12 bits of 16.*set `range: \[0, 4095\]`",
    "brush_as_crowd": r"all \d+ annotations are crowds .*Set crowds: objects",
    "exif_portrait": r"its mask is 20×28, the picture 28×20: it has an EXIF orientation.*set upright: true",
    "masks_0_255": r"the class thing never occurs in train.*map its value in the masks by the key values",
    "nir_as_alpha": r"last band that is not opaque.*`alpha: drop` if it is anything else, such as near infrared",
    "one_class_ids": r"the class thing is the only one.*classes: \[background, thing\]",
    "stack_of_slices": r"it has 3 pages; set page: 1",
    "unlisted_pictures": r"unlisted: skip.*unlisted: empty"}
FIXED: dict[str, dict[str, Any]] = {
    "bits12": {"range": [0, 4095]}, "brush_as_crowd": {"crowds": "objects"}, "exif_portrait": {"upright": True},
    "masks_0_255": {"values": {"0": "background", "255": "thing"}}, "nir_as_alpha": {"alpha": "drop"},
    "one_class_ids": {"classes": ["background", "thing"], "ignore": [255]}, "stack_of_slices": {"page": 1},
    "unlisted_pictures": {"unlisted": "skip"}}


@pytest.fixture
def place(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    target = tmp_path / "mine"
    shutil.copytree(shared("own_data") / name, target)
    return target


def keys_of(name: str, **changed: Any) -> dict[str, Any]:
    return CONFIG | {"path": "mine", "max_rejected": 0.05, "val_fraction": 0.25, "test_fraction": 0.25,
                     "image_size": 16} | AS_GIVEN[name] | changed


def prepared(place: Path, keys: dict[str, Any]) -> Contents:
    raw, out = place.parent / "raw", place.parent / "out"
    for path in (raw, out):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    write_json(raw / readers.SELECTION, folder.fetch(fetch_config(keys), raw))
    return prepare.prepare(raw, prepare_config(keys), out, processes=1)


@pytest.mark.parametrize("name", SAID)
def test_what_is_wrong_stops_check_and_prepare_and_names_its_key(place: Path, name: str):
    report = check.run("mine", prepare_config(keys_of(name)), processes=1)
    assert report.failed and re.search(SAID[name], report.render(), re.DOTALL), report.render()
    with pytest.raises(ValueError, match=f"(?s){SAID[name]}"):
        prepared(place, keys_of(name))


@pytest.mark.parametrize("name", AS_GIVEN)
def test_with_that_key_every_picture_is_used(place: Path, name: str):
    keys = keys_of(name, **FIXED.get(name, {}))
    report = check.run("mine", prepare_config(keys), processes=1)
    assert not report.failed, report.render()
    contents = prepared(place, keys)
    assert sum(contents.counts.values()) == (9 if name == "unlisted_pictures" else
                                             sum(1 for path in (place / "images").iterdir()))
    assert "crowd" not in contents.annotations and "dangling" not in contents.annotations


@pytest.mark.parametrize("name", AS_GIVEN)
def test_the_guess_passes_its_own_check(place: Path, name: str):
    found = guess(place)
    more = {"unlisted": "skip"} if name == "unlisted_pictures" else {}
    report = check.run("mine", prepare_config(keys_of(name) | {"ignore": []} | found.keys | more), processes=1)
    assert not report.failed, report.render()


@pytest.mark.parametrize("name", ["masks_0_255", "grey_as_rgb"])
def test_masks_hold_what_their_files_hold(place: Path, name: str):
    keys = keys_of(name, **FIXED.get(name, {}))
    samples = [entry for split in folder.SPLITS for entry in done(folder.read(place, prepare_config(keys), split))]
    assert len(samples) == 12
    for sample in samples:
        assert isinstance(sample, Sample)
        with Image.open(place / f"masks/{sample.id}.png") as mask:
            values = np.asarray(mask)
        there_HW = (values if values.ndim == 2 else values[..., 0]) > 0
        np.testing.assert_array_equal(sample.planes_KHW[1], there_HW)
        np.testing.assert_array_equal(sample.planes_KHW[0], ~there_HW)
