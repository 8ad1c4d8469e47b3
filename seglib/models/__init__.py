"""Architectures: each takes pictures (B, C, H, W) of any size and gives logits (B, K, H, W), float.

Another one is a module here and an entry in KINDS. Its class names `divisor` (what its input's sides must be multiples
of), `output_layer` (the layer whose weight writes the logits, or None) and `encoder` (the part that a training may
freeze, or None).
"""

import inspect
from collections.abc import Sequence
from typing import Any

from torch import nn

from seglib.models.convnet import ConvNet
from seglib.models.munet import MUnet
from seglib.models.padding import Padded
from seglib.models.resnet_unet import ResNetUNet
from seglib.models.unet import UNet

KINDS: dict[str, type[nn.Module]] = {
    "convnet": ConvNet,
    "munet": MUnet,
    "resnet_unet": ResNetUNet,
    "unet": UNet,
}


def build(config: dict[str, Any], *, classes: int, image_size: Sequence[int], pretrained: bool = True) -> Padded:
    """The network a model's configuration describes (`kind` and that kind's keys), freshly initialised.

    image_size: (H, W) of the training pictures. pretrained: False where finished weights are loaded next, so that none
    are fetched that would be overwritten. A class is given the configuration's keys and those of `classes`,
    `image_size` and `pretrained` that its constructor names.

    Weights come from torch's global generator: seed it, or fork it, around the call. Raises ValueError for an
    unknown kind, and for pretrained weights that cannot be had.
    """
    kind, keys = config["kind"], {key: value for key, value in config.items() if key != "kind"}
    if kind not in KINDS:
        raise ValueError(f"unknown model kind {kind!r}; known: {', '.join(KINDS)}")
    offered = {"classes": classes, "image_size": tuple(image_size), "pretrained": pretrained}
    wanted = inspect.signature(KINDS[kind]).parameters
    return Padded(KINDS[kind](**keys, **{name: value for name, value in offered.items() if name in wanted}))
