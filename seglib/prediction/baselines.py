"""Predictors that never look at a picture. A score means something only as far as it lies above theirs.

Shapes: B batch, K classes, H, W.
"""

import abc
from collections.abc import Sequence

import torch
from torch import Tensor

from seglib.datasets.store import DatasetInfo, Split
from seglib.prediction.hints import Hint
from seglib.prediction.predictor import Prediction, Predictor
from seglib.training.batches import Feed

CPU = torch.device("cpu")
BATCH, BATCH_PIXELS = 64, 1 << 22  # pictures counted at once, and their pixels times classes; no influence on a count


class _Blind(Predictor):
    """Predicts the same for every picture. info: of the prepared dataset."""

    def __init__(self, info: DatasetInfo):
        super().__init__(classes=info.classes, task=info.task, image_size=info.image_size,
                         resize=info.resize, device=CPU)

    def predict_batch(self, images_BHWC: Tensor, hints: Sequence[Hint] | None = None) -> Prediction:
        size = (len(images_BHWC), -1, -1, -1)
        shares_KHW, certainty_KHW = self.everywhere()
        return Prediction(shares_BKHW=shares_KHW.expand(size), certainty_BKHW=certainty_KHW.expand(size))

    @abc.abstractmethod
    def everywhere(self) -> tuple[Tensor, Tensor]:
        """Shares and certainty of every picture, float32 (K, H, W) each."""


class _Constant(_Blind):
    """The same classes at every pixel."""

    @abc.abstractmethod
    def painted(self) -> Tensor:
        """Which classes are predicted everywhere, bool (K,)."""

    def everywhere(self) -> tuple[Tensor, Tensor]:
        shares_KHW = self.painted().float().view(-1, 1, 1).expand(-1, *self.image_size)
        return shares_KHW, shares_KHW - 0.5


class Background(_Constant):
    """No class anywhere."""

    def painted(self) -> Tensor:
        return torch.zeros(len(self.classes), dtype=torch.bool)


class Foreground(_Constant):
    """Every class everywhere."""

    def painted(self) -> Tensor:
        return torch.ones(len(self.classes), dtype=torch.bool)


class MostFrequent(_Constant):
    """The class with the most training pixels, everywhere; of equally frequent ones, the first."""

    def __init__(self, info: DatasetInfo):
        super().__init__(info)
        self.pixels_K = torch.tensor(info.class_pixels)

    def painted(self) -> Tensor:
        return torch.arange(len(self.classes)) == self.pixels_K.argmax()


class Frequency(_Blind):
    """How often each class is at each pixel of the training pictures.

    Each outcome counts once more than it was seen (Laplace's rule of succession), so that none is impossible and a
    pixel that was always ignored knows nothing. If classes exclude each other, their probabilities are
    (n + 1) / (N + K); otherwise each class has its own, (n + 1) / (N + 2).
    """

    def __init__(self, info: DatasetInfo):
        super().__init__(info)
        self._present_KHW = torch.zeros(len(self.classes), *self.image_size, dtype=torch.int64)
        self._seen_1HW = torch.zeros(1, *self.image_size, dtype=torch.int64)

    def count(self, train: Split) -> None:
        """Count the masks of the training pictures."""
        size = min(BATCH, max(1, BATCH_PIXELS // self._present_KHW.numel()))
        for batch in Feed(train, size, CPU).batches():
            planes_BKHW, valid_B1HW = self.task.targets(batch.masks_BHW, len(self.classes), ignores=batch.ignores)
            if valid_B1HW is None:
                valid_B1HW = torch.ones_like(planes_BKHW[:, :1])
            self._present_KHW += (planes_BKHW & valid_B1HW).sum(0)
            self._seen_1HW += valid_B1HW.sum(0)

    def everywhere(self) -> tuple[Tensor, Tensor]:
        present_KHW, absent_KHW = self._present_KHW + 1.0, self._seen_1HW - self._present_KHW + 1.0
        others_KHW = present_KHW.sum(0) if self.task.exclusive else absent_KHW
        logits_1KHW = (present_KHW.log() - others_KHW.log())[None]
        return self.task.probabilities(logits_1KHW)[0], self.task.certainty(logits_1KHW)[0]
