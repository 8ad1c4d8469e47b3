"""What the page says of an mUnet: its size, which of its layers run, and which output pixels it can write.

Counted on torch's meta device, which computes nothing.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from seglib.files import canonical_json
from seglib.models.munet import MUnet

SIDE = 64  # pixels of the picture that is passed through; which layers run does not depend on it


@dataclasses.dataclass(frozen=True, kw_only=True)
class MUnetFacts:
    depth: int
    width: int
    upsampling: str
    aspp_rates: list[int] | None
    parameters: int
    idle_parameters: int
    """How many of the parameters belong to layers that never run"""
    convolutions: int
    """Convolutional layers that run; a block that runs twice counts once"""
    reached: float
    """The share of output pixels that a picture can change; the others equal the output layer's bias"""
    iou_ceiling: float
    """The IoU of the best mask whose other pixels are empty, if the share of an object that is reached is `reached`"""
    dice_ceiling: float


def facts_of(arguments: Mapping[str, Any], *, classes: int) -> MUnetFacts:
    """The facts of one mUnet. arguments: of an `MUnet`, except `classes`, as a model's configuration holds them."""
    with torch.device("meta"):
        network = MUnet(classes=classes, **arguments)
        ran: set[nn.Module] = set()
        for module in network.modules():
            module.register_forward_hook(lambda module, *_: ran.add(module))
        network(torch.empty(2, 3, SIDE, SIDE))
    owners = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
    reached = _reached(network.output_layer)
    return MUnetFacts(
        depth=arguments["depth"], width=arguments["width"], upsampling=arguments["upsampling"],
        aspp_rates=arguments.get("aspp_rates"), parameters=_parameters(owners),
        idle_parameters=_parameters([module for module in owners if module not in ran]),
        convolutions=sum(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in ran),
        reached=reached, iou_ceiling=reached, dice_ceiling=2 * reached / (1 + reached))


def munets(variants: Iterable[tuple[Sequence[tuple[str, str]], Mapping[str, Any]]], *, classes: int
           ) -> dict[str, Any] | None:
    """The facts of each mUnet that was trained, and the scales of its targets; None if there is none.

    variants: the names (model, loss) and the configuration of each trained variant.
    """
    names: dict[str, set[str]] = {}
    targets = set()
    for pairs, config in variants:
        if config["model"]["kind"] == "munet":
            names.setdefault(canonical_json(config["model"]), set()).update(model for model, _ in pairs)
            targets.add(config["train"]["targets"])
    networks = []
    for model in sorted(names, key=lambda model: min(names[model])):
        arguments = {name: value for name, value in json.loads(model).items() if name != "kind"}
        networks.append({"names": sorted(names[model]), **dataclasses.asdict(facts_of(arguments, classes=classes))})
    return {"networks": networks, "targets": sorted(targets)} if networks else None


def _parameters(modules: list[nn.Module]) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters(recurse=False))


def _reached(layer: nn.ConvTranspose2d) -> float:
    """The share of output pixels that at least one tap of the output layer writes."""
    counts = functional.conv_transpose2d(
        torch.ones(1, 1, SIDE // 2, SIDE // 2), torch.ones(1, 1, *layer.kernel_size), stride=layer.stride,
        padding=layer.padding, output_padding=layer.output_padding, dilation=layer.dilation)
    return float((counts > 0).float().mean())
