"""ResNet encoders: the literature's counts, MONAI's ResNet as a peer, weights as transformers writes them."""

import dataclasses
from pathlib import Path

import pytest
import torch
from monai.networks.nets.resnet import ResNet as MonaiResNet
from monai.networks.nets.resnet import ResNetFeatures
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetForImageClassification

from seglib.files import file_sha256
from seglib.models import resnet
from seglib.models.resnet import ENCODERS, ResNet


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("encoder", "expected"), [("resnet18", 11_176_512), ("resnet34", 21_284_672)])
def test_parameter_counts_are_the_published_ones_without_the_classifier(encoder: str, expected: int):
    assert parameters(ResNet(encoder, stem="standard", weights="none", norm="batch")) == expected
    assert parameters(ResNet(encoder, stem="full", weights="none", norm="batch")) == expected - (49 - 9) * 3 * 64


@pytest.mark.parametrize(("stem", "parts"), [("standard", (2, 4, 8, 16, 32)), ("full", (1, 1, 2, 4, 8))])
def test_its_maps_have_their_sizes(stem: str, parts: tuple[int, ...]):
    maps = ResNet("resnet18", stem=stem, weights="none", norm="batch").eval()(torch.rand(1, 3, 64, 32))
    assert [tuple(m.shape) for m in maps] == [(1, channels, 64 // part, 32 // part) for channels, part in
                                              zip((64, 64, 128, 256, 512), parts, strict=True)]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_its_maps_are_those_of_monais_resnet_with_the_same_weights(encoder: str):
    torch.manual_seed(0)
    ours = ResNet(encoder, stem="standard", weights="none", norm="batch").eval()
    for name, buffer in ours.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    theirs = MonaiResNet("basic", list(ENCODERS[encoder].depths), [64, 128, 256, 512], spatial_dims=2,
                         n_input_channels=3, conv1_t_stride=2, shortcut_type="B", feed_forward=False,
                         bias_downsample=False).eval()

    def monais(name: str) -> str:
        match name.split("."):
            case ["stem", part, leaf]:
                return {"convolution": "conv1", "normalization": "bn1"}[part] + "." + leaf
            case ["stages", stage, "layers", layer, "layer", number, part, leaf]:
                part = {"convolution": "conv", "normalization": "bn"}[part]
                return f"layer{int(stage) + 1}.{layer}.{part}{int(number) + 1}.{leaf}"
            case ["stages", stage, "layers", layer, "shortcut", part, leaf]:
                part = {"convolution": "0", "normalization": "1"}[part]
                return f"layer{int(stage) + 1}.{layer}.downsample.{part}.{leaf}"
        raise AssertionError(name)

    theirs.load_state_dict({monais(name): tensor for name, tensor in ours.state_dict().items()})
    pictures = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        for our_map, their_map in zip(ours(pictures), ResNetFeatures.forward(theirs, pictures), strict=True):
            torch.testing.assert_close(our_map, their_map, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ResNetForImageClassification]:
    """A ResNet-18 for classification with random weights, and the folder transformers saved it in: the hub's format."""
    torch.manual_seed(1)
    model = ResNetForImageClassification(ResNetConfig(hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2],
                                                      layer_type="basic", num_labels=10)).eval()
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    folder = tmp_path_factory.mktemp("hub") / "resnet-18"
    model.save_pretrained(folder)
    return folder, model


def assert_same_maps(encoder: ResNet, model: ResNetForImageClassification) -> None:
    pictures = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        first, *maps = encoder.eval()(pictures)
        expected = model.resnet(pictures, output_hidden_states=True).hidden_states
    for found, theirs in zip([F.max_pool2d(first, 3, 2, 1), *maps], expected, strict=True):
        torch.testing.assert_close(found, theirs)


def test_a_local_folders_weights_are_loaded(classifier: tuple[Path, ResNetForImageClassification],
                                            monkeypatch: pytest.MonkeyPatch):
    folder, model = classifier
    assert_same_maps(ResNet("resnet18", stem="standard", weights=str(folder), norm="batch"), model)
    monkeypatch.setenv("DVC_ROOT", str(folder.parent))
    assert_same_maps(ResNet("resnet18", stem="standard", weights="resnet-18", norm="batch"), model)


