"""ResNet-18 and ResNet-34 (He, Zhang, Ren, Sun 2015) as encoders: transformers' layers, with ImageNet's weights or not.

Shapes: B batch, C channels, H, W.
"""

import dataclasses
from pathlib import Path

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from seglib.files import file_sha256, repository_root
from seglib.models.blocks import draw_for_relus

WEIGHTS_FILE = "model.safetensors"


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A ResNet, and where the Hugging Face hub has its ImageNet weights."""

    depths: tuple[int, int, int, int]  # residual blocks a stage
    repository: str
    revision: str  # a commit
    sha256: str  # of the weights' file, as the hub states it


ENCODERS = {
    "resnet18": Architecture((2, 2, 2, 2), "microsoft/resnet-18", "65a5785d9156231087c481e0c7dd33a5ff6f7e3e",
                             "1cf00ee468998c23d084361b02cffadabacb5074105564c596b8079f77ecb126"),
    "resnet34": Architecture((3, 4, 6, 3), "microsoft/resnet-34", "4d180fbdc81b4d5d4eaa86ab89bdd669200dd477",
                             "1096166c7cf216a7320a6b67b754b1776b99205a44d070c6cb52429af2d136bb"),
}
STEM_CHANNELS = 64
STAGE_CHANNELS = (64, 128, 256, 512)


class ResNet(nn.Module):
    """(B, 3, H, W) to five maps, of 64, 64, 128, 256 and 512 channels: what the stem and each stage made.

    encoder: "resnet18" or "resnet34".
    stem: "standard" (7×7 with stride 2, then a max-pool, which the stem's map is taken before: maps at a half, a
        quarter, an 8th, a 16th and a 32nd; H and W multiples of 32) or "full" (3×3 with stride 1 and no pool: maps at
        full size, again at full size, a half, a quarter and an 8th; H and W multiples of 8).
    weights: "none", "imagenet" or a folder with a `model.safetensors`; a relative one starts at the repository's root.
        Pictures are expected as ImageNet's were, in 0..1 and normalised.
    norm: "batch" (batch norm after each convolution) or "none". Without it, pretrained weights take the batch norms'
        statistics and weights in: the encoder starts with the maps that the pretrained one gives in evaluation, and
        its convolutions have biases. If it is not pretrained, weights are drawn as for a U-Net without batch norm,
        and each residual block starts as its shortcut.

    Raises ValueError for weights that cannot be had or do not fit.
    """

    def __init__(self, encoder: str, *, stem: str, weights: str, norm: str):
        super().__init__()
        if encoder not in ENCODERS:
            raise ValueError(f"encoder is one of {', '.join(ENCODERS)}, found {encoder!r}")
        if stem not in ("standard", "full"):
            raise ValueError(f"stem is 'standard' or 'full', found {stem!r}")
        if norm not in ("batch", "none"):
            raise ValueError(f"norm is 'batch' or 'none', found {norm!r}")
        if stem == "full" and weights != "none":
            raise ValueError(f"weights is {weights!r}, but pretrained weights have a 7×7 stem: set stem to standard, "
                             "or weights to none")
        # transformers takes seconds to import, and nothing else needs it.
        from transformers import ResNetBackbone, ResNetConfig
        from transformers.models.resnet.modeling_resnet import ResNetConvLayer

        backbone = ResNetBackbone(ResNetConfig(embedding_size=STEM_CHANNELS, hidden_sizes=STAGE_CHANNELS,
                                               depths=ENCODERS[encoder].depths, layer_type="basic"))
        if weights != "none":
            _load(backbone, encoder, _published(encoder) if weights == "imagenet" else _local(encoder, weights))
        if stem == "standard":
            self.stem, self.pool = backbone.embedder.embedder, backbone.embedder.pooler
        else:
            self.stem, self.pool = ResNetConvLayer(3, STEM_CHANNELS, kernel_size=3, stride=1), nn.Identity()
        self.stages = backbone.encoder.stages
        if norm == "none":
            _fold_norms(self)
            if weights == "none":
                _draw_without_norm(self)

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        maps = [self.stem(x_BCHW)]
        x_BCHW = self.pool(maps[0])
        for stage in self.stages:
            x_BCHW = stage(x_BCHW)
            maps.append(x_BCHW)
        return maps


def _published(encoder: str) -> Path:
    """The hub's file, from the cache of its client or else the network, checked."""
    from huggingface_hub import hf_hub_download

    source = ENCODERS[encoder]
    try:
        path = Path(hf_hub_download(source.repository, WEIGHTS_FILE, revision=source.revision))
    except Exception as error:  # the client passes on what three libraries raise; each means that there is no file
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise ValueError(f"ImageNet weights of {encoder} cannot be had from huggingface.co/{source.repository} "
                         f"({reason}): set the model's weights to none, or to a local folder with that repository's "
                         f"{WEIGHTS_FILE}") from error
    if (found := file_sha256(path)) != source.sha256:
        raise ValueError(f"{path} has sha256 {found}, expected {source.sha256}: delete it to fetch it again")
    return path


def _local(encoder: str, folder: str) -> Path:
    path = repository_root() / folder / WEIGHTS_FILE
    if not path.is_file():
        raise ValueError(f"{path} does not exist: weights is none, imagenet, or a folder that holds the "
                         f"{WEIGHTS_FILE} of huggingface.co/{ENCODERS[encoder].repository}, or one that "
                         "transformers saved")
    return path


def _fold_norms(network: nn.Module) -> None:
    """Replace each convolution and its batch norm by one convolution that computes what both compute in evaluation."""
    network.eval()
    for layer in network.modules():
        if hasattr(layer, "normalization"):  # a convolution of transformers' ResNets, or a shortcut's
            layer.convolution = fuse_conv_bn_eval(layer.convolution, layer.normalization)
            layer.normalization = nn.Identity()
    network.train().requires_grad_()  # also the new biases


def _draw_without_norm(network: nn.Module) -> None:
    """Draw weights for ReLUs, and start the last convolution of each residual block at 0 (Zhang, Dauphin, Ma 2019).

    Otherwise each block would double the variance of its input, and a ResNet-34's logits would start near 400.
    """
    network.apply(draw_for_relus)
    for block in network.modules():
        if hasattr(block, "shortcut"):
            nn.init.zeros_(block.layer[-1].convolution.weight)


def _load(backbone: nn.Module, encoder: str, path: Path) -> None:
    """Put the file's weights into `backbone`; a classifier's, on top of the encoder, are left out."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        file = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from None
    weights = {name.removeprefix("resnet."): tensor for name, tensor in file.items()
               if not name.startswith("classifier.")}
    found, expected = (
        {name: tuple(tensor.shape) for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
        for tensors in (weights, backbone.state_dict()))
    if wrong := sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)):
        raise ValueError(f"{path} does not hold a {encoder}: {wrong[0]} is {found.get(wrong[0], 'missing')} there and "
                         f"{expected.get(wrong[0], 'unknown')} here, the first of {len(wrong)} differences")
    backbone.load_state_dict(weights)
