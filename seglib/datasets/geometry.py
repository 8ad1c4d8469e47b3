"""Pictures from their own size to the network's, and what a network says of them back. Shapes: K classes, H, W.

A window of the picture is resized onto a window of the frame, the network's picture:

    stretch   all of the picture onto all of the frame; distorts if their proportions differ
    pad       all of the picture, in its proportions, onto the frame's middle; the rest of the frame holds no picture
    crop      the picture's middle, in the frame's proportions, onto all of the frame; the rest of it is cut away

A window's edges lie between pixels, so proportions hold to half a pixel.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from seglib.datasets.samples import Box

# Only `back` needs torch: the processes that prepare pictures start without it.
if TYPE_CHECKING:
    from torch import Tensor

Size = tuple[int, int]  # (H, W), pixels
MODES = ("stretch", "pad", "crop")


@dataclasses.dataclass(frozen=True)
class Window:
    """A rectangle of pixels: rows top to bottom, columns left to right, the last of each excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> Size:
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a picture of size `own` comes to `size`, the frame's, and back."""

    mode: str
    own: Size
    size: Size

    def __post_init__(self) -> None:
        assert self.mode in MODES and min(*self.own, *self.size) > 0, self

    @functools.cached_property
    def source(self) -> Window:
        """What is kept of the picture."""
        return _middle(self.own, self.size) if self.mode == "crop" else Window(0, 0, *self.own)

    @functools.cached_property
    def target(self) -> Window:
        """Where it comes to lie in the frame."""
        return _middle(self.size, self.own) if self.mode == "pad" else Window(0, 0, *self.size)

    def picture(self, image: Image.Image) -> Image.Image:
        """Bilinear, antialiased. Around a padded picture its edges are repeated, as models.padding does."""
        if self.own == self.size:
            return image
        resized = self._resize(image, Image.Resampling.BILINEAR)
        if self.target.size == self.size:
            return resized
        above, below = self.target.top, self.size[0] - self.target.bottom
        before, after = self.target.left, self.size[1] - self.target.right
        return Image.fromarray(np.pad(np.asarray(resized), ((above, below), (before, after), (0, 0)), mode="edge"))

    def plane(self, plane_HW: np.ndarray) -> np.ndarray:
        """A bool plane of the picture, by nearest pixels; False where the frame holds no picture."""
        if self.own == self.size:
            return plane_HW
        frame_HW = np.zeros(self.size, bool)
        frame_HW[self.target.slices] = self._resize(Image.fromarray(plane_HW), Image.Resampling.NEAREST)
        return frame_HW

    def _resize(self, image: Image.Image, resampling: Image.Resampling) -> Image.Image:
        assert image.size == self.own[::-1], (image.size, self.own)
        if self.source.size != self.own:
            # Cropped first: given the window as its `box`, Pillow would blend in pixels from beyond it.
            image = image.crop((self.source.left, self.source.top, self.source.right, self.source.bottom))
        return image.resize(self.target.size[::-1], resampling)

    def box(self, box: Box) -> Box | None:
        """A box of the picture in the frame, as far as it lies there; None if nothing of it does."""
        (height, width), (own_height, own_width) = self.target.size, self.source.size
        scale = np.array([width / own_width, height / own_height] * 2)
        kept = (np.array(box) - [self.source.left, self.source.top] * 2) * scale
        x0, y0, x1, y1 = (kept.clip(0, [width, height] * 2) + [self.target.left, self.target.top] * 2).tolist()
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def outside(self) -> np.ndarray | None:
        """Where the frame holds no picture, bool (H, W); None if it holds one everywhere."""
        if self.target.size == self.size:
            return None
        outside_HW = np.ones(self.size, bool)
        outside_HW[self.target.slices] = False
        return outside_HW

    def back(self, values_KHW: "Tensor") -> "Tensor":
        """Values of the frame's pixels at the picture's own: float (K, H, W) to (K, *own); 0 for what was cut away.

        Bilinear, antialiased if the picture is smaller than its part of the frame: the weights by which `picture`
        resizes. So channels that sum to 1 still do, but where they are 0, which says of none that it is there.
        """
        from torch.nn import functional

        assert values_KHW.shape[1:] == self.size, (values_KHW.shape, self.size)
        rows, columns = self.target.slices
        resized = functional.interpolate(values_KHW[None, :, rows, columns], self.source.size, mode="bilinear",
                                         align_corners=False, antialias=True)[0]
        own_KHW = values_KHW.new_zeros(len(values_KHW), *self.own)
        own_KHW[:, *self.source.slices] = resized
        return own_KHW


def _middle(around: Size, like: Size) -> Window:
    """The largest window in the middle of `around` that has the proportions of `like`, to the nearest pixel."""
    scale = min(around[0] / like[0], around[1] / like[1])
    height, width = (max(1, round(side * scale)) for side in like)
    top, left = (around[0] - height) // 2, (around[1] - width) // 2
    return Window(top, left, top + height, left + width)
