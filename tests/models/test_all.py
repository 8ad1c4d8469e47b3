"""What every model must do: any size, train and eval, bf16, channels-last, one picture, the same bytes, export."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import onnxruntime
import pytest
import torch

from seglib import models
from seglib.configs import ModelConfig
from seglib.models.padding import Padded

_RESNET = {"kind": "resnet_unet", "encoder": "resnet18", "weights": "none"}
CONFIGS = {
    "munet": {"kind": "munet", "depth": 4, "width": 8, "upsampling": "learned"},
    "munet_deep": {"kind": "munet", "depth": 8, "width": 8, "upsampling": "learned"},
    "munet_dlstudio": {"kind": "munet", "depth": 4, "width": 8, "upsampling": "dlstudio"},
    "munet_aspp": {"kind": "munet", "depth": 4, "width": 8, "upsampling": "learned", "aspp_rates": [2, 4, 6]},
    "unet": {"kind": "unet", "width": 8, "upsampling": "transposed", "norm": "batch"},
    "unet_bilinear": {"kind": "unet", "width": 8, "upsampling": "bilinear", "norm": "after_relu"},
    "unet_no_norm": {"kind": "unet", "width": 8, "upsampling": "transposed", "norm": "none"},
    "resnet_unet": _RESNET | {"stem": "standard", "decoder": "matched", "norm": "batch"},
    "resnet_unet_full": _RESNET | {"stem": "full", "decoder": "matched", "norm": "batch"},
    "resnet_unet_no_norm": _RESNET | {"stem": "standard", "decoder": "matched", "norm": "none"},
    "resnet_unet_published": _RESNET | {"stem": "full", "decoder": "published", "norm": "batch"},
    "convnet": {"kind": "convnet", "width": 8, "layers": 3, "norm": "batch"},
}
# Those left out hold no other operations. Exporting one takes seconds, so two stand for all in the fast tests.
EXPORTED = [pytest.param(name, marks=() if name in ("munet", "unet") else pytest.mark.slow) for name in
            sorted(CONFIGS.keys() - {"munet_deep", "unet_no_norm", "resnet_unet_full", "resnet_unet_no_norm"})]


def build(name: str, *, seed: int = 0) -> Padded:
    torch.manual_seed(seed)
    return models.build(ModelConfig.of(CONFIGS[name]), classes=3, image_size=(32, 32))


@pytest.fixture(params=CONFIGS)
def network(request: pytest.FixtureRequest) -> Padded:
    """A network as after some training, so that batch norm is not the identity."""
    network = build(request.param)
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    return network


@pytest.fixture
def deterministic_algorithms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


def test_every_kind_is_tested_here():
    assert {config["kind"] for config in CONFIGS.values()} == set(models.KINDS)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_kind_declares_whether_it_has_an_encoder(name: str):
    assert (build(name).encoder is not None) == models.KINDS[CONFIGS[name]["kind"]].has_encoder


@pytest.mark.parametrize("size", [(32, 32), (61, 37), (16, 8), (9, 70)])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_any_size_keeps_its_size(network: Padded, size: tuple[int, int], mode: str):
    getattr(network, mode)()
    assert network(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_the_logits_of_a_picture_do_not_depend_on_its_batch(network: Padded):
    network.eval()
    pictures = torch.rand(3, 3, 40, 36)
    with torch.no_grad():
        alone = torch.cat([network(picture[None]) for picture in pictures])
        torch.testing.assert_close(alone, network(pictures), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_one_picture_a_batch_trains_every_parameter(name: str):
    network = build(name).train()
    network(torch.rand(1, 3, 64, 64)).square().mean().backward()
    has_idle_layers = any(parameter.grad is None for parameter in network.parameters())
    assert has_idle_layers == (name == "munet_dlstudio")  # see test_munet
    assert network.output_layer.weight.grad.abs().sum() > 0


@pytest.mark.usefixtures("deterministic_algorithms")
@pytest.mark.parametrize("name", CONFIGS)
def test_the_same_seed_gives_the_same_gradients_to_the_last_bit(name: str):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    picture = torch.rand(2, 3, 40, 64, generator=torch.Generator().manual_seed(1))
    gradients = []
    for seed in (0, 0, 1):
        network = build(name, seed=seed).to(device)
        network(picture.to(device)).square().mean().backward()
        gradients.append(network.output_layer.weight.grad)
    assert torch.equal(gradients[0], gradients[1]) and not torch.equal(gradients[0], gradients[2])


def test_channels_last_and_bf16_agree_with_fp32(network: Padded):
    network.eval()
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = network(picture)
        network.to(memory_format=torch.channels_last)
        torch.testing.assert_close(network(picture.contiguous(memory_format=torch.channels_last)), expected,
                                   rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            error = (network(picture).float() - expected).norm() / expected.norm()
    assert error < 0.05  # bf16 keeps 8 bits of a number


@pytest.mark.parametrize("network", EXPORTED, indirect=True)
@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")  # torch's own
def test_exported_it_computes_the_same(network: Padded, tmp_path: Path):
    network.eval()
    pictures, path = torch.rand(2, 3, 40, 36), tmp_path / "network.onnx"
    with torch.no_grad():
        expected = network(pictures)
        program = torch.export.export(network, (pictures,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.testing.assert_close(program.module()(pictures), expected, rtol=1e-4, atol=1e-5)
        torch.onnx.export(program, f=path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for chosen in (pictures, pictures[:1]):
        [found] = session.run(None, {session.get_inputs()[0].name: chosen.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), expected[:len(chosen)], rtol=1e-4, atol=1e-5)


def test_only_a_resnet_waits_for_transformers_to_be_imported():
    code = ("import sys; from seglib import models; from seglib.configs import ModelConfig; "
            "assert 'torch' not in sys.modules; "
            f"models.build(ModelConfig.of({CONFIGS['unet']}), classes=1, image_size=(8, 8)); "
            "assert 'transformers' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown model kind 'vnet': did you mean 'unet'"):
        models.build(ModelConfig(kind="vnet", arguments={}), classes=1, image_size=(8, 8))


class Constant(torch.nn.Module):
    divisor, output_layer, encoder = 4, None, None

    def __init__(self, *, classes: int, image_size: tuple[int, int], value: float):
        super().__init__()
        self.shape, self.value, self.image_size = (classes, 1, 1), value, image_size

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        assert all(side % self.divisor == 0 for side in x_BCHW.shape[2:])
        return x_BCHW.new_full(self.shape, self.value).expand(len(x_BCHW), -1, *x_BCHW.shape[2:])


def test_a_model_is_added_by_one_entry(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(models.KINDS, "constant", models.Kind(path=f"{__name__}:Constant"))
    network = models.build(ModelConfig(kind="constant", arguments={"value": 7.0}), classes=2, image_size=[5, 6])
    assert network.network.image_size == (5, 6) and network.divisor == 4
    assert network.output_layer is None and network.encoder is None
    torch.testing.assert_close(network(torch.rand(1, 3, 5, 6)), torch.full((1, 2, 5, 6), 7.0))
