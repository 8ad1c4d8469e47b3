"""Which part of a network learns in which epochs, and at which rate."""

import dataclasses
from typing import Any

from torch import nn


@dataclasses.dataclass(frozen=True)
class Phase:
    """Epochs `first` to `last`, counted from 1. While `frozen`, all learns but the network's encoder."""

    first: int
    last: int
    lr: float
    frozen: bool

    @property
    def epochs(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        what = "all but the encoder learns" if self.frozen else "all learns"
        return f"from epoch {self.first} to {self.last} {what}, lr {self.lr:g}"


def phases_of(train: dict[str, Any]) -> list[Phase]:
    """The phases of a `train` section, one after another; `epochs` counts those of all."""
    frozen_epochs = train.get("freeze_encoder_epochs", 0)
    last = Phase(frozen_epochs + 1, train["epochs"], train["lr"], frozen=False)
    return [Phase(1, frozen_epochs, train["freeze_lr"], frozen=True), last] if frozen_epochs else [last]


def start(phase: Phase, network: nn.Module) -> None:
    """Let those parameters learn that do in this phase.

    Raises ValueError where the encoder shall be frozen and the network has none.
    """
    network.requires_grad_(True)
    if phase.frozen:
        if network.encoder is None:
            raise ValueError(f"train.freeze_encoder_epochs is {phase.last}, but this model has no encoder to freeze; "
                             "choose a resnet_unet, or 0")
        network.encoder.requires_grad_(False)


def training_mode(phase: Phase, network: nn.Module) -> None:
    """Training mode, but for a frozen encoder: its batch norms neither use nor follow the batches' statistics."""
    network.train()
    if phase.frozen:
        network.encoder.eval()
