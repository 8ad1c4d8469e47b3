"""A trained network as a predictor. Shapes: B batch, K classes, H, W."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from seglib import models, tasks
from seglib.prediction.hints import Hint
from seglib.prediction.predictor import Prediction, Predictor
from seglib.training import weights
from seglib.training.device import autocast, choose_device, prepare_process
from seglib.training.graphs import ReplayedFunction


class NetworkPredictor(Predictor):
    """The network of a weights file, with the encoding, precision, threads and device that it was trained with.

    A network that was trained on a GPU predicts on the CPU of a machine that has none. Raises ValueError if the file is
    not a weights file.
    """

    def __init__(self, weights_path: Path):
        header = weights.read_header(weights_path)
        prepare_process(header.threads)
        device = choose_device("auto" if header.device == "cuda" else header.device)
        self.network, self.header = weights.load(weights_path, device)
        self.encoding, self.precision = self.header.encoding, self.header.precision
        self.label_values = self.header.label_values if self.header.targets == "label" else None
        super().__init__(classes=header.classes, task=tasks.get(header.task), image_size=header.image_size,
                         resize=header.resize, device=device)
        replays = device.type == "cuda" and models.KINDS[header.model["kind"]].capturable
        self._forward = ReplayedFunction(self._computed, device) if replays else self._computed

    @torch.no_grad()
    def logits(self, images_BHWC: Tensor) -> Tensor:
        """uint8 pictures (B, H, W, 3) of any size to logits (B, K, H, W), float32 in memory's usual order."""
        return self._forward(images_BHWC.to(self.device))

    def _computed(self, images_BHWC: Tensor) -> Tensor:
        with autocast(self.device, self.precision):
            logits_BKHW = self.network(self.encoding.pictures(images_BHWC))
        return logits_BKHW.float().contiguous()

    def predict_batch(self, images_BHWC: Tensor, hints: Sequence[Hint] | None = None) -> Prediction:
        logits_BKHW = self.logits(images_BHWC)
        return Prediction(shares_BKHW=self.encoding.share_of_target(logits_BKHW),
                          certainty_BKHW=self.encoding.certainty(logits_BKHW),
                          outputs_BKHW=None if self.label_values is None else logits_BKHW)
