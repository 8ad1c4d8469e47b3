"""A trained network as a predictor: at a picture's own size, whichever way the picture came to the network's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglib import models
from seglib.configs import ModelConfig
from seglib.prediction.network import NetworkPredictor
from seglib.training import weights
from seglib.training.header import Header

RED_THEN_BLUE = Image.new("RGB", (100, 40), "red")
RED_THEN_BLUE.paste("blue", (50, 0, 100, 40))


def red_and_blue(path: Path, *, resize: str, task: str) -> NetworkPredictor:
    """A network of 64×64 whose first class is red and whose second is blue: a logit of 5 for it, and of -5 without."""
    model = {"kind": "convnet", "width": 2, "layers": 1, "norm": "none"}
    network = models.build(ModelConfig.of(model), classes=2, image_size=(64, 64))
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    convolution, output = (module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    with torch.no_grad():
        convolution.weight[0, 0, 1, 1] = convolution.weight[1, 2, 1, 1] = 1.0
        output.weight[0, 0] = output.weight[1, 1] = 10.0
        output.bias -= 5.0
    header = Header(model=model, classes=["red", "blue"], label_values=[50.0, 250.0], task=task, image_size=[64, 64],
                    resize=resize, pixels="unit", targets="unit", output="sigmoid", device="cpu", precision="fp32",
                    threads=1)
    weights.save(path / "weights.safetensors", network.state_dict(), header)
    return NetworkPredictor(path / "weights.safetensors")


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
@pytest.mark.parametrize(("resize", "seen"), [("stretch", slice(0, 100)), ("pad", slice(0, 100)),
                                              ("crop", slice(30, 70))])
def test_predictions_come_back_to_a_pictures_own_size(tmp_path: Path, resize: str, seen: slice, task: str):
    """Each half of the picture has its class. What was cut away has none."""
    predictor = red_and_blue(tmp_path, resize=resize, task=task)
    shares = predictor.shares_at(predictor.shares(RED_THEN_BLUE), (40, 100)).numpy()
    planes = predictor.predict(RED_THEN_BLUE)
    assert shares.dtype == np.float32 and shares.shape == planes.shape == (2, 40, 100)
    columns = np.arange(100)
    inside = (columns >= seen.start) & (columns < seen.stop)
    assert (planes[0] == (inside & (columns < 50))).all() and (planes[1] == (inside & (columns >= 50))).all()
    assert (shares[:, :, ~inside] == 0).all()
    if task == "multiclass":
        np.testing.assert_allclose(shares[:, :, inside].sum(0), 1, rtol=1e-5)
    else:
        assert shares.max() == pytest.approx(torch.tensor(5.0).sigmoid().item())


def test_finished_weights_need_no_pretrained_ones(tmp_path: Path):
    """The pretrained weights that a network began with are not looked for again."""
    model = {"kind": "resnet_unet", "encoder": "resnet18", "weights": "none", "stem": "standard", "decoder": "matched",
             "norm": "batch"}
    began = model | {"weights": str(tmp_path / "gone")}
    state = models.build(ModelConfig.of(model), classes=1, image_size=(64, 64)).state_dict()
    header = Header(model=began, classes=["a"], label_values=[1.0], task="multilabel", image_size=[64, 64],
                    resize="pad", pixels="imagenet", targets="unit", output="sigmoid", device="cpu", precision="fp32",
                    threads=1)
    weights.save(tmp_path / "weights.safetensors", state, header)
    with pytest.raises(ValueError, match="gone"):
        models.build(ModelConfig.of(began), classes=1, image_size=(64, 64))
    loaded, _ = weights.load(tmp_path / "weights.safetensors", torch.device("cpu"))
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())


def test_own_size_is_the_way_back_of_any_shares(tmp_path: Path):
    predictor = red_and_blue(tmp_path, resize="stretch", task="multilabel")
    shares = torch.rand(2, 64, 64)
    torch.testing.assert_close(predictor.shares_at(shares, (64, 64)), shares)
    assert predictor.shares_at(shares, (30, 170)).shape == (2, 30, 170)
