"""Steps of a single picture: those that can be avoided, and those that a network cannot learn from."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from seglib.configs import NEUTRAL, LossConfig, ModelConfig, TrainConfig
from seglib.datasets import prepare, readers
from seglib.files import write_json
from seglib.training import checkpoint
from seglib.training.loop import Trainer
from tests.conftest import prepare_config, shared, with_settings
from tests.datasets.folders import CONFIG
from tests.training.test_resume import RESNET_UNET, hoarded, train

Make = Callable[..., TrainConfig]
UNET = ModelConfig(kind="unet", arguments={"width": 4, "norm": "batch", "upsampling": "bilinear"})
WITHOUT_NORM = ModelConfig(kind="unet", arguments=UNET.arguments | {"norm": "none"})


@pytest.fixture
def nine(tmp_path: Path) -> Callable[[int], Path]:
    """Nine training pictures, prepared at a size."""
    def make(image_size: int) -> Path:
        raw, out = tmp_path / "raw", tmp_path / f"prepared{image_size}"
        raw.mkdir()
        source = shared("own_data") / "last_batch_of_one"
        for path in source.iterdir():
            (raw / path.name).symlink_to(path)
        write_json(raw / readers.SELECTION, {})
        out.mkdir()
        prepare.prepare(raw, prepare_config(CONFIG | {"path": str(source), "classes": ["background", "thing"],
                                                      "ignore": [], "image_size": image_size}), out)
        return out
    return make


def of_model(config: TrainConfig, model: ModelConfig) -> TrainConfig:
    return dataclasses.replace(config, model=model,
                               loss=LossConfig(terms={"ce": 1.0}, options={"class_weights": None}))


def sizes_of_steps(network: nn.Module) -> list[int]:
    """The numbers of pictures that the network will learn from, step by step."""
    sizes = []
    network.register_forward_pre_hook(lambda module, x: sizes.append(len(x[0])) if module.training else None)
    return sizes


@pytest.mark.parametrize(("model", "image_size"), [(UNET, 16), (RESNET_UNET, 32), (WITHOUT_NORM, 16)],
                         ids=["unet", "resnet_unet", "without norm"])
@pytest.mark.parametrize(("batch_size", "expected"), [(4, [4, 5]), (8, [9]), (9, [9]), (7, [7, 2])])
def test_nine_pictures_are_learnt_whatever_the_batch(nine: Callable[[int], Path], training_config: Make,
                                                     model: ModelConfig, image_size: int, batch_size: int,
                                                     expected: list[int]):
    training = Trainer(of_model(training_config(batch_size=batch_size, epochs=2, log_every=1), model),
                       nine(image_size))
    sizes = sizes_of_steps(training.network)
    history = training.run(title="test").history
    assert sizes == 2 * expected
    assert [row["iteration"] for row in history if row["span"] == "window"] == list(range(1, 2 * len(expected) + 1))
    assert training.history.pictures(expected) == 18


def test_a_training_whose_last_batch_was_merged_resumes_in_the_same_bytes(training_config: Make, tmp_path: Path,
                                                                          prepared_shapes: Path):
    config = with_settings(training_config(batch_size=4, epochs=2, overfit=13, log_every=1),
                           augment=dataclasses.replace(NEUTRAL, flip=0.5, rotation=20.0, color=0.2))
    whole, kept = hoarded(config, prepared_shapes, tmp_path / "whole")
    seen = []
    for path in kept:
        state = checkpoint.load(path)["history"]
        seen.append(Trainer(config, prepared_shapes, checkpoint_path=path).history.pictures([4, 4, 5]))
        assert seen[-1] == 13 * (state["epoch"] - (state["step"] > 0)) + [0, 4, 8, 13][state["step"]]
        assert train(config, prepared_shapes, tmp_path / "resumed", checkpoint_path=path) == whole
    assert seen == [4, 8, 13, 13, 17, 21, 26, 26]


@pytest.mark.parametrize(("settings", "found", "remedy"), [
    ({"batch_size": 1}, "train.batch_size is 1", "set train.batch_size to 2 or more"),
    ({"batch_size": 4, "overfit": 1}, "train.overfit is 1", "set train.overfit to 2 or more"),
])
def test_steps_of_one_value_per_channel_are_refused(nine: Callable[[int], Path], training_config: Make,
                                                    settings: dict[str, int], found: str, remedy: str):
    said = (f"^{found}, and of one picture at 16×16 the batch normalisation of a unet sees a single value per channel, "
            f"which it cannot normalise: {remedy}, or raise the dataset's image_size$")
    config, dataset = training_config(epochs=1, **settings), nine(16)
    with pytest.raises(ValueError, match=said):
        Trainer(of_model(config, UNET), dataset)
    Trainer(of_model(config, WITHOUT_NORM), dataset).run(title="test")


def test_steps_of_one_picture_are_learnt_if_it_is_large_enough(nine: Callable[[int], Path], training_config: Make):
    """The look at its sizes before leaves no trace in the network."""
    config = of_model(training_config(batch_size=1, epochs=1), UNET)
    training = Trainer(config, nine(32))
    assert training.network.training
    means = [module.running_mean for module in training.network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert means and not torch.cat(means).any()
    sizes = sizes_of_steps(training.network)
    training.run(title="test")
    assert sizes == [1] * 9
