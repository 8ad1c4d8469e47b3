"""What a network is shown and what its output means: pixels in, targets, the losses' view, presence.

One `Encoding` serves training, validation, evaluation and prediction, so that they cannot disagree. Shapes: B batch,
K classes, C channels, H, W.
"""

import dataclasses
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

# Of ImageNet's training pictures in 0..1, by channel: what networks trained there were shown (He et al. 2016).
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@functools.cache
def _constants_K11(values: tuple[float, ...], device: torch.device) -> Tensor:
    """float32 (K, 1, 1). Kept, because making one anew on a GPU is to wait for all that it has still to do."""
    return torch.tensor(values, device=device).view(-1, 1, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoding:
    """pixels: "unit" (0..1), "raw" (0..255) or "imagenet" (ImageNet's mean 0, standard deviation 1).

    targets: "unit" or "label". output: "sigmoid" or "raw". label_values: a value a class, used under targets "label".
    task: "multilabel" or "multiclass". Where classes exclude each other, "sigmoid" is a softmax over them, and the
    class that is present is the one that is likeliest.
    """

    pixels: str
    targets: str
    output: str
    label_values: tuple[float, ...]
    task: str

    @classmethod
    def of(cls, train: dict, label_values: Sequence[float], task: str) -> "Encoding":
        """From the `train` section of a variant's configuration."""
        return cls(pixels=train["pixels"], targets=train["targets"], output=train["output"],
                   label_values=tuple(label_values), task=task)

    @property
    def classes(self) -> int:
        return len(self.label_values)

    @property
    def exclusive(self) -> bool:
        return self.task == "multiclass"

    def _target_values_K11(self, device: torch.device) -> Tensor:
        values = self.label_values if self.targets == "label" else (1.0,) * self.classes
        return _constants_K11(values, device)

    def pictures(self, images_BHWC: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) to float (B, 3, H, W); the permutation leaves memory channels-last, as it was."""
        x_BCHW = images_BHWC.permute(0, 3, 1, 2).float()
        if self.pixels == "raw":
            return x_BCHW
        x_BCHW = x_BCHW / 255
        if self.pixels == "unit":
            return x_BCHW
        mean, std = (_constants_K11(values, x_BCHW.device) for values in (IMAGENET_MEAN, IMAGENET_STD))
        return (x_BCHW - mean) / std

    def planes(self, masks_BHW: Tensor, *, ignores: bool | None = None) -> tuple[Tensor, Tensor | None]:
        """Masks to boolean planes (B, K, H, W), and which pixels count (B, 1, H, W), None for all of them.

        Masks come as signed integers of their own width: what is ignored is negative. ignores: whether there may be
        such; None: they are looked at.
        """
        mask_B1HW = masks_BHW.unsqueeze(1)
        values_K11 = torch.arange(self.classes, device=masks_BHW.device, dtype=masks_BHW.dtype).view(-1, 1, 1)
        ignored_B1HW = mask_B1HW < 0
        ignores = bool(ignored_B1HW.any()) if ignores is None else ignores
        planes = mask_B1HW == values_K11 if self.exclusive else (mask_B1HW >> values_K11) & 1 == 1
        return planes, ~ignored_B1HW if ignores else None

    def targets_of(self, planes_BKHW: Tensor) -> Tensor:
        """Planes to what the overlap terms aim at: 0, or the class's target value; float32."""
        return planes_BKHW * self._target_values_K11(planes_BKHW.device)

    def seen_by_losses(self, logits_BKHW: Tensor) -> Tensor:
        """What mse and the overlap terms see, float32: probabilities, or the output itself."""
        logits_BKHW = logits_BKHW.float().contiguous()  # the layout of the planes, which they are compared with
        if self.output == "raw":
            return logits_BKHW
        return logits_BKHW.softmax(1) if self.exclusive else logits_BKHW.sigmoid()

    def share_of_target(self, logits_BKHW: Tensor) -> Tensor:
        """The output as a share of the class's target value: 1 is a perfect object, 0 a perfect background."""
        return self.seen_by_losses(logits_BKHW) / self._target_values_K11(logits_BKHW.device)

    def present(self, logits_BKHW: Tensor) -> Tensor:
        """Where each class is said to be, boolean: its share of its target passes 1/2, or is the largest of all.

        The second where classes exclude each other; of equal ones, the first.
        """
        return self.present_of(self.share_of_target(logits_BKHW))

    def present_of(self, share_BKHW: Tensor) -> Tensor:
        """`present`, from shares of targets; K is the third axis from the end."""
        if not self.exclusive:
            return share_BKHW > 0.5
        classes = torch.arange(self.classes, device=share_BKHW.device).view(-1, 1, 1)
        return share_BKHW.argmax(-3, keepdim=True) == classes

    def ranking_scores(self, logits_BKHW: Tensor) -> Tensor:
        """How sure a class is of a pixel, comparable between pixels; float32. 0 is a probability of 1/2.

        The logit of the probability; of a raw output 8 · (share of its target - 0.5), so that 0 and the target value
        stand at -4 and 4, where a sigmoid reaches 0.02 and 0.98.
        """
        if self.output == "raw":
            return 8 * (self.share_of_target(logits_BKHW) - 0.5)
        logits_BKHW = logits_BKHW.float()
        if not self.exclusive:
            return logits_BKHW
        # log p - log(1 - p) is x - log Σ exp(the others); by way of p, a sure network's pixels could not be told apart.
        others = [torch.cat([logits_BKHW[:, :k], logits_BKHW[:, k + 1:]], dim=1) for k in range(self.classes)]
        return torch.stack([logits_BKHW[:, k] - rest.logsumexp(1) for k, rest in enumerate(others)], dim=1)
