"""`seglib show` and `seglib predict` on what the stages made."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from seglib import cli
from seglib.datasets.store import Split
from seglib.pipeline.workspace import TrainingFiles


def test_show_draws_a_sheet_and_pictures_by_id(repository: Path, tmp_path: Path):
    run = CliRunner().invoke
    sheet, two = tmp_path / "sheet.png", tmp_path / "two.png"
    assert run(cli.app, ["show", "data/prepared/shapes", "-o", str(sheet)]).exit_code == 0
    ids = Split.open(Path("data/prepared/shapes"), "test").index()["id"].to_list()
    assert run(cli.app, ["show", "data/prepared/shapes", ids[0], ids[3], "-o", str(two)]).exit_code == 0
    with Image.open(sheet) as first, Image.open(two) as second:
        assert first.width > 1000 and second.width > 1000
    result = run(cli.app, ["show", "data/prepared/shapes", "nobody"])
    assert isinstance(result.exception, ValueError) and "has no picture nobody" in str(result.exception)


def test_predict_writes_masks_at_the_pictures_own_size(repository: Path, tmp_path: Path):
    picture = Split.open(Path("data/prepared/shapes"), "test").images[0]
    Image.fromarray(picture).resize((150, 90)).save(tmp_path / "a.jpg")
    Image.fromarray(picture).convert("L").save(tmp_path / "b.tif")
    result = CliRunner().invoke(cli.app, ["predict", "runs/shapes/munet-mse_dice-1", str(tmp_path / "a.jpg"),
                                          str(tmp_path / "b.tif"), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    for name, size in (("a", (150, 90)), ("b", (64, 64))):
        with Image.open(tmp_path / f"out/{name}.mask.png") as mask:
            assert mask.size == size and mask.mode == "P" and np.asarray(mask).max() <= 5
        with Image.open(tmp_path / f"out/{name}.overlay.png") as overlay:
            assert overlay.size == size and overlay.mode == "RGB"


def test_predict_never_overwrites_its_own_output(repository: Path, tmp_path: Path):
    picture = Image.fromarray(Split.open(Path("data/prepared/shapes"), "test").images[0])
    for name in ("one/a.png", "two/a.png", "one/a.bmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture.save(tmp_path / name)

    def predict(*names: str) -> Any:
        return CliRunner().invoke(cli.app, ["predict", "runs/shapes/munet-mse-1", *(str(tmp_path / n) for n in names),
                                            "-o", str(tmp_path / "out")])
    assert "several pictures are called a.png" in str(predict("one/a.png", "two/a.png").exception)
    assert predict("one/a.png", "one/a.bmp").exit_code == 0
    assert {path.name for path in (tmp_path / "out").glob("*.mask.png")} == {"a.png.mask.png", "a.bmp.mask.png"}


def test_predict_agrees_with_evaluate_at_the_training_size(repository: Path, tmp_path: Path):
    files = TrainingFiles("shapes", "munet-mse_dice-1")
    Image.fromarray(Split.open(files.prepared, "test").images[0]).save(tmp_path / "a.png")
    for run in (files.trained.parent, files.trained, files.weights):
        CliRunner().invoke(cli.app, ["predict", str(run), str(tmp_path / "a.png"), "-o", str(tmp_path), "--overwrite"])
        with Image.open(tmp_path / "a.mask.png") as mask:
            found = np.asarray(mask) > 0
        np.testing.assert_array_equal(found, np.load(files.predictions)[0] > 0)
        (tmp_path / "a.mask.png").unlink()


def test_predict_reads_real_odd_pictures_and_names_the_damaged(repository: Path, hostile_images: Path, tmp_path: Path):
    odd = sorted((hostile_images / "fakedata/logos").iterdir())
    arguments = [*map(str, odd), str(hostile_images / "damaged_png/sigsegv.png"), "-o", str(tmp_path)]
    result = CliRunner().invoke(cli.app, ["predict", "runs/shapes/munet-mse-1", *arguments])
    assert isinstance(result.exception, ValueError) and str(result.exception) == "1 of 11 pictures could not be read"
    assert len(list(tmp_path.glob("*.mask.png"))) == 10
