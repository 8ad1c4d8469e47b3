"""A frozen encoder stays as it came, to the byte, and then learns with the rest."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from seglib.configs import ModelConfig, TrainConfig
from seglib.training.loop import Trainer
from tests.conftest import with_settings

Make = Callable[..., TrainConfig]
RESNET_UNET = ModelConfig(kind="resnet_unet", arguments={"encoder": "resnet18", "weights": "none", "stem": "standard",
                                                         "decoder": "matched", "norm": "batch"})


def tensors(network: nn.Module, *, encoder: bool) -> dict[str, bytes]:
    """The bytes of every parameter and buffer inside, or outside, the encoder."""
    inside = {id(tensor) for tensor in network.encoder.state_dict(keep_vars=True).values()}
    return {name: tensor.detach().numpy().tobytes() for name, tensor in network.state_dict(keep_vars=True).items()
            if (id(tensor) in inside) == encoder}


@pytest.fixture
def config(training_config: Make) -> TrainConfig:
    """Two epochs frozen, two not, of three steps; on few pictures, because a ResNet takes its time."""
    config = training_config(epochs=4, schedule="constant", lr=1e-3, batch_size=2, overfit=6)
    return dataclasses.replace(with_settings(config, freeze_encoder_epochs=2, freeze_lr=5e-3), model=RESNET_UNET)


def test_a_frozen_encoder_keeps_its_bytes_and_then_learns(config: TrainConfig, prepared_shapes: Path):
    training = Trainer(config, prepared_shapes)
    seen = [(tensors(training.network, encoder=True), tensors(training.network, encoder=False))]
    optimizers = []

    def look(rows: list) -> None:
        seen.append((tensors(training.network, encoder=True), tensors(training.network, encoder=False)))
        optimizers.append(training.optimization.optimizer)

    history = training.run(title="test", on_epoch=look).history
    encoders, rests = zip(*seen, strict=True)
    assert any("running_mean" in name for name in encoders[0])
    assert encoders[0] == encoders[1] == encoders[2]
    for before, after in ((rests[0], rests[1]), (rests[1], rests[2]), (rests[2], rests[3]), (encoders[2], encoders[3])):
        unchanged = [name for name in before if before[name] == after[name]]
        assert not unchanged, unchanged
    assert [row["lr"] for row in history if row["split"] == "val"] == [5e-3, 5e-3, 1e-3, 1e-3]
    assert optimizers[0] is optimizers[1] is not optimizers[2] is optimizers[3]


def test_each_phase_has_a_schedule_of_its_own(config: TrainConfig, prepared_shapes: Path):
    """One cycle a phase: from lr / 25 up to lr and down to nothing."""
    config = with_settings(config, schedule="one_cycle", log_every=1)
    history = Trainer(config, prepared_shapes).run(title="test").history
    frozen, free = np.array([row["lr"] for row in history if row["span"] == "window"]).reshape(2, 6)
    assert free[0] == pytest.approx(1e-3 / 25) and free.max() > 5e-4
    assert frozen == pytest.approx(5 * free)


def test_patience_counts_from_the_last_phase(config: TrainConfig, prepared_shapes: Path, tmp_path: Path):
    """Of pictures without any class no epoch is better than another: only the second phase stops for that."""
    shutil.copytree(prepared_shapes, tmp_path / "empty")
    masks = np.load(tmp_path / "empty/train/masks.npy")
    np.save(tmp_path / "empty/train/masks.npy", np.zeros_like(masks))
    config = with_settings(config, epochs=9, freeze_encoder_epochs=3, patience=2)
    training = Trainer(config, tmp_path / "empty")
    training.run(title="test")
    assert training.epoch == 3 + 2


def test_a_model_without_an_encoder_cannot_freeze_it(training_config: Make, prepared_shapes: Path):
    config = with_settings(training_config(), freeze_encoder_epochs=1, freeze_lr=1e-3)
    with pytest.raises(ValueError, match="freeze_encoder_epochs is 1, but this model has no encoder to freeze"):
        Trainer(config, prepared_shapes)
