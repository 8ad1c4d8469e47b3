"""Augmentation: pictures and their masks are changed together, a batch at a time, on the batch's device.

Each picture is mirrored, then turned about its centre, then cropped and brought back to its full size, then coloured.
Mirroring moves pixels and is exact; turning and cropping are one map of positions, so that a picture is interpolated
once: bilinearly, its mask by the nearest pixel, which keeps every bit.

Shapes: B batch, H, W; a mask (B, H, W) may have one more axis at the end, see `tasks.task.signed`. Positions are in
pixels from the upper left corner: the first pixel's centre is at (0.5, 0.5).
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seglib.configs import Augmentation
from seglib.tasks.task import Task
from seglib.training.batches import Batch

LUMA = (0.299, 0.587, 0.114)  # what red, green and blue add to a pixel's grey (ITU-R BT.601)
DRAWS = 9  # uniform numbers per picture: flip, vertical flip, angle, area, left, top, brightness, contrast, saturation


class Augment:
    """The augmentation of one training: its settings, and the training's seed.

    task: of the masks. steps: of an epoch. batch_size: of the largest of its batches. device: where pictures are
    changed.
    """

    def __init__(self, settings: Augmentation, seed: int, *, task: Task, steps: int, batch_size: int,
                 device: torch.device):
        self.settings, self.seed, self.task = settings, seed, task
        self._draws_S9B = torch.zeros(steps, DRAWS, batch_size, device=device)

    def start_epoch(self, epoch: int) -> None:
        """Draw the random numbers of all steps of an epoch, counted from 1."""
        steps, _, size = self._draws_S9B.shape
        self._draws_S9B.copy_(torch.stack([
            self.draws(size, epoch=epoch, iteration=(epoch - 1) * steps + step + 1) for step in range(steps)]))

    def batch(self, batch: Batch, *, position: Tensor) -> Batch:
        """`apply`, to a batch. If pictures are turned, pixels from outside a picture are ignored.

        position: int64 (1,) on the device, the number of the batch in its epoch.
        """
        draws_9B = self._draws_S9B.index_select(0, position).squeeze(0)[:, :len(batch.masks_BHW)]
        images_BHWC, masks_BHW = self.apply(batch.images_BHWC, batch.masks_BHW, draws_9B)
        return Batch(images_BHWC, masks_BHW, batch.ignores or self.settings.rotation > 0)

    def draws(self, pictures: int, *, epoch: int, iteration: int) -> Tensor:
        """Random numbers for a batch, uniform in [0, 1): float32 (9, B) on the CPU.

        They are a function of the seed, the epoch and the iteration: a resumed training needs no state, and a seed
        means the same on every device. A picture's numbers depend on its place in the batch and not on the settings, so
        that switching one off leaves the others as they were.
        """
        seed = int(np.random.SeedSequence((self.seed, epoch, iteration)).generate_state(1)[0])
        return torch.rand(pictures, DRAWS, generator=torch.Generator().manual_seed(seed)).T

    def apply(self, images_BHWC: Tensor, masks_BHW: Tensor, draws_9B: Tensor) -> tuple[Tensor, Tensor]:
        """A batch, augmented: uint8 (B, H, W, 3) and signed integers (B, H, W), the shapes and types they came in.

        A function of its arguments and the settings alone, and the same on every device but for the last bit of a
        rounding. Pixels from outside a picture repeat its edge. In the mask they have the `ignore_value` of the task.
        """
        settings = self.settings
        flip_B, vertical_B, angle_B, area_B, left_B, top_B, *color_3B = draws_9B

        for chosen_B, axis in ((flip_B < settings.flip, 2), (vertical_B < settings.vertical_flip, 1)):
            images_BHWC, masks_BHW = (
                torch.where(chosen_B.view(-1, *[1] * (array.ndim - 1)), array.flip(axis), array)
                for array in (images_BHWC, masks_BHW))

        x_BCHW = None
        if settings.rotation or settings.crop_min < 1:
            smallest, largest = settings.crop_min, settings.crop_max
            x_BHW, y_BHW = source_positions(
                angle_B=torch.deg2rad((2 * angle_B - 1) * settings.rotation),
                side_B=(smallest + (largest - smallest) * area_B).sqrt(), left_B=left_B, top_B=top_B,
                size=tuple(masks_BHW.shape[1:3]))
            x_BCHW = sample_pictures(images_BHWC.permute(0, 3, 1, 2).float(), x_BHW, y_BHW)
            masks_BHW = sample_masks(masks_BHW, x_BHW, y_BHW, outside=self.task.ignore_value(masks_BHW.dtype))
        if settings.color:
            x_BCHW = images_BHWC.permute(0, 3, 1, 2).float() if x_BCHW is None else x_BCHW
            factors_3B = 1 + settings.color * (2 * torch.stack(color_3B) - 1)
            x_BCHW = change_color(x_BCHW, *factors_3B)
        if x_BCHW is not None:
            images_BHWC = x_BCHW.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return images_BHWC, masks_BHW


def source_positions(*, angle_B: Tensor, side_B: Tensor, left_B: Tensor, top_B: Tensor, size: tuple[int, int]
                     ) -> tuple[Tensor, Tensor]:
    """Where in its picture each pixel of a turned, then cropped picture lies: x and y, float32 (B, H, W), in pixels.

    angle_B: radians, counter-clockwise about the picture's centre. side_B: the crop's sides as a share of the
    picture's. left_B, top_B: where the crop lies, 0 (at the left, the top) to 1.
    """
    (height, width), (side_B1, left_B1, top_B1) = size, (value.unsqueeze(1) for value in (side_B, left_B, top_B))

    def from_centre(length: int, start_B1: Tensor) -> Tensor:
        centres = torch.arange(length, device=side_B.device) + 0.5
        return side_B1 * centres + start_B1 * (1 - side_B1) * length - length / 2

    x_B1W, y_BH1 = from_centre(width, left_B1).unsqueeze(1), from_centre(height, top_B1).unsqueeze(2)
    cos_B11, sin_B11 = angle_B.cos().view(-1, 1, 1), angle_B.sin().view(-1, 1, 1)
    return cos_B11 * x_B1W - sin_B11 * y_BH1 + width / 2, sin_B11 * x_B1W + cos_B11 * y_BH1 + height / 2


def sample_pictures(x_BCHW: Tensor, x_BHW: Tensor, y_BHW: Tensor) -> Tensor:
    """Pictures read at positions, bilinearly; what lies outside them repeats their edge. Float (B, C, H, W)."""
    height, width = x_BCHW.shape[2:]
    grid_BHW2 = torch.stack((x_BHW * (2 / width) - 1, y_BHW * (2 / height) - 1), dim=-1)
    return functional.grid_sample(x_BCHW, grid_BHW2, mode="bilinear", padding_mode="border", align_corners=False)


def sample_masks(masks_BHW: Tensor, x_BHW: Tensor, y_BHW: Tensor, *, outside: int) -> Tensor:
    """Masks read at positions, as integers: the value of the pixel at each position, or `outside` if there is none."""
    height, width = masks_BHW.shape[1:3]
    inside_BHW = (x_BHW >= 0) & (x_BHW < width) & (y_BHW >= 0) & (y_BHW < height)
    row_BHW, column_BHW = y_BHW.long().clamp(0, height - 1), x_BHW.long().clamp(0, width - 1)
    first_B11 = height * width * torch.arange(len(masks_BHW), device=masks_BHW.device).view(-1, 1, 1)
    place_BHW = first_B11 + row_BHW * width + column_BHW
    read_BHW = masks_BHW.flatten(0, 2).index_select(0, place_BHW.flatten()).view_as(masks_BHW)
    return read_BHW.where(inside_BHW.view(*inside_BHW.shape, *[1] * (masks_BHW.ndim - 3)), outside)


def change_color(x_BCHW: Tensor, brightness_B: Tensor, contrast_B: Tensor, saturation_B: Tensor) -> Tensor:
    """Multiply brightness, then contrast about the picture's mean grey, then saturation about each pixel's grey.

    Three linear maps, made one: with grey g(x) and its mean m over the picture, bc (s x + (1 - s) g(x)) + b (1 - c) m.
    """
    red, green, blue = LUMA
    grey_B1HW = red * x_BCHW[:, :1] + green * x_BCHW[:, 1:2] + blue * x_BCHW[:, 2:]
    mean_B111 = grey_B1HW.mean((2, 3), keepdim=True)
    b, c, s = (factor_B.view(-1, 1, 1, 1) for factor_B in (brightness_B, contrast_B, saturation_B))
    return b * c * (s * x_BCHW + (1 - s) * grey_B1HW) + b * (1 - c) * mean_B111
