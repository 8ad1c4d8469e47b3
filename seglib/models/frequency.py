"""How often each class stands at each pixel of the training pictures: the baseline that never looks.

Shapes: B batch, K classes, H, W.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Frequency(nn.Module):
    """(B, C, H, W) to logits (B, K, H, W), the same for every picture; any H and W, by bilinear interpolation.

    It has nothing to train: `observe` every training mask once, then `finish`. Until then each logit is 0.

    classes: K.
    image_size: (H, W) of the training pictures.
    """

    divisor = 1
    encoder = None
    output_layer = None

    def __init__(self, *, classes: int, image_size: tuple[int, int]):
        super().__init__()
        self.register_buffer("logits_KHW", torch.zeros(classes, *image_size))
        # Counts of pictures: what the logits are made of, and no part of the finished weights.
        self.register_buffer("present_KHW", torch.zeros(classes, *image_size, dtype=torch.int64), persistent=False)
        self.register_buffer("seen_1HW", torch.zeros(1, *image_size, dtype=torch.int64), persistent=False)

    def observe(self, planes_BKHW: Tensor, valid_B1HW: Tensor | None) -> None:
        """Count the masks of a batch. planes: boolean; valid: boolean, the pixels that count; None for all."""
        if valid_B1HW is None:
            valid_B1HW = torch.ones_like(planes_BKHW[:, :1])
        self.present_KHW += (planes_BKHW & valid_B1HW).sum(0)
        self.seen_1HW += valid_B1HW.sum(0)

    def finish(self, exclusive: bool) -> None:
        """Turn what was counted into logits.

        Each outcome is counted once more than it was seen (Laplace's rule of succession), so that none is impossible
        and a pixel that was never valid knows nothing. exclusive: classes exclude each other, their softmax is
        (n + 1) / (N + K); otherwise each has a sigmoid of its own, (n + 1) / (N + 2).
        """
        present, absent = self.present_KHW + 1.0, self.seen_1HW - self.present_KHW + 1.0
        self.logits_KHW.copy_(present.log() - (present.sum(0).log() if exclusive else absent.log()))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits_1KHW, size = self.logits_KHW[None], x_BCHW.shape[2:]
        if size != self.logits_KHW.shape[1:]:
            logits_1KHW = functional.interpolate(logits_1KHW, size=size, mode="bilinear")
        return logits_1KHW.expand(x_BCHW.shape[0], -1, -1, -1)
