"""Whether a model can learn a few pictures by heart: asked of these pictures, and said."""

from collections.abc import Callable
from pathlib import Path

import pytest

from seglib.configs import TrainConfig
from seglib.datasets.store import Split
from seglib.training.loop import Trainer
from seglib.training.overfit import Verdict, first_pictures
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
    assert outcome.overfit == Verdict(2, pytest.approx(found["iou"]))
    assert outcome.overfit.could == could
    said = capsys.readouterr().out
    assert f"overfit: {'yes' if could else 'no'}, IoU {found['iou']:.3f} on the 2 pictures that it trained on" in said


def test_more_pictures_than_there_are_is_said(prepared_shapes: Path):
    split = Split.open(prepared_shapes, "train")
    assert len(first_pictures(split, 38)) == 38
    with pytest.raises(ValueError, match="train.overfit is 39, but there are 38 training pictures"):
        first_pictures(split, 39)
