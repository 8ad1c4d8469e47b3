"""What a network is shown and what its output means: input pixels, targets, what losses see, which classes are present.

Training, validation, evaluation and prediction share one `Encoding`, so they cannot disagree. Shapes: B batch,
K classes, C channels, H, W.
"""

import dataclasses
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from seglib.configs import TrainSettings
from seglib.tasks.task import Task

# The mean and standard deviation of each channel of ImageNet's training pictures, whose pixels are in 0..1
# (He et al. 2016). Networks that were trained on ImageNet were shown pictures normalized by them.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@functools.cache
def _constants_K11(values: tuple[float, ...], device: torch.device) -> Tensor:
    """float32 (K, 1, 1), cached: copying a new constant to a GPU waits for all work that the GPU still has to do."""
    return torch.tensor(values, device=device).view(-1, 1, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoding:
    """pixels: "unit" (0..1), "raw" (0..255) or "imagenet" (ImageNet's mean 0, standard deviation 1).

    targets: "unit" or "label". output: "sigmoid" (the task's probabilities) or "raw" (the network's output itself).
    label_values: one value per class, used under targets "label".
    """

    pixels: str
    targets: str
    output: str
    label_values: tuple[float, ...]
    task: Task

    @classmethod
    def of(cls, train: TrainSettings, label_values: Sequence[float], task: Task) -> "Encoding":
        """The encoding that a training's settings ask for."""
        return cls(pixels=train.pixels, targets=train.targets, output=train.output, label_values=tuple(label_values),
                   task=task)

    @property
    def classes(self) -> int:
        return len(self.label_values)

    @property
    def exclusive(self) -> bool:
        return self.task.exclusive

    def _target_values_K11(self, device: torch.device) -> Tensor:
        values = self.label_values if self.targets == "label" else (1.0,) * self.classes
        return _constants_K11(values, device)

    def pictures(self, images_BHWC: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) to float (B, 3, H, W). Memory stays channels-last."""
        x_BCHW = images_BHWC.permute(0, 3, 1, 2).float()
        if self.pixels == "raw":
            return x_BCHW
        x_BCHW = x_BCHW / 255
        if self.pixels == "unit":
            return x_BCHW
        mean, std = (_constants_K11(values, x_BCHW.device) for values in (IMAGENET_MEAN, IMAGENET_STD))
        return (x_BCHW - mean) / std

    def planes(self, masks_BHW: Tensor, *, ignores: bool | None = None) -> tuple[Tensor, Tensor | None]:
        """Masks to boolean planes (B, K, H, W) and which pixels count (B, 1, H, W): see `Task.targets`."""
        return self.task.targets(masks_BHW, self.classes, ignores=ignores)

    def targets_of(self, planes_BKHW: Tensor) -> Tensor:
        """Planes to what the overlap terms aim at: the class's target value, and 0 elsewhere; float32."""
        return planes_BKHW * self._target_values_K11(planes_BKHW.device)

    def seen_by_losses(self, logits_BKHW: Tensor) -> Tensor:
        """What mse and the overlap terms see, float32: probabilities, or the output itself."""
        logits_BKHW = logits_BKHW.float().contiguous()  # in the memory layout of the planes
        if self.output == "raw":
            return logits_BKHW
        return self.task.probabilities(logits_BKHW)

    def share_of_target(self, logits_BKHW: Tensor) -> Tensor:
        """The output as a share of the class's target value: 1 is a perfect object, 0 a perfect background."""
        return self.seen_by_losses(logits_BKHW) / self._target_values_K11(logits_BKHW.device)

    def present(self, logits_BKHW: Tensor) -> Tensor:
        """Which pixels are given to a class: bool (B, K, H, W)."""
        return self.present_of(self.share_of_target(logits_BKHW))

    def present_of(self, share_BKHW: Tensor) -> Tensor:
        """`present`, from shares of targets; K is the third axis from the end."""
        return self.task.present(share_BKHW)

    def certainty(self, logits_BKHW: Tensor) -> Tensor:
        """How sure a class is of a pixel, comparable between pixels; float32. 0 is a probability of 1/2.

        It is the task's certainty. For a raw output it is 8 · (share of its target - 0.5), so that the outputs 0 and
        the target value come to -4 and 4, where a sigmoid is 0.02 and 0.98.
        """
        if self.output == "raw":
            return 8 * (self.share_of_target(logits_BKHW) - 0.5)
        return self.task.certainty(logits_BKHW.float())
