"""What a loss term sees of a batch. Shapes: B batch, K classes, H, W."""

import dataclasses

from torch import Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """The network's output and the truth of one batch, on one device.

    logits_BKHW: float32, the network's output itself.
    output_BKHW: float32, what `train.output` makes of it: its sigmoid, its softmax over classes, or itself.
    target_BKHW: float32, what `output` aims at: 0, or the class's target value (1 unless `train.targets` is label).
    planes_BKHW: bool, where each class truly is; one-hot if classes exclude each other.
    valid_B1HW: bool, False on pixels to ignore; None if every pixel counts.
    exclusive: whether classes exclude each other (task "multiclass").
    """

    logits_BKHW: Tensor
    output_BKHW: Tensor
    target_BKHW: Tensor
    planes_BKHW: Tensor
    valid_B1HW: Tensor | None
    exclusive: bool

    def kept(self, values_BKHW: Tensor) -> Tensor:
        """The values, 0 on ignored pixels, whose gradient is then exactly 0. Boolean values stay boolean."""
        return values_BKHW if self.valid_B1HW is None else values_BKHW * self.valid_B1HW

    def mean(self, values_BKHW: Tensor) -> Tensor:
        """Over all classes and all pixels that are not ignored; 0 if all are."""
        if self.valid_B1HW is None:
            return values_BKHW.mean()
        counted = self.valid_B1HW.sum() * values_BKHW.shape[1]
        return self.kept(values_BKHW).sum() / counted.clamp(min=1)
