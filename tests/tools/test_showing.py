"""`seglib show`: what it draws of augmentation is what the training loop gives its network."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from seglib import cli, tasks
from seglib.configs import NEUTRAL, TrainConfig
from seglib.datasets.store import Split
from seglib.tools import showing
from seglib.training.augment import Augment
from seglib.training.loop import Trainer
from tests.conftest import with_settings, write_config

Make = Callable[..., TrainConfig]
AUGMENT = dataclasses.replace(NEUTRAL, flip=0.5, rotation=20.0, color=0.2)


@pytest.fixture
def repository(tmp_path: Path, prepared_shapes: Path, training_config: Make, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The prepared shapes, and a conf/ with a training that augments and one that does not."""
    (tmp_path / "data/prepared").mkdir(parents=True)
    (tmp_path / "data/prepared/shapes").symlink_to(prepared_shapes)
    plain = training_config(batch_size=8)
    write_config(tmp_path / "conf/shapes/a/train.json", with_settings(plain, augment=AUGMENT).content())
    write_config(tmp_path / "conf/shapes/b/train.json", plain.content())
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def show(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["show", *arguments])
    return result.exit_code, result.output or str(result.exception)


def size_of(picture: str) -> tuple[int, int]:
    with Image.open(picture) as image:
        return image.size


@pytest.mark.parametrize(("batch_size", "sizes"), [(8, [8, 8, 8, 8, 6]), (37, [38])])
def test_what_is_drawn_is_what_training_sees(prepared_shapes: Path, training_config: Make, batch_size: int,
                                             sizes: list[int]):
    config = with_settings(training_config(batch_size=batch_size, epochs=2), augment=AUGMENT)
    training, batches = Trainer(config, prepared_shapes), []

    def recording(images_BHWC: torch.Tensor) -> torch.Tensor:
        if training.network.training:
            batches.append(images_BHWC)
        return logits_of(images_BHWC)

    logits_of, training.setup.logits = training.setup.logits, recording
    training.run(title="test")
    train = Split.open(prepared_shapes, "train")
    shown = torch.cat(batches)
    assert [len(batch) for batch in batches] == 2 * sizes
    augment = Augment(AUGMENT, config.seed, task=tasks.get("multilabel"), steps=len(sizes), batch_size=max(sizes),
                      device=torch.device("cpu"))
    for epoch in (1, 2):
        of_epoch = {image.numpy().tobytes() for image in shown[(epoch - 1) * len(train):epoch * len(train)]}
        drawn = [showing.seen(train, i, augment, config, epoch) for i in range(len(train))]
        assert {image.tobytes() for image, _ in drawn} == of_epoch
        masks = np.stack([mask for _, mask in drawn])
        assert masks.dtype == train.masks.dtype and (masks == 128).any() and (masks < 32).any()  # turned, and ignored


def test_a_row_a_picture_and_a_column_an_epoch(repository: Path):
    status, output = show("data/prepared/shapes", "--augmented", "-o", "out.png")
    assert status == 0, output
    assert output == (f"augmentation of {repository}/conf/shapes/a/train.json: flip 0.5, rotation 20, color 0.2\n"
                      "out.png\n")
    width, height = size_of("out.png")
    assert width == 10 + 6 * 210 and 6 * 210 < height < 6 * 260
    names = Split.open(repository / "data/prepared/shapes", "train").index()["id"]
    status, output = show("data/prepared/shapes", names[3], "--augmented", "--training", "conf/shapes/b/train.json",
                          "--set", "vertical_flip=1", "-o", "one.png")
    assert status == 0 and "vertical_flip 1\n" in output and size_of("one.png")[1] < 300


@pytest.mark.parametrize(("arguments", "message"), [
    (["--augmented", "--training", "conf/shapes/b/train.json"], "augments nothing; to see what it would look like"),
    (["--augmented", "--set", "flipp=1"], "'flipp' is no augmentation, did you mean 'flip'?"),
    (["--augmented", "--set", "flip"], "expected a number after flip="),
    (["nobody", "--augmented"], "has no picture nobody; ids look like"),
    (["--set", "flip=1"], "they need --augmented"), (["--split", "tests"], "--split is 'tests', expected one of")])
def test_what_cannot_be_drawn_is_said(repository: Path, arguments: list[str], message: str):
    status, output = show("data/prepared/shapes", *arguments)
    assert status == 1 and message in output


def test_a_dataset_without_trainings_asks_for_one(repository: Path):
    shutil.rmtree("conf")
    status, output = show("data/prepared/shapes/", "--augmented")
    assert status == 1 and "holds no training: name one by --training" in output


def test_a_contact_sheet_of_a_split_or_of_some_ids(repository: Path):
    assert show("data/prepared/shapes", "--split", "val") == (0, "shapes.png\n")
    index = Split.open(repository / "data/prepared/shapes", "test").index()["id"]
    assert show("data/prepared/shapes", index[0], index[2], "-o", "two.png") == (0, "two.png\n")
    assert size_of("two.png") != size_of("shapes.png")
    train = Split.open(repository / "data/prepared/shapes", "train").index()["id"]
    status, output = show("data/prepared/shapes", index[0], train[0], "-o", "both.png")
    assert status == 1 and "are in several splits (test, train)" in output


def test_a_file_of_the_users_own_is_replaced_only_if_asked(repository: Path):
    Path("shapes.png").write_text("mine")
    status, output = show("data/prepared/shapes")
    assert status == 1
    assert "1 file exists already, such as shapes.png: choose another --out, or add --overwrite" in output
    assert Path("shapes.png").read_text() == "mine"
    assert show("data/prepared/shapes", "--overwrite") == (0, "shapes.png\n")
    assert size_of("shapes.png")
