"""Architectures: each takes pictures (B, C, H, W) of any size and gives logits (B, K, H, W), float.

Another architecture is a module here and an entry in KINDS. Its class has the attributes `divisor` (the sides of its
input must be multiples of it), `output_layer` (the layer whose weight writes the logits, or None) and `encoder` (the
part that a training may freeze, or None).

Every architecture is trained by gradients; `seglib.prediction` holds what is not. This module imports no PyTorch before
a network is built, so that params and resolve can read KINDS quickly.
"""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seglib.configs import ModelConfig
from seglib.registry import LazyEntry, lookup

if TYPE_CHECKING:
    from seglib.models.padding import Padded


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind(LazyEntry):
    """What is known of an architecture before its code is imported.

    path: of its class.
    has_encoder: whether a training may freeze its encoder for the first epochs.
    loss_terms: the names of the terms that it computes itself, in a method `loss_terms(view) -> dict[str, Tensor]` of
        unweighted scalars. Such a model is trained with no other terms. Empty: the losses of `seglib.losses` train it.
    capturable: whether a CUDA graph can capture its training step. It cannot if shapes change from step to step, or if
        the model waits for the GPU.
    """

    path: str
    has_encoder: bool = False
    loss_terms: tuple[str, ...] = ()
    capturable: bool = True

    @property
    def owns_loss(self) -> bool:
        """Whether it computes its loss itself."""
        return bool(self.loss_terms)


KINDS: dict[str, Kind] = {
    "convnet": Kind(path="seglib.models.convnet:ConvNet"),
    "munet": Kind(path="seglib.models.munet:MUnet"),
    "resnet_unet": Kind(path="seglib.models.resnet_unet:ResNetUNet", has_encoder=True),
    "unet": Kind(path="seglib.models.unet:UNet"),
}


def build(model: ModelConfig, *, classes: int, image_size: Sequence[int], pretrained: bool = True) -> "Padded":
    """Build the network that a model's configuration describes, freshly initialised.

    image_size: (H, W) of the training pictures. pretrained: False if finished weights are loaded next, so that none
    are fetched that would be overwritten. The class is given the model's arguments, and those of `classes`,
    `image_size` and `pretrained` that its constructor names.

    Weights come from torch's global generator: seed it, or fork it, around the call. Raises ValueError for an
    unknown kind, and for pretrained weights that cannot be had.
    """
    from seglib.models.padding import Padded

    network = lookup(KINDS, model.kind, "model kind").load()
    offered = {"classes": classes, "image_size": tuple(image_size), "pretrained": pretrained}
    wanted = inspect.signature(network).parameters
    return Padded(network(**model.arguments, **{name: value for name, value in offered.items() if name in wanted}))
