"""What evaluation asks of a predictor. Shapes: B batch, K classes, H, W."""

import abc
import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seglib.datasets.geometry import Fit, Size
from seglib.prediction.hints import Hint
from seglib.tasks.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a predictor says of a batch of pictures, float32 (B, K, H, W) on its device.

    shares: 1 for a pixel that surely has the class, 0 for one that surely has not. `Task.present` makes masks of them.
    certainty: how sure the predictor is of the class, comparable between pixels; it ranks them for average precision.
    outputs: in the unit of the label values, if the predictor has them; else None.
    """

    shares_BKHW: Tensor
    certainty_BKHW: Tensor
    outputs_BKHW: Tensor | None = None


class Predictor(abc.ABC):
    """Turns pictures into masks.

    classes: the names of its K classes. task: what its masks mean. image_size: (H, W) of the prepared pictures; resize:
    how a picture comes to that size (see `datasets.geometry`). device: where it computes. hint: what it must be told of
    the truth, "boxes" or "points"; None: nothing. label_values: what a network was trained to write for each class, if
    not 1 (`train.targets: label`); None for all other predictors. precision: "fp32", or "bf16" if a network computes in
    it.
    """

    hint: str | None = None
    label_values: list[float] | None = None
    precision: str = "fp32"

    def __init__(self, *, classes: Sequence[str], task: Task, image_size: Size, resize: str, device: torch.device):
        self.classes, self.task, self.device = list(classes), task, device
        self.image_size, self.resize = tuple(image_size), resize

    @abc.abstractmethod
    def predict_batch(self, images_BHWC: Tensor, hints: Sequence[Hint] | None = None) -> Prediction:
        """Prepared pictures, uint8 (B, H, W, 3) on the device, to what is predicted at their size.

        hints: one per picture, for a predictor that needs them.
        """

    @torch.no_grad()
    def predict(self, picture: Image.Image, hint: Hint | None = None) -> np.ndarray:
        """An RGB picture of any size to masks of that size: bool (K, H, W). hint: at the prepared size."""
        return self.present_at(self.shares(picture, hint), (picture.height, picture.width))

    @torch.no_grad()
    def shares(self, picture: Image.Image, hint: Hint | None = None) -> Tensor:
        """An RGB picture of any size to `Prediction.shares` at the prepared size: float32 (K, H, W), on the device.

        The picture is brought to the prepared size as the training pictures were. hint: at that size.
        """
        fitted = self._fit((picture.height, picture.width)).picture(picture)
        images_1HWC = torch.from_numpy(np.array(fitted))[None].to(self.device)
        return self.predict_batch(images_1HWC, None if hint is None else [hint]).shares_BKHW[0]

    def shares_at(self, shares_KHW: Tensor, own: Size) -> Tensor:
        """Shares at the prepared size to shares at a picture's own: float32 (K, *own); 0 for what was cut away."""
        return self._fit(own).back(shares_KHW)

    def present_at(self, shares_KHW: Tensor, own: Size) -> np.ndarray:
        """Shares at the prepared size to masks at a picture's own: bool (K, *own). What was cut away has no class."""
        planes_KHW = self.task.present(self.shares_at(shares_KHW, own)).cpu().numpy()
        seen_HW = np.zeros(own, bool)
        seen_HW[self._fit(own).source.slices] = True
        return planes_KHW & seen_HW

    def _fit(self, own: Size) -> Fit:
        return Fit(self.resize, own, self.image_size)
