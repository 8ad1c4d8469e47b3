"""Architectures: each takes pictures (B, C, H, W) of any size and gives logits (B, K, H, W), float."""

from typing import Any

from torch import nn

from seglib.models.munet import MUnet
from seglib.models.padding import Padded


def build(config: dict[str, Any], *, classes: int) -> Padded:
    """The network a model's configuration describes (`kind` and that kind's keys), freshly initialised.

    Weights come from torch's global generator: seed it, or fork it, around the call. Raises ValueError for an
    unknown kind.
    """
    arguments = {key: value for key, value in config.items() if key != "kind"}
    network: nn.Module
    match config["kind"]:
        case "munet":
            network = MUnet(classes=classes, **arguments)
        case kind:
            raise ValueError(f"unknown model kind {kind!r}; known: munet")
    return Padded(network)
