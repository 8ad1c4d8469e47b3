"""Whether a model can learn a few pictures by heart: asked of these pictures, and said."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seglib import params, tasks
from seglib.configs import TrainConfig
from seglib.datasets.store import DatasetInfo, Split
from seglib.loss_floor import LossFloor
from seglib.losses import absent_costs
from seglib.losses.weighted import weighted_terms
from seglib.params.losses import resolved_loss
from seglib.training.loop import Trainer
from seglib.training.overfit import Verdict, classes_there, first_pictures
from tests.losses.views import of_logits
from tests.training.test_loop import scores_of

Make = Callable[..., TrainConfig]


@pytest.mark.parametrize(("epochs", "could"), [(1, False), (120, True)])
def test_the_verdict_is_of_the_pictures_it_was_trained_on(
        training_config: Make, prepared_shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture, epochs: int,
        could: bool):
    config = training_config("bce", overfit=2, epochs=epochs, batch_size=2, lr=5e-2, precision="fp32")
    outcome = Trainer(config, prepared_shapes).run(title="test")
    split = Split.open(prepared_shapes, "train")
    found = scores_of(outcome, Split(split.images[:2], split.masks[:2], split.folder), tmp_path)
    assert (outcome.overfit.pictures, outcome.overfit.iou) == (2, pytest.approx(found["iou"]))
    assert outcome.overfit.could == could and outcome.overfit.floor.loss == 0
    said = capsys.readouterr().out
    assert f"overfit: {'yes' if could else 'no'}, IoU {found['iou']:.3f} on the 2 pictures that it trained on" in said
    assert "cannot fall below" not in said and "leave a class out" not in said


TAUGHT, UNTAUGHT = "then look for a fault", "no term of this loss teaches the network to leave a class out"


@pytest.mark.parametrize(("loss", "weight", "remedy"), [("dice", 1, UNTAUGHT), ("mse_dice20", 20, TAUGHT)])
def test_the_verdict_knows_what_classes_cost_that_a_picture_lacks(
        training_config: Make, prepared_shapes: Path, capsys: pytest.CaptureFixture, loss: str, weight: float,
        remedy: str):
    config = training_config(loss, overfit=3, epochs=2, batch_size=2, precision="fp32")
    floor = (outcome := Trainer(config, prepared_shapes).run(title="test")).overfit.floor
    planes_NKHW = tasks.get("multilabel").unpack(Split.open(prepared_shapes, "train").masks[:3], 5)
    lacking = sum(not plane_HW.any() for planes_KHW in planes_NKHW for plane_HW in planes_KHW)
    assert 0 < lacking < 15 and (floor.lacking, floor.pairs) == (lacking, 15)
    assert floor.loss == pytest.approx(weight * lacking / 15)
    kept = next(row for row in outcome.history if row["kept"])
    assert outcome.overfit.loss == kept["loss"] > floor.loss
    said = capsys.readouterr().out
    assert f"cannot fall below {floor.loss:.4g}: in {lacking} of the 15 pairs" in said and remedy in said


def test_a_perfect_output_has_the_loss_of_the_floor(raw_params: dict[str, Any], prepared_shapes: Path,
                                                    multiclass_shapes: Path):
    settings = params.parse(raw_params)
    for dataset, names in ((prepared_shapes, ("mse", "dice", "mse_dice20", "dice_flat", "tversky", "bce_dice", "iou")),
                           (multiclass_shapes, ("ce_dice", "dice"))):
        info, pictures = DatasetInfo.read(dataset), first_pictures(Split.open(dataset, "train"), 6)
        masks = torch.from_numpy(np.array(pictures.masks).view(np.int8))
        planes, valid = info.task.targets(masks, 5)
        for name in names:
            loss = resolved_loss(settings.losses[name], settings.loss)
            perfect = of_logits(torch.where(planes, 40.0, -40.0).double(), planes, valid, exclusive=info.task.exclusive)
            options = {key: None if value == "none" else value for key, value in loss.options.items()}
            computed = weighted_terms(loss.terms, **options)
            floor = LossFloor.of(classes_there(pictures, info), loss.terms, absent_costs(loss),
                             exclusive=info.task.exclusive)
            assert computed.total(computed(perfect)).item() == pytest.approx(floor.loss, abs=1e-6), name
            assert (floor.loss > 0) == (name not in ("mse", "dice_flat"))


def test_a_class_whose_every_pixel_is_ignored_is_not_there(prepared_shapes: Path, tmp_path: Path):
    task, planes = tasks.get("multilabel"), np.zeros((2, 2, 4, 4), bool)
    planes[0, 0, :2] = planes[1, :, 1] = True
    ignored = np.zeros((2, 4, 4), bool)
    ignored[0, :2] = True
    masks = np.stack([task.pack(*one) for one in zip(planes, ignored, strict=True)])
    info = dataclasses.replace(DatasetInfo.read(prepared_shapes), classes=["a", "b"])
    there = classes_there(Split(np.zeros((2, 4, 4, 3), np.uint8), masks, tmp_path), info)
    np.testing.assert_array_equal(there, [[False, False], [True, True]])


@pytest.mark.parametrize(("weights", "costs", "exclusive", "teaches"), [
    ({"dice": 1.0}, {"dice": 1.0}, False, False),
    ({"dice": 1.0}, {"dice": 1.0}, True, True),  # a softmax: what one class gains the others lose
    ({"dice": 1.0, "boundary": 0.1}, {"dice": 1.0, "boundary": 0.0}, False, False),
    ({"dice": 1.0, "mse": 0.0}, {"dice": 1.0}, False, False),
    ({"dice": 1.0, "mse": 0.1}, {"dice": 1.0}, False, True)])
def test_whether_a_loss_teaches_to_leave_classes_out(
        weights: dict[str, float], costs: dict[str, float], exclusive: bool, teaches: bool):
    floor = LossFloor.of(np.arange(6).reshape(2, 3) < 4, weights, costs, exclusive=exclusive)
    assert (floor.teaches_absence, floor.lacking, floor.loss) == (teaches, 2, pytest.approx(1 / 3))
    said = str(Verdict(pictures=6, iou=0.3, loss=2.0, floor=floor))
    assert (UNTAUGHT in said) != teaches and (TAUGHT in said) == teaches
    assert "which costs 1 in dice whatever is predicted" in said and "boundary" not in said
    assert UNTAUGHT not in str(Verdict(pictures=6, iou=0.95, loss=2.0, floor=floor))


def test_more_pictures_than_there_are_is_said(prepared_shapes: Path):
    split = Split.open(prepared_shapes, "train")
    assert len(first_pictures(split, 38)) == 38
    with pytest.raises(ValueError, match="train.overfit is 39, but there are 38 training pictures"):
        first_pictures(split, 39)
