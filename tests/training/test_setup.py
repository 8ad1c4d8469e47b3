"""What a training starts from: the output layer's first bias, and the device's precision."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seglib.configs import TrainConfig
from seglib.training.device import choose_precision
from seglib.training.setup import Setup

Make = Callable[..., TrainConfig]


def first_prediction(config: TrainConfig, dataset: Path) -> tuple[Setup, torch.Tensor]:
    """What the network predicts everywhere if its weights add nothing: one value per class, as losses see it."""
    setup = Setup(config, dataset)
    with torch.no_grad():
        setup.network.output_layer.weight.zero_()
        seen = setup.encoding.seen_by_losses(setup.logits(torch.from_numpy(setup.train_split.images[:2].copy())))
    assert torch.equal(seen, seen[:1, :, :1, :1].expand_as(seen))
    return setup, seen[0, :, 0, 0]


@pytest.mark.parametrize("encoding", [{}, {"output": "raw"}, {"output": "raw", "targets": "label"}])
def test_the_first_prediction_is_the_mean_of_the_targets(training_config: Make, prepared_shapes: Path,
                                                        encoding: dict[str, str]):
    """Counted from the masks."""
    setup, found = first_prediction(training_config("mse", precision="fp32", **encoding), prepared_shapes)
    planes, _ = setup.encoding.planes(torch.from_numpy(setup.train_split.masks.copy()).view(torch.int8))
    expected = setup.encoding.targets_of(planes).mean((0, 2, 3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_the_first_prediction_of_exclusive_classes_is_their_frequency(training_config: Make, multiclass_shapes: Path):
    setup, found = first_prediction(training_config("mse", precision="fp32"), multiclass_shapes)
    masks = setup.train_split.masks
    expected = [float((masks == k).sum() / (masks != 255).sum()) for k in range(5)]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=0)


def test_only_the_output_bias_differs(training_config: Make, prepared_shapes: Path):
    """It is set after all weights were drawn."""
    prior, zero, default = (Setup(training_config("mse", output_bias=bias), prepared_shapes).network.state_dict()
                            for bias in ("prior", "zero", "default"))
    for other in (prior, zero):
        assert [name for name in default if not torch.equal(default[name], other[name])] == ["network.conv_out.bias"]
    assert not zero["network.conv_out.bias"].any() and default["network.conv_out.bias"].all()


def test_tf32_needs_a_gpu():
    with pytest.raises(ValueError, match="train.precision is tf32, which only a GPU has; choose fp32, or auto"):
        choose_precision("tf32", torch.device("cpu"))


@pytest.mark.parametrize(("capability", "bf16", "expected"), [
    ((8, 0), True, "bf16"), ((7, 5), False, "fp16"), ((7, 0), False, "fp16"), ((6, 1), False, "fp32")])
def test_a_gpu_without_bf16_computes_in_fp16_if_it_has_tensor_cores(monkeypatch: pytest.MonkeyPatch,
                                                                    capability: tuple[int, int], bf16: bool,
                                                                    expected: str):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", torch.device("cuda")) == expected
