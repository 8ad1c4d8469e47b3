"""Steps of a single picture, at which batch normalisation may see one value per channel. That has no spread."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seglib.training.setup import Setup


def check(setup: Setup, sizes: Sequence[int]) -> None:
    """Raise ValueError if the network cannot learn from a step of one picture and there is one. sizes: of all batches.
    """
    if min(sizes) > 1 or not _has_one_value(setup):
        return
    if len(sizes) > 1:
        found, remedy = "train.batch_size is 1", "set train.batch_size to 2 or more"
    elif setup.settings.overfit is not None:
        found, remedy = "train.overfit is 1", "set train.overfit to 2 or more"
    else:
        found, remedy = "the dataset has one training picture", "add training pictures"
    height, width = setup.info.image_size
    raise ValueError(f"{found}, and of one picture at {width}×{height} the batch normalisation of a "
                     f"{setup.config.model.kind} sees a single value per channel, which it cannot normalise: {remedy}, "
                     "or raise the dataset's image_size")


@torch.no_grad()
def _has_one_value(setup: Setup) -> bool:
    """Whether some batch normalisation sees one value per channel in a picture. It is evaluated, so nothing is learnt.
    """
    seen: list[int] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].numel() // inputs[0].shape[1])

    network = setup.network
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    handles = [module.register_forward_pre_hook(look) for module in norms]
    network.eval()
    setup.logits(torch.zeros(1, *setup.info.image_size, 3, dtype=torch.uint8, device=setup.device))
    network.train()
    for handle in handles:
        handle.remove()
    return 1 in seen