def test_pretrained_weights_without_batch_norm_give_the_maps_that_they_give_with_it(
        classifier: tuple[Path, ResNetForImageClassification]):
    folder, model = classifier
    encoder = ResNet("resnet18", stem="standard", weights=str(folder), norm="none")
    assert_same_maps(encoder, model)
    with torch.no_grad():  # in training too: no statistics of a batch are used
        picture = torch.rand(2, 3, 64, 64)
        torch.testing.assert_close(encoder.train()(picture)[-1], model.resnet(picture).last_hidden_state)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("stem", ["standard", "full"])
def test_drawn_weights_without_batch_norm_keep_a_signal_at_its_size(encoder: str, stem: str):
    torch.manual_seed(0)
    pictures = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        maps = ResNet(encoder, stem=stem, weights="none", norm="none")(pictures)
    assert all(0.5 < m.std() < 3 for m in maps), [m.std() for m in maps]


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hub's client looks for the pinned ResNet-18, in a cache of this test's own and without network."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return (tmp_path / "models--microsoft--resnet-18" / "snapshots" / "65a5785d9156231087c481e0c7dd33a5ff6f7e3e" /
            "model.safetensors")


def test_without_network_it_says_what_to_do(hub_cache: Path):
    with pytest.raises(ValueError, match=r"ImageNet weights of resnet18 cannot be had from huggingface.co/microsoft/"
                                         r"resnet-18 \(.+\): set the model's weights to none, or to a local folder"
                       ) as error:
        ResNet("resnet18", stem="standard", weights="imagenet", norm="batch")
    assert "\n" not in str(error.value)


def test_the_pinned_file_is_read_and_its_checksum_held(
        hub_cache: Path, classifier: tuple[Path, ResNetForImageClassification], monkeypatch: pytest.MonkeyPatch):
    folder, model = classifier
    hub_cache.parent.mkdir(parents=True)
    hub_cache.write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match="has sha256 .*, expected 1cf00ee46.*: delete it to fetch it again"):
        ResNet("resnet18", stem="standard", weights="imagenet", norm="batch")
    monkeypatch.setitem(resnet.ENCODERS, "resnet18",
                        dataclasses.replace(ENCODERS["resnet18"], sha256=file_sha256(hub_cache)))
    assert_same_maps(ResNet("resnet18", stem="standard", weights="imagenet", norm="batch"), model)


def test_what_does_not_fit_is_said(classifier: tuple[Path, ResNetForImageClassification], tmp_path: Path):
    folder, _ = classifier
    with pytest.raises(ValueError, match="does not hold a resnet34: encoder.stages.0.layers.2.* is missing there"):
        ResNet("resnet34", stem="standard", weights=str(folder), norm="batch")
    with pytest.raises(ValueError, match="model.safetensors does not exist: weights is none, imagenet, or a folder"):
        ResNet("resnet18", stem="standard", weights=str(tmp_path), norm="batch")
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="does not hold a resnet18: .* of 101 differences"):
        ResNet("resnet18", stem="standard", weights=str(tmp_path), norm="batch")
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        ResNet("resnet18", stem="standard", weights=str(tmp_path), norm="batch")


@pytest.mark.parametrize(("arguments", "message"), [
    ({"encoder": "resnet50"}, "encoder is one of resnet18, resnet34, found 'resnet50'"),
    ({"stem": "small"}, "stem is 'standard' or 'full', found 'small'"),
    ({"norm": "after_relu"}, "norm is 'batch' or 'none', found 'after_relu'"),
    ({"stem": "full", "weights": "imagenet"}, "pretrained weights have a 7×7 stem: set stem to standard, or weights "),
])
def test_impossible_encoders_are_refused(arguments: dict[str, str], message: str):
    with pytest.raises(ValueError, match=message):
        ResNet(**{"encoder": "resnet18", "stem": "standard", "weights": "none", "norm": "batch"} | arguments)
