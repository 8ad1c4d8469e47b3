"""`seglib predict`: masks and overlays at the pictures' own sizes, by a network whose answer is known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from seglib import cli
from tests.prediction.test_network import RED_THEN_BLUE, red_and_blue

pytestmark = pytest.mark.usefixtures("maps_of_logits")


def predict(run: Path, *pictures: Path, out: Path, options: tuple[str, ...] = ()) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["predict", str(run), *map(str, pictures), "-o", str(out), *options])
    return result.exit_code, result.output + str(result.exception or "")


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
@pytest.mark.parametrize(("resize", "expected"), [("stretch", [(0, 50, 1), (50, 100, 2)]),
                                                  ("crop", [(0, 30, 0), (30, 50, 1), (50, 70, 2), (70, 100, 0)])])
def test_masks_name_classes_from_one_and_nothing_is_0(tmp_path: Path, task: str, resize: str,
                                                      expected: list[tuple[int, int, int]]):
    red_and_blue(tmp_path, resize=resize, task=task)
    RED_THEN_BLUE.save(tmp_path / "wide.png")
    status, output = predict(tmp_path, tmp_path / "wide.png", out=tmp_path / "out")
    assert status == 0, output
    with Image.open(tmp_path / "out/wide.mask.png") as mask, Image.open(tmp_path / "out/wide.overlay.png") as overlay:
        assert mask.mode == "P" and mask.size == overlay.size == (100, 40)
        labels = np.asarray(mask)
    for start, end, label in expected:
        inner = labels[:, start + 2:end - 2] if end - start > 4 else labels[:, start:end]
        assert (inner == label).all(), (start, end, label)
    assert "red " in output and "blue " in output


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_done(tmp_path: Path):
    red_and_blue(tmp_path, resize="stretch", task="multilabel")
    (tmp_path / "bad.png").write_text("no picture")
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (20, 30)).save(tmp_path / name)
    images = [tmp_path / name for name in ("bad.png", "a.png", "a.jpg")]
    status, output = predict(tmp_path, *images, out=tmp_path / "out")
    assert status == 1 and "bad.png" in output and "1 of 3 pictures could not be read" in output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{name}.{kind}.png" for name in ("a.png", "a.jpg") for kind in ("mask", "overlay")}


def test_pictures_of_one_name_would_overwrite_each_other(tmp_path: Path):
    red_and_blue(tmp_path, resize="stretch", task="multilabel")
    status, output = predict(tmp_path, tmp_path / "x/a.png", tmp_path / "y/a.png", out=tmp_path / "out")
    assert status == 1 and "several pictures are called a.png" in output


def test_files_of_the_users_own_are_replaced_only_if_asked(tmp_path: Path):
    """Nothing is written if a file of any picture exists already."""
    red_and_blue(tmp_path, resize="stretch", task="multilabel")
    pictures = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in pictures:
        Image.new("RGB", (20, 30)).save(path)
    (tmp_path / "b.mask.png").write_text("mine")
    status, output = predict(tmp_path, *pictures, out=tmp_path)
    assert status == 1 and f"1 file exists already, such as {tmp_path}/b.mask.png: choose another --out" in output
    assert (tmp_path / "b.mask.png").read_text() == "mine" and not (tmp_path / "a.mask.png").exists()
    assert predict(tmp_path, *pictures, out=tmp_path, options=("--overwrite",))[0] == 0
    with Image.open(tmp_path / "b.mask.png") as mask:
        assert mask.size == (20, 30)
    status, output = predict(tmp_path, *pictures, out=tmp_path)
    assert status == 1 and "4 files exist already, such as" in output
