"""What a network is shown and what its output means: pixels in, targets, the losses' view, presence.

One `Encoding` serves training, validation, evaluation and prediction, so that they cannot disagree. Shapes: B batch,
K classes, C channels, H, W.
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoding:
    """pixels: "unit" (0..1) or "raw" (0..255). targets: "unit" or "label". output: "sigmoid" or "raw".

    label_values: a value a class, used under targets "label".
    """

    pixels: str
    targets: str
    output: str
    label_values: tuple[float, ...]

    @classmethod
    def of(cls, train: dict, label_values: Sequence[float]) -> "Encoding":
        """From the `train` section of a variant's configuration."""
        return cls(pixels=train["pixels"], targets=train["targets"], output=train["output"],
                   label_values=tuple(label_values))

    @property
    def classes(self) -> int:
        return len(self.label_values)

    def _target_values_K11(self, device: torch.device) -> Tensor:
        values = self.label_values if self.targets == "label" else (1.0,) * self.classes
        return torch.tensor(values, device=device).view(-1, 1, 1)

    def pictures(self, images_BHWC: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) to float (B, 3, H, W); the permutation leaves memory channels-last, as it was."""
        x_BCHW = images_BHWC.permute(0, 3, 1, 2).float()
        return x_BCHW / 255 if self.pixels == "unit" else x_BCHW

    def planes(self, masks_BHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mask bits to boolean planes (B, K, H, W), and which pixels count (B, 1, H, W), None for all of them."""
        bits = masks_BHW.unsqueeze(1)
        shifts = torch.arange(self.classes, device=bits.device, dtype=bits.dtype).view(-1, 1, 1)
        ignored = bits < 0  # masks come as signed integers of their own width: the ignore bit is the sign
        return (bits >> shifts) & 1 == 1, ~ignored if bool(ignored.any()) else None

    def targets_of(self, planes_BKHW: Tensor) -> Tensor:
        """Planes to what the overlap terms aim at: 0, or the class's target value; float32."""
        return planes_BKHW * self._target_values_K11(planes_BKHW.device)

    def seen_by_losses(self, logits_BKHW: Tensor) -> Tensor:
        """What mse and dice see, float32: the sigmoid, or the output itself."""
        logits_BKHW = logits_BKHW.float().contiguous()  # the layout of the planes, which they are compared with
        return logits_BKHW.sigmoid() if self.output == "sigmoid" else logits_BKHW

    def share_of_target(self, logits_BKHW: Tensor) -> Tensor:
        """The output as a share of the class's target value: 1 is a perfect object, 0 a perfect background."""
        return self.seen_by_losses(logits_BKHW) / self._target_values_K11(logits_BKHW.device)

    def present(self, logits_BKHW: Tensor) -> Tensor:
        """Where each class is said to be: its output passes half of its target value. Boolean."""
        return self.share_of_target(logits_BKHW) > 0.5

    def ranking_scores(self, logits_BKHW: Tensor) -> Tensor:
        """How sure a class is of a pixel, comparable between pixels and 0 where `present` changes; float32.

        The logit itself; of a raw output 8 · (share of its target - 0.5), so that 0 and the target value stand at -4
        and 4, where a sigmoid reaches 0.02 and 0.98.
        """
        if self.output == "sigmoid":
            return logits_BKHW.float()
        return 8 * (self.share_of_target(logits_BKHW) - 0.5)
