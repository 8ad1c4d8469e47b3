"""What every training starts from, and what it ends with. Shapes: B batch, K classes, H, W."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

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
            self.network = network.to(self.device, memory_format=torch.channels_last)

    @property
    def header(self) -> Header:
        return Header(model=used(self.config.model.content()), classes=self.info.classes,
                      label_values=self.info.label_values, task=self.info.task.name, image_size=self.info.image_size,
                      resize=self.info.resize, pixels=self.encoding.pixels, targets=self.encoding.targets,
                      output=self.encoding.output, device=self.device.type, precision=self.precision,
                      threads=self.settings.threads)

    @property
    def train_ignores(self) -> bool:
        """Whether some pixel of the training pictures is to be ignored."""
        return self.info.valid_pixels < self.train_split.masks.size

    def feed(self, split: Split, *, ignores: bool | None = None) -> Feed:
        return Feed(split, self.settings.batch_size, self.device, ignores=ignores)

    def logits(self, images_BHWC: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) on the device to (B, K, H, W), computed in the training's precision."""
        with autocast(self.device, self.precision):
            return self.network(self.encoding.pictures(images_BHWC))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished training."""

    state: dict[str, Tensor]  # the weights to keep
    header: Header
    history: list[Row]
    snapshots: Snapshots
    speed: Speed
    overfit: Verdict | None = None  # of a training that was asked to overfit
