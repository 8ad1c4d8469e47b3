"""What every training starts from, and what it ends with. Shapes: B batch, K classes, H, W."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from seglib import models
from seglib.configs import TrainConfig, used
from seglib.datasets.store import DatasetInfo, Split
from seglib.training.batches import Feed
from seglib.training.device import Conditions, autocast, memory_of, prepare_process
from seglib.training.encoding import Encoding
from seglib.training.header import Header
from seglib.training.history import Row
from seglib.training.overfit import Verdict
from seglib.training.snapshots import Snapshots
from seglib.training.throughput import Speed


class Setup:
    """A training's configuration and its prepared dataset, made ready: data, device, encoding, network.

    dataset: the prepared dataset's folder; `train/` and `val/` are read, `test/` never.
    pretrained: whether an encoder's ImageNet weights are fetched, if the model has any.
    """

    def __init__(self, config: TrainConfig, dataset: Path, *, pretrained: bool = True):
        train = config.train
        prepare_process(train.threads)
        self.info, self.config, self.settings = DatasetInfo.read(dataset), config, train
        self.train_split, self.val_split = Split.open(dataset, "train"), Split.open(dataset, "val")
        conditions = Conditions.of(train)
        self.device, self.precision = conditions.torch_device, conditions.precision
        self.encoding = Encoding.of(train, self.info.label_values, self.info.task)

        # Initial weights are drawn on the CPU, so that a seed means the same network on every device.
        with torch.random.fork_rng(devices=[]), memory_of(self.device):
            torch.manual_seed(config.seed)
            network = models.build(config.model, classes=len(self.info.classes), image_size=self.info.image_size,
                                   pretrained=pretrained)
            set_output_bias(network.output_layer, train.output_bias, self.info, self.encoding)
            self.network = network.to(self.device, memory_format=torch.channels_last)

    @property
    def header(self) -> Header:
        return Header(model=used(self.config.model.content()), classes=self.info.classes,
                      label_values=self.info.label_values, task=self.info.task.name, image_size=self.info.image_size,
                      resize=self.info.resize, pixels=self.encoding.pixels, targets=self.encoding.targets,
                      output=self.encoding.output, device=self.device.type, precision=self.precision,
                      threads=self.settings.threads, reading=self.info.reading, mask_values=self.info.mask_values)

    @property
    def train_ignores(self) -> bool:
        """Whether some pixel of the training pictures is to be ignored."""
        return self.info.valid_pixels < self.train_split.masks.size

    def feed(self, split: Split, *, learns: bool, ignores: bool | None = None) -> Feed:
        pictures = self.settings.pictures_per_epoch if learns else None
        return Feed(split, self.settings.batch_size, self.device, ignores=ignores, learns=learns, pictures=pictures)

    def logits(self, images_BHWC: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) on the device to (B, K, H, W), computed in the training's precision."""
        with autocast(self.device, self.precision):
            return self.network(self.encoding.pictures(images_BHWC))


def set_output_bias(layer: nn.Module | None, wanted: str, info: DatasetInfo, encoding: Encoding) -> None:
    """Set the output layer's bias before the first step.

    wanted: "default" (as PyTorch draws it, near 0), "zero" or "prior": a network whose weights add nothing then
    predicts the classes' frequencies in the training pixels. RetinaNet starts so (Lin et al. 2017, arXiv 1708.02002).
    The bias is the logit of the frequency, or its logarithm if classes exclude each other. If losses see the output
    itself, it is the mean of the targets. A frequency of 0 or 1 counts as one pixel more or less. A network without an
    output layer, or whose layer has no bias, keeps its own.
    """
    if wanted == "default" or layer is None or layer.bias is None:
        return
    if wanted == "zero":
        nn.init.zeros_(layer.bias)
        return
    least = 1 / max(info.valid_pixels, 2)
    frequency_K = (torch.tensor(info.class_pixels, dtype=torch.float64) / max(info.valid_pixels, 1)).clamp(
        least, 1 - least)
    if encoding.output == "raw":
        bias_K = encoding.targets_of(frequency_K.view(1, -1, 1, 1)).flatten()
    else:
        bias_K = frequency_K.log() if encoding.exclusive else frequency_K.logit()
    with torch.no_grad():
        layer.bias.copy_(bias_K)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished training."""

    state: dict[str, Tensor]  # the weights to keep
    header: Header
    history: list[Row]
    snapshots: Snapshots
    speed: Speed
    overfit: Verdict | None = None  # of a training that was asked to overfit
