"""Which part of a network learns in which epochs, and at which rate."""

import dataclasses

from torch import nn

from seglib.configs import TrainSettings


@dataclasses.dataclass(frozen=True)
class Phase:
    """Epochs `first` to `last`, counted from 1. If `frozen`, the network's encoder does not learn in them."""

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


def phases_of(train: TrainSettings) -> list[Phase]:
    """The phases of a training, one after another; its `epochs` are those of all phases."""
    frozen_epochs = train.freeze_encoder_epochs
    last = Phase(frozen_epochs + 1, train.epochs, train.lr, frozen=False)
    return [Phase(1, frozen_epochs, train.freeze_lr, frozen=True), last] if frozen_epochs else [last]


def start(phase: Phase, network: nn.Module) -> None:
    """Let the parameters learn that do so in this phase.

    Raises ValueError if the encoder is to be frozen and the network has none.
    """
    network.requires_grad_(True)
    if phase.frozen:
        if network.encoder is None:
            raise ValueError(f"train.freeze_encoder_epochs is {phase.last}, but this model has no encoder to freeze; "
                             "choose a resnet_unet, or 0")
        network.encoder.requires_grad_(False)


def training_mode(phase: Phase, network: nn.Module) -> None:
    """Set training mode, except for a frozen encoder, whose batch norms neither use nor follow a batch's statistics."""
    network.train()
    if phase.frozen:
        network.encoder.eval()
