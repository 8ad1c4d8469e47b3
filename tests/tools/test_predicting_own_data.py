"""`seglib predict` after a training on a user's own folder: read as its keys say, numbered as its masks."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglib.configs import LossConfig, TrainConfig
from seglib.datasets import folder, prepare
from seglib.datasets.images import STORED, Reading
from seglib.datasets.readers import SELECTION
from seglib.datasets.store import DatasetInfo
from seglib.files import write_json
from seglib.training import weights
from seglib.training.loop import Trainer
from tests.conftest import prepare_config
from tests.datasets.folders import CONFIG, make, save
from tests.prediction.test_network import RED_THEN_BLUE, red_and_blue
from tests.tools.test_predicting import predict


@pytest.fixture
def mine(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """Pictures of 12 bits in 16: half dark, half bright, with the classes 3 and 4; and the keys that read them."""
    names = [f"p{i}" for i in range(12)]
    root = make(tmp_path / "mine", names=names)
    for i, name in enumerate(names):
        picture = np.random.default_rng(i).integers(300, 500, (24, 24), np.uint16)
        picture[:, 6 + i:] += 3400
        save(root / f"images/{name}.png", picture)
        save(root / f"masks/{name}.png", np.where(picture > 2000, 4, 3).astype(np.uint8))
    keys = {"path": str(root), "classes": ["dark", "bright"], "ignore": [0, 1, 2], "range": [0.0, 4095.0]}
    return root, CONFIG | keys | {"image_size": 24}


@pytest.mark.usefixtures("maps_of_logits")
def test_pictures_are_read_and_masks_numbered_as_the_folder_has_it(
        mine: tuple[Path, dict[str, Any]], tmp_path: Path, training_config: Callable[..., TrainConfig]):
    root, keys = mine
    config, out, run = prepare_config(keys), tmp_path / "prepared", tmp_path / "run"
    write_json(root / SELECTION, {})
    out.mkdir()
    prepare.prepare(root, config, out, processes=1)
    described = folder.describe(config)
    assert Reading.of(described.reading) == dataclasses.replace(STORED, range=(0.0, 4095.0))
    info = dataclasses.replace(DatasetInfo.read(out), reading=described.reading, mask_values=described.mask_values)
    info.write(out)
    assert DatasetInfo.read(out) == info and info.mask_values == [3, 4]

    training = dataclasses.replace(training_config(epochs=30, batch_size=4, lr=0.02),
                                   loss=LossConfig(terms={"ce": 1.0}, options={"class_weights": "none"}))
    outcome = Trainer(training, out).run(title="test")
    weights.save(run / "weights.safetensors", outcome.state, outcome.header)
    assert weights.read_header(run / "weights.safetensors") == outcome.header
    status, output = predict(run, *sorted((root / "images").iterdir()), out=tmp_path / "out")
    assert status == 0, output
    same = []
    for mask in sorted((root / "masks").iterdir()):
        with Image.open(tmp_path / f"out/{mask.stem}.mask.png") as found, Image.open(mask) as truth:
            assert found.mode == "P" and set(np.unique(np.asarray(found))) <= {3, 4}
            same.append(np.mean(np.asarray(found) == np.asarray(truth)))
    assert np.mean(same) > 0.9  # all would be dark if the pictures were not read by their range


@pytest.mark.parametrize(("keys", "expected"), [
    ({"ignore": [255]}, [0, 1]), ({"ignore": [0, 2]}, [1, 3]), ({"values": {"0": "dark", "255": "bright"}}, [0, 255]),
    ({"values": {"9": "bright", "7": "dark", "8": "bright"}}, [7, 9]), ({"colors": {"#ff0000": "dark"}}, None),
    ({"masks": "folders"}, None)])
def test_a_folder_numbers_its_classes(mine: tuple[Path, dict[str, Any]], keys: dict[str, Any],
                                      expected: list[int] | None):
    assert folder.describe(prepare_config(mine[1] | keys)).mask_values == expected


def told(run: Path, *, resize: str = "crop", **changed: Any) -> None:
    """A run that finds the first class in red and the second in blue, with other words beside its weights."""
    state = red_and_blue(run, resize=resize, task="multiclass").network.state_dict()
    header = weights.read_header(run / "weights.safetensors")
    weights.save(run / "weights.safetensors", state, dataclasses.replace(header, **changed))


@pytest.mark.usefixtures("maps_of_logits")
@pytest.mark.parametrize(("numbers", "nothing", "mode"), [([0, 1], 255, "P"), ([0, 255], 1, "P"), ([255, 0], 1, "P"),
                                                          ([7, 3], 255, "P"), ([9, 40000], 255, "I;16"),
                                                          (None, 0, "P")])
def test_what_is_of_no_class_has_a_number_that_no_class_has(tmp_path: Path, numbers: list[int] | None, nothing: int,
                                                            mode: str):
    told(tmp_path, mask_values=numbers)
    RED_THEN_BLUE.save(tmp_path / "wide.png")
    status, output = predict(tmp_path, tmp_path / "wide.png", out=tmp_path / "out")
    assert status == 0, output
    red, blue = numbers or [1, 2]
    with Image.open(tmp_path / "out/wide.mask.png") as mask:
        assert mask.mode == mode
        assert np.asarray(mask)[20, [0, 25, 40, 60, 75, 99]].tolist() == [nothing, nothing, red, blue, nothing, nothing]
        if mode == "P":
            colours = np.asarray(mask.convert("RGB"))[20]
            assert len({tuple(colour) for colour in colours[[0, 40, 60]].tolist()}) == 3 and not colours[0].any()


def test_what_is_not_said_is_not_written(tmp_path: Path):
    """The bytes of other weights stay as they are."""
    told(tmp_path)
    data = (tmp_path / "weights.safetensors").read_bytes()
    header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])["__metadata__"]["seglib"]
    assert not {"reading", "mask_values"} & json.loads(header).keys() and '"threads"' in header


@pytest.mark.parametrize("reading", [{}, {"upright": True}, STORED.content() | {"range": [5, 1]}])
def test_a_reading_that_is_none_is_one_line(tmp_path: Path, reading: dict[str, Any]):
    told(tmp_path, reading=reading)
    RED_THEN_BLUE.save(tmp_path / "wide.png")
    status, output = predict(tmp_path, tmp_path / "wide.png", out=tmp_path / "out")
    assert status == 1 and "its weights were not written by seglib" in output
