"""Otsu's threshold: bright pixels have every class. Shapes: B batch, K classes, H, W."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seglib.datasets.store import DatasetInfo
from seglib.prediction.hints import Hint
from seglib.prediction.predictor import Prediction, Predictor


class Otsu(Predictor):
    """Every class where a pixel is as bright as the threshold of its picture (Otsu 1979, IEEE Trans. SMC 9(1)).

    info: of the prepared dataset. bright: False predicts the other pixels, the dark ones.
    """

    def __init__(self, info: DatasetInfo, *, bright: bool = True):
        super().__init__(classes=info.classes, task=info.task, image_size=info.image_size,
                         resize=info.resize, device=torch.device("cpu"))
        self.bright = bright

    def predict_batch(self, images_BHWC: Tensor, hints: Sequence[Hint] | None = None) -> Prediction:
        grey_BHW = images_BHWC.float().mean(-1)
        levels_B11 = torch.tensor([threshold(grey_HW.numpy()) for grey_HW in grey_BHW]).view(-1, 1, 1)
        present_BHW = (grey_BHW >= levels_B11) == self.bright
        certainty_BHW = (grey_BHW - levels_B11) * (1 if self.bright else -1)
        size = (-1, len(self.classes), -1, -1)
        return Prediction(shares_BKHW=present_BHW[:, None].float().expand(size),
                          certainty_BKHW=certainty_BHW[:, None].expand(size))


def threshold(grey_HW: np.ndarray) -> float:
    """The grey value, 0 to 256, from which pixels count as bright: the two groups' means then lie farthest apart.

    An even picture has no bright pixel.
    """
    counts, edges = np.histogram(grey_HW, bins=256, range=(0, 256))
    dark, total = np.cumsum(counts), np.cumsum(counts * (edges[:-1] + edges[1:]) / 2)
    bright = dark[-1] - dark
    splits = np.flatnonzero((dark > 0) & (bright > 0))
    if not splits.size:
        return 256.0
    means_apart = total[splits] / dark[splits] - (total[-1] - total[splits]) / bright[splits]
    best = splits[(dark[splits] * bright[splits] * means_apart**2).argmax()]
    return float(edges[best + 1])
