"""`seglib check PATH`: what is guessed of a folder, and that the entry it prints is right."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from typer.testing import CliRunner

from seglib import cli
from seglib.datasets import folder
from seglib.datasets.folder.guess import guess
from seglib.datasets.samples import Sample, done
from seglib.params.datasets import Folder
from tests.datasets.brought import EXPECTED, FOLDERS
from tests.datasets.folders import make, save


@pytest.fixture
def place(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, with no params.yaml around."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return FOLDERS[name](tmp_path / name)


def entry_of(output: str) -> Folder:
    """The entry for params.yaml that was printed."""
    text = output.partition("datasets:\n")[2].partition("\n\n")[0]
    return Folder.model_validate(YAML(typ="safe", pure=True).load(text)["mine"])


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_guessed_and_its_entry_reads_every_picture(place: Path, name: str):
    found = guess(place)
    assert EXPECTED[name].items() <= found.keys.items() and len(found.reasons) >= 2
    result = CliRunner().invoke(cli.app, ["check", str(place)])
    assert result.exit_code == 0, result.output
    assert "0 errors" in result.output
    entry = entry_of(result.output)
    config = entry.prepare_config(0.0)
    samples = [one for split in folder.SPLITS for one in done(folder.read(place, config, split))]
    assert len(samples) == 24 and all(isinstance(one, Sample) for one in samples)
    for sample in samples:  # the object is the bright or brown disk that was drawn
        inner_HW = sample.planes_KHW[1]
        assert 0.02 < inner_HW.mean() < 0.4
        contrast = np.abs(sample.image_HWC[inner_HW].mean(0) - sample.image_HWC[sample.planes_KHW[0]].mean(0)).max()
        assert contrast > 40


@pytest.mark.parametrize("name", ["microscopy"])
def test_a_change_applies_to_the_guess(place: Path, name: str):
    result = CliRunner().invoke(cli.app, ["check", str(place), "-S", "datasets.mine.range=null",
                                          "-S", "datasets.mine.group='^p[0-9]+'"])
    assert result.exit_code == 1 and "set `range: [0, 4095]`" in result.output
    entry = entry_of(result.output)
    assert entry.range is None and entry.group == "^p[0-9]+"
    wrong = CliRunner().invoke(cli.app, ["check", str(place), "-S", "datasets.mine.ragne=1"])
    assert wrong.exit_code == 1 and "ragne" in str(wrong.exception)


@pytest.mark.parametrize("masks", ["ids", "folders", "coco"])
def test_each_form_is_told_from_the_others(tmp_path: Path, masks: str):
    found = guess(make(tmp_path / "mine", masks))
    assert found.keys["masks"] == masks
    assert found.keys["classes"] == (["class_0", "class_1", "class_2"] if masks == "ids" else ["cat", "dog"])


def number_map(index: int, highest: int) -> np.ndarray:
    """Numbers 0 to `highest`, each inside the one before."""
    mask_HW = np.zeros((20, 30), np.uint8)
    for number in range(1, highest + 1):
        mask_HW[number:-number, number + index % 3:-number] = number
    return mask_HW


@pytest.mark.parametrize(("highest", "classes"), [(lambda i: 1 + i % 3, ["class_0", "class_1", "class_2", "class_3"]),
                                                  (lambda i: 1 + i % 6, ["background", "thing"])])
def test_numbers_of_objects_are_told_from_classes(tmp_path: Path, highest: Callable[[int], int], classes: list[str]):
    root = make(tmp_path / "mine", names=[f"p{i}" for i in range(12)])
    for i in range(12):
        save(root / f"masks/p{i}.png", number_map(i, highest(i)))
    assert guess(root).keys["classes"] == classes


def test_split_folders_and_vocs_other_folder_are_known(tmp_path: Path):
    root = FOLDERS["phone"](tmp_path / "voc")
    (root / "SegmentationObject").mkdir()
    for path in sorted((root / "SegmentationClass").iterdir()):
        (root / "SegmentationObject" / path.name).write_bytes(path.read_bytes())
    assert EXPECTED["phone"].items() <= guess(root).keys.items()
    parts = tmp_path / "parts"
    for split in ("train", "valid", "test"):
        make(parts / split, names=[f"{split}{i}" for i in range(3)])
    keys = guess(parts).keys
    assert (keys["pictures"], keys["truth"]) == ("{split}/images", "{split}/masks")


def test_masks_beside_their_pictures_are_found(tmp_path: Path):
    root = make(tmp_path / "mine")
    for path in sorted((root / "masks").iterdir()):
        path.rename(root / "images" / f"{path.stem}_mask.png")
    (root / "masks").rmdir()
    keys = guess(root).keys
    assert (keys["truth"], keys["mask_ending"]) == ("images", "_mask")
    report = CliRunner().invoke(cli.app, ["check", str(root)]).output
    assert "0 errors" in report and "pictures" in report


def test_masks_that_cannot_be_used_are_named(tmp_path: Path):
    root = make(tmp_path / "mine")
    for path in sorted((root / "masks").iterdir()):
        with Image.open(path) as mask:
            mask.convert("RGB").save(path.with_suffix(".jpg"))
        path.unlink()
    with pytest.raises(ValueError, match="masks/p0.jpg lies where masks are expected, but .* compressed as JPEG"):
        guess(root)


def test_a_name_that_is_no_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    result = CliRunner().invoke(cli.app, ["check", "nowhere"])
    assert "nowhere is no folder" in str(result.exception)


def test_a_folder_without_masks_says_what_was_expected(tmp_path: Path):
    make(tmp_path / "mine", "none")
    with pytest.raises(ValueError, match="but neither masks nor annotations. Expected pictures in images/"):
        guess(tmp_path / "mine")
    with pytest.raises(ValueError, match="holds no pictures"):
        guess(tmp_path / "nothing")
