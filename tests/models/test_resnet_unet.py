"""ResNet-U-Nets: the two faults of the published one, and that the matched one has neither."""

import pytest
import torch

from seglib.models.resnet_unet import ResNetUNet

H = 64


def build(decoder: str, *, stem: str = "full", classes: int = 1, norm: str = "batch") -> ResNetUNet:
    torch.manual_seed(0)
    return ResNetUNet(classes=classes, encoder="resnet18", weights="none", stem=stem, decoder=decoder,
                      norm=norm)


def test_published_and_matched_differ_in_the_two_faults_alone():
    published, matched = (dict(build(decoder, classes=3).named_parameters()) for decoder in ("published", "matched"))
    assert {name: tuple(published[name].shape) for name in published.keys() - matched.keys()} == {
        "up.3.upsample.weight": (64, 64, 2, 2), "up.3.upsample.bias": (64,),
        "output_norm.weight": (3,), "output_norm.bias": (3,)}
    assert all(published[name].shape == matched[name].shape for name in matched)


def test_the_published_decoder_throws_three_quarters_of_its_last_map_away():
    for decoder, kept in (("published", slice(H // 4, 3 * H // 4)), ("matched", slice(None))):
        network = build(decoder).eval()
        arrived = []
        network.up[-1].register_forward_pre_hook(lambda module, args, arrived=arrived: arrived.append(args[0]))
        logits = network(torch.rand(1, 3, H, H))
        used = torch.autograd.grad(logits.sum(), arrived[0])[0].abs().sum((0, 1)) > 0
        expected = torch.zeros(H, H, dtype=torch.bool)
        expected[kept, kept] = True
        assert torch.equal(used, expected)


@pytest.mark.parametrize("row", [20, 28, 32, 44])
@pytest.mark.parametrize(("decoder", "lands"), [("published", lambda row: {2 * row - H // 2, 2 * row - H // 2 + 1}),
                                                ("matched", lambda row: {row})])
def test_the_published_decoder_shows_the_centre_at_twice_its_size(decoder: str, lands, row: int):
    network = build(decoder).eval()
    with torch.no_grad():
        for module in network.modules():  # each convolution a mean: light spreads evenly and nothing cancels it
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                module.weight.fill_(1 / module.weight[0].numel())
        network.up[-1].convolve[0][0].weight[:, :64] = 0  # the stem's skip, which lies where it should
        dark, lit = torch.zeros(2, 1, 3, H, H)
        lit[..., row, H // 2] = 100
        change = (network(lit) - network(dark))[0, 0]
    assert change.argmax().item() // H in lands(row)


def test_the_published_batch_norm_hides_how_much_of_a_class_a_batch_shows():
    logits = {}
    for decoder in ("published", "matched"):
        network = build(decoder).train()
        dark, bright = (network(level + 0.1 * torch.rand(2, 3, 32, 32)) for level in (0.0, 5.0))
        logits[decoder] = dark, bright
    for batch in logits["published"]:
        assert batch.mean().item() == pytest.approx(0, abs=1e-5)  # its bias, at the start
        assert batch.std(correction=0).item() == pytest.approx(1, abs=1e-2)  # its weight
    dark, bright = logits["matched"]
    assert abs(dark.mean() - bright.mean()) > 1e-3


@pytest.mark.parametrize("stem", ["standard", "full"])
def test_without_norm_no_batch_norm_is_left_and_the_logits_start_small(stem: str):
    network = build("matched", stem=stem, norm="none", classes=3)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    with torch.no_grad():
        assert network(torch.randn(2, 3, H, H)).std() < 10


def test_a_network_with_batch_norm_has_the_weights_that_it_always_had():
    names = build("matched", stem="standard").state_dict()
    assert len(names) == 192 and not [name for name in names if name.endswith("convolution.bias")]
    assert {"encoder.stem.convolution.weight", "encoder.stages.3.layers.1.layer.1.normalization.running_var",
            "up.0.upsample.weight", "up.0.convolve.0.0.weight", "up.3.convolve.1.1.bias", "finest.0.weight",
            "output_layer.bias"} <= names.keys()


def test_weights_are_left_out_where_others_are_loaded_next():
    config = {"classes": 1, "encoder": "resnet18", "weights": "/nowhere", "stem": "standard", "decoder": "matched",
              "norm": "batch"}
    with pytest.raises(ValueError, match="/nowhere/model.safetensors does not exist"):
        ResNetUNet(**config)
    assert ResNetUNet(**config, pretrained=False)(torch.rand(2, 3, 32, 32)).shape == (2, 1, 32, 32)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"decoder": "published", "stem": "standard"}, "the published decoder needs stem 'full'"),
    ({"decoder": "published", "norm": "none"}, "the published decoder ends in a batch norm and needs norm 'batch'"),
    ({"decoder": "mirrored"}, "decoder is 'matched' or 'published', found 'mirrored'"),
])
def test_impossible_decoders_are_refused(arguments: dict[str, str], message: str):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
