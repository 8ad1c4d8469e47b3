"""A model that owns its loss: the loop trains it by the terms that it computes itself, and by no others."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seglib import models, params, resolve
from seglib.configs import LossConfig, ModelConfig, TrainConfig
from seglib.losses.view import View
from seglib.training.loop import Trainer

TERMS = ("area", "pixels")


class OwnLoss(nn.Module):
    """One convolution, whose loss compares the area of each class, and its pixels."""

    divisor = 1
    encoder = None

    def __init__(self, *, classes: int):
        super().__init__()
        self.output_layer = nn.Conv2d(3, classes, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.output_layer(x_BCHW)

    def loss_terms(self, view: View) -> dict[str, Tensor]:
        p_BKHW, truth_BKHW = view.logits_BKHW.sigmoid(), view.planes_BKHW.float()
        return {"area": (p_BKHW.mean((2, 3)) - truth_BKHW.mean((2, 3))).square().mean(),
                "pixels": (p_BKHW - truth_BKHW).square().mean()}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered kind of model that owns its loss. `convnet` gives way, so that params.yaml can name it too."""
    monkeypatch.setitem(models.KINDS, "convnet", models.Kind(path=f"{__name__}:OwnLoss", loss_terms=TERMS))


@pytest.fixture
def config(training_config: Callable[..., TrainConfig]) -> TrainConfig:
    return dataclasses.replace(
        training_config(epochs=6, lr=0.1, log_every=1, precision="fp32", output_bias="default"),
        model=ModelConfig(kind="convnet", arguments={}), loss=LossConfig(terms=dict.fromkeys(TERMS, 1.0), options={}))


def test_it_is_trained_by_its_own_terms(config: TrainConfig, prepared_shapes: Path):
    rows = Trainer(config, prepared_shapes).run(title="test").history
    for row in rows:
        assert row["loss"] == pytest.approx(row["area"] + row["pixels"])
        assert row["span"] == "epoch" or min(row["area_grad_norm"], row["pixels_grad_norm"]) > 0
    val = [row["loss"] for row in rows if row["split"] == "val"]
    assert val[-1] < 0.7 * val[0]


def test_its_first_loss_is_the_one_that_it_computes(config: TrainConfig, prepared_shapes: Path):
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=64, epochs=1))
    trainer = Trainer(config, prepared_shapes)
    batch = next(trainer.train.batches(np.arange(len(trainer.train))))
    with torch.no_grad():
        p = trainer.network(trainer.encoding.pictures(batch.images_BHWC)).sigmoid()
        planes, _ = trainer.encoding.planes(batch.masks_BHW)
    expected = (p - planes.float()).square().mean().item()
    assert trainer.run(title="test").history[0]["pixels"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("terms", [{"mse": 1.0}, {"area": 1.0}, {"area": 1.0, "pixels": 1.0, "mse": 1.0}])
def test_no_other_term_is_combined_with_them(config: TrainConfig, prepared_shapes: Path, terms: dict[str, float]):
    config = dataclasses.replace(config, loss=LossConfig(terms=terms, options={}))
    with pytest.raises(ValueError, match="a convnet computes its loss itself, of area, pixels; the configuration"):
        Trainer(config, prepared_shapes)


def test_params_give_it_a_loss_that_is_its_own(raw_params: dict[str, Any]):
    raw_params["losses"]["own"] = {"own": True}
    raw_params["run"] |= {"models": ["convnet"], "losses": ["own"]}
    for training in resolve.resolve(params.parse(raw_params)):
        assert training.train.loss == LossConfig(terms={"area": 1.0, "pixels": 1.0}, options={})
    raw_params["run"]["losses"] = ["mse"]
    with pytest.raises(params.ParamsError, match="× convnet × mse: a convnet computes its loss itself"):
        resolve.resolve(params.parse(raw_params))
    raw_params["run"] |= {"models": ["munet"], "losses": ["own"]}
    with pytest.raises(params.ParamsError, match="× munet × own: own: true is for a model that computes its loss"):
        resolve.resolve(params.parse(raw_params))
