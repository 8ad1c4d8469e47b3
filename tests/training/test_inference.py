"""Prediction at a picture's own size, whichever way it came to the network's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglib import models
from seglib.training import weights
from seglib.training.header import Header
from seglib.training.inference import Predictor

WIDE = Image.new("RGB", (100, 40), "gray")


def half_and_half(path: Path, *, resize: str, task: str) -> Predictor:
    """A network of 64×64 that says the first class on the left half of its frame and the second on the right."""
    model = {"kind": "frequency"}
    network = models.build(model, classes=2, image_size=(64, 64))
    left_HW = (torch.arange(64) < 32).expand(64, 64)
    state = {name: torch.stack([left_HW, ~left_HW]) * 10.0 - 5.0 for name in network.state_dict()}
    header = Header(model=model, classes=["left", "right"], label_values=[50.0, 250.0], task=task,
                            image_size=[64, 64], resize=resize, pixels="unit", targets="unit", output="sigmoid",
                            device="cpu", precision="fp32", threads=1)
    weights.save(path / "weights.safetensors", state, header)
    return Predictor(path / "weights.safetensors")


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
@pytest.mark.parametrize(("resize", "seen"), [("stretch", slice(0, 100)), ("pad", slice(0, 100)),
                                              ("crop", slice(30, 70))])
def test_shares_at_own_size(tmp_path: Path, resize: str, seen: slice, task: str):
    """The halves of the frame are halves of the picture; of what was cut away nothing is said."""
    predictor = half_and_half(tmp_path, resize=resize, task=task)
    shares = predictor.shares_at_own_size(WIDE)
    assert shares.dtype == np.float32 and shares.shape == (2, 40, 100)
    planes = predictor.encoding.present_of(torch.from_numpy(shares)).numpy() & shares.any(0)
    columns = np.arange(100)
    inside = (columns >= seen.start) & (columns < seen.stop)
    assert (planes[0] == (inside & (columns < 50))).all() and (planes[1] == (inside & (columns >= 50))).all()
    assert (shares[:, :, ~inside] == 0).all()
    if task == "multiclass":
        np.testing.assert_allclose(shares[:, :, inside].sum(0), 1, rtol=1e-5)
    else:
        assert shares.max() == pytest.approx(torch.tensor(5.0).sigmoid().item())


def test_finished_weights_need_no_pretrained_ones(tmp_path: Path):
    """What a network began with is not looked for again."""
    model = {"kind": "resnet_unet", "encoder": "resnet18", "weights": "none", "stem": "standard", "decoder": "matched"}
    began = model | {"weights": str(tmp_path / "gone")}
    state = models.build(model, classes=1, image_size=(64, 64)).state_dict()
    header = Header(model=began, classes=["a"], label_values=[1.0], task="multilabel", image_size=[64, 64],
                            resize="pad", pixels="imagenet", targets="unit", output="sigmoid", device="cpu",
                            precision="fp32", threads=1)
    weights.save(tmp_path / "weights.safetensors", state, header)
    with pytest.raises(ValueError, match="gone"):
        models.build(began, classes=1, image_size=(64, 64))
    loaded, _ = weights.load(tmp_path / "weights.safetensors", torch.device("cpu"))
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())


def test_own_size_is_the_way_back_of_any_logits(tmp_path: Path):
    """Logits of a split's batch, as evaluation has them: at the training's size they are only made shares."""
    predictor = half_and_half(tmp_path, resize="stretch", task="multilabel")
    logits = torch.randn(2, 64, 64, dtype=torch.bfloat16)
    torch.testing.assert_close(predictor.own_size(logits, (64, 64)), logits.float().sigmoid())
    assert predictor.own_size(logits, (30, 170)).shape == (2, 30, 170)
