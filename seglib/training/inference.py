"""Prediction with finished weights. Shapes: N images, B batch, K classes, H, W."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seglib.datasets.geometry import Fit, Size
from seglib.datasets.store import Split
from seglib.training import weights
from seglib.training.batches import Feed
from seglib.training.device import autocast, choose_device, prepare_process


class Predictor:
    """A finished training's network, with the encoding, precision, threads and device it was trained with.

    Weights that were trained on a GPU predict on the CPU of a machine that has none.
    """

    def __init__(self, weights_path: Path):
        header = weights.read_header(weights_path)
        prepare_process(header.threads)
        self.device = choose_device("auto" if header.device == "cuda" else header.device)
        self.network, self.header = weights.load(weights_path, self.device)
        self.encoding = self.header.encoding

    @torch.no_grad()
    def logits(self, images_BHWC: Tensor) -> Tensor:
        """uint8 pictures (B, H, W, 3) of any size to logits (B, K, H, W)."""
        with autocast(self.device, self.header.precision):
            return self.network(self.encoding.pictures(images_BHWC.to(self.device)))

    def split(self, split: Split, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """For each batch of a split: logits, true planes (B, K, H, W), and which pixels count (None: all)."""
        for batch in Feed(split, batch_size, self.device, resident=False).batches():
            planes, valid = self.encoding.planes(batch.masks_BHW, ignores=batch.ignores)
            yield self.logits(batch.images_BHWC), planes, valid

    def own_size(self, logits_KHW: Tensor, own: Size) -> Tensor:
        """Logits at the training size to shares of targets at a picture's own: float32 (K, *own).

        `Encoding.present_of` says where each class is. All are 0 where the picture was cut away.
        """
        share_1KHW = self.encoding.share_of_target(logits_KHW[None])
        return Fit(self.header.resize, own, tuple(self.header.image_size)).back(share_1KHW[0])

    def shares_at_own_size(self, image: Image.Image) -> np.ndarray:
        """An RGB picture to float32 (K, H, W) at its own size: outputs as shares of their targets, see `own_size`.

        The network sees the picture as it saw those of the training: brought to their size in the same way.
        """
        own = (image.height, image.width)
        fitted = Fit(self.header.resize, own, tuple(self.header.image_size)).picture(image)
        logits = self.logits(torch.from_numpy(np.array(fitted))[None])
        return self.own_size(logits[0], own).cpu().numpy()
