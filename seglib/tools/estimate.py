"""Estimate, before a study starts, how long it will take on this machine and how much disk it will need.

A training's arithmetic is counted, not timed: each network's convolutions and matrix products, forward and backward,
on tensors without data. How fast this machine does such arithmetic is then measured for each network by a few steps on
small pictures, because a narrow network reaches a tenth of the speed of a wide one.
"""

import dataclasses
import functools
import json
import math
import os
import time
from collections.abc import Callable, Iterator

import torch
from torch.utils.flop_counter import FlopCounterMode

from seglib import models, resolve
from seglib.configs import FetchConfig, ModelConfig, PrepareConfig, TrainSettings
from seglib.cores import physical_cores
from seglib.datasets.readers import reader_of
from seglib.datasets.samples import Description
from seglib.datasets.store import Contents
from seglib.models.padding import Padded
from seglib.params import Params
from seglib.pipeline.workspace import dataset_config, prepared_folder
from seglib.resolve import Training
from seglib.tools.units import duration, size
from seglib.training.device import autocast, choose_device, choose_precision, prepare_process
from seglib.training.optimization import OPEN_ENDED
from seglib.training.optimizers import OPTIMIZERS
from seglib.training.together import places

# The published numbers of train and test pictures, of datasets that are not at hand. None: all are split by a fraction.
PUBLISHED = {
    "pets": (3680, 3669, "the official lists, trainval.txt and test.txt"),
    "stanford": (715, None, "Gould et al. 2009"),
}
YARDSTICK = 1000  # training pictures of an estimate if nobody knows how many there will be

# Seconds, measured on two cores of an Intel Xeon of 2023.
START = 5.0  # of a stage, before it does anything
COMPARE = 30.0  # of a dataset's comparison and page
COUNT_PICTURE, COUNT_PIXEL = 0.02, 2e-7  # evaluation without the network: per picture, and per pixel of each class

STEP_FLOP = {"cpu": 8e10, "cuda": 8e12}  # a measured step takes a second or less, on a GPU far less
LONGEST = 3.0  # seconds for which the steps of one network are measured, the last one not counted
TOGETHER = 0.75  # the speed of each of several threads, as a share of the speed of one alone, if not measured
SMALLEST = 32  # pixels: the side below which pictures of a measured step do not shrink

# Copies of a stage's outputs: the workspace's and DVC's cache; of weights, also the record's and MLflow's.
COPIES, WEIGHT_COPIES = 2, 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures:
    """How many pictures each split has, and which source says so."""

    train: int
    val: int
    test: int
    source: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """A network's arithmetic in FLOP per picture, and its size."""

    step: float  # forward and backward
    frozen_step: float  # the same with a frozen encoder
    forward: float
    bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """The trainings of one model on one dataset. Seconds are those of one training: their mean if they differ.

    at_once: how many trainings of the dataset run at once, on average. Stages start and evaluate one after another.
    """

    dataset: str
    model: str
    trainings: int
    pictures: Pictures
    flop: float  # a training picture, forward and backward
    rate: float  # FLOP/s
    train_seconds: float
    at_once: float
    evaluate_seconds: float
    disk: float  # bytes, of all these trainings

    @property
    def seconds(self) -> float:
        return self.trainings * (START + (self.train_seconds - START) / self.at_once + self.evaluate_seconds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    rows: list[Row]
    predict: float  # seconds of the predictors that no loss trains, the baselines among them
    disk: float  # bytes
    machine: str
    stops_early: bool  # whether some training may end before its last epoch

    @property
    def seconds(self) -> float:
        return sum(row.seconds for row in self.rows) + self.predict + COMPARE * len({row.dataset for row in self.rows})

    def __str__(self) -> str:
        width = max(len(f"{row.dataset} {row.model}") for row in self.rows)
        lines = [f"about {duration(self.seconds)}{' at most' * self.stops_early} on this machine ({self.machine}), and "
                 f"{size(self.disk)} of disk. Approximate; what DVC has already takes no time.",
                 f"  {'':<{width}}  {'pictures':>9} {'GFLOP each':>11} {'GFLOP/s':>8} {'trainings':>10} {'train':>8} "
                 f"{'evaluate':>9} {'all':>8}"]
        for row in self.rows:
            lines.append(f"  {f'{row.dataset} {row.model}':<{width}}  {row.pictures.train:>9,} {row.flop / 1e9:>11.1f} "
                         f"{row.rate / 1e9:>8.0f} {row.trainings:>10} {duration(row.train_seconds):>8} "
                         f"{duration(row.evaluate_seconds):>9} {duration(row.seconds):>8}")
        at_once = {row.dataset: row.at_once for row in self.rows}
        lines += [f"  trainings of {dataset}: {number:.2g} at once on average" for dataset, number in at_once.items()
                  if number > 1]
        sources = {row.dataset: row.pictures.source for row in self.rows}
        lines += [f"  pictures of {dataset}: {source}" for dataset, source in sources.items()]
        return "\n".join([*lines, "  downloads and raw data come on top"])


def estimate(settings: Params) -> Estimate:
    """The cost of all that `run` picks. This takes some seconds per network."""
    trainings = resolve.resolve(settings)
    grouped: dict[tuple[str, str], list[Training]] = {}
    for training in trainings:
        grouped.setdefault((training.dataset, training.model), []).append(training)
    rows, disk, predict, measured = [], 0.0, 0.0, functools.cache(_measured)
    for dataset in settings.run.datasets:
        config = resolve.prepare_config(settings, dataset)
        description, pictures = reader_of(config.kind).describe(config), pictures_of(settings, dataset)
        count = sum(training.dataset == dataset for training in trainings)
        asked = resolve.machine_config(settings).together
        rows += [_row(pictures, description, grouped[dataset, model], measured, asked, count)
                 for model in settings.run.models]
        predictors = len(resolve.predict_config(settings, dataset).predictors)
        predict += START + predictors * (pictures.val + pictures.test) * _counting(description)
        disk += predictors * COPIES * pictures.test * _mask_bytes(description)
        disk += COPIES * (pictures.train + pictures.val + pictures.test) * _pixels(description) * (
            3 + description.task.mask_dtype(len(description.classes)).itemsize)
    trains = [training.train.train for training in trainings]
    return Estimate(rows=rows, predict=predict, disk=disk + sum(row.disk for row in rows), machine=_machine(trains[0]),
                    stops_early=any(train.patience is not None for train in trains))


def pictures_of(settings: Params, dataset: str) -> Pictures:
    """From the prepared dataset if it was made from these settings, else from the settings or from a publication."""
    config, folder = resolve.prepare_config(settings, dataset), prepared_folder(dataset)
    if (folder / "contents.json").exists() and _made_from(dataset, config, resolve.fetch_config(settings, dataset)):
        return Pictures(**Contents.read(folder).counts, source=f"{folder}/contents.json")
    if config.kind == "shapes":
        return _carved(config.options["train_images"], config.options["test_images"], config.val_fraction,
                       "params.yaml")
    if config.kind in PUBLISHED and settings.datasets[dataset].from_network():
        train, test, source = PUBLISHED[config.kind]
        if test is None:
            test = math.ceil(train * config.options["test_fraction"])
            train -= test
        lacks = "; the mirror may hold fewer" if settings.fetch.mirror else ""
        return _carved(train, test, config.val_fraction, source + lacks)
    return Pictures(train=YARDSTICK, val=YARDSTICK // 10, test=YARDSTICK // 10,
                    source=f"unknown before they are prepared; this is for {YARDSTICK:,}")


def _made_from(dataset: str, prepare: PrepareConfig, fetch: FetchConfig) -> bool:
    """Whether conf/ holds these configurations of the dataset."""
    try:
        return (PrepareConfig.read(dataset_config(dataset, "prepare")) == prepare
                and FetchConfig.read(dataset_config(dataset, "fetch")) == fetch)
    except ValueError:  # there are none, or another version of seglib wrote them
        return False


def _carved(train: int, test: int, val_fraction: float, source: str) -> Pictures:
    val = math.ceil(val_fraction * train)
    return Pictures(train=train - val, val=val, test=test, source=source)


@dataclasses.dataclass(frozen=True)
class Speed:
    """The settings that decide how fast a network's steps are."""

    device: str
    precision: str
    threads: int | None
    batch_size: int


def _measured(model: str, speed: Speed, classes: int, image_size: tuple[int, int]) -> tuple[Cost, float]:
    """`cost_of` and `measured_rate` of a model, which is given as JSON, so that results can be cached by it."""
    config = ModelConfig.of(json.loads(model))
    cost = cost_of(config, classes, image_size)
    return cost, measured_rate(config, speed, cost, classes, image_size)


def _row(pictures: Pictures, description: Description, trainings: list[Training],
         measured: Callable[..., tuple[Cost, float]], asked: int | None, count: int) -> Row:
    """asked: how many trainings are to run at once; None: as many as the machine allows. count: the dataset's."""
    model, train = trainings[0].train.model, trainings[0].train.train
    cost, rate = measured(json.dumps(model.content()),
                          Speed(train.device, train.precision, train.threads, train.batch_size),
                          len(description.classes), description.image_size)
    counting = _counting(description)
    evaluated = pictures.val + pictures.test
    train_seconds = [START + _train_flop(training.train.train, pictures, cost) / rate for training in trainings]
    masks = pictures.test * _mask_bytes(description)
    return Row(dataset=trainings[0].dataset, model=trainings[0].model, trainings=len(trainings), pictures=pictures,
               flop=cost.step, rate=rate, train_seconds=sum(train_seconds) / len(trainings),
               at_once=_at_once(train, asked, count),
               evaluate_seconds=START + evaluated * (cost.forward / rate + counting),
               disk=sum(COPIES * masks + cost.bytes * (WEIGHT_COPIES + _kept_states(training.train.train))
                        for training in trainings))


def _at_once(train: TrainSettings, asked: int | None, count: int) -> float:
    """How many of `count` trainings run at once, on average: of three in two places, one and a half.

    One if only trying tells how many, on a GPU: the estimate is then too high.
    """
    most = places(choose_device(train.device), train.threads or physical_cores(), asked) or 1
    return count / math.ceil(count / most)


def _counting(description: Description) -> float:
    """Seconds in which all scores of a picture are counted."""
    return COUNT_PICTURE + COUNT_PIXEL * _pixels(description) * len(description.classes)


def _mask_bytes(description: Description) -> int:
    return _pixels(description) * description.task.mask_dtype(len(description.classes)).itemsize


def _train_flop(train: TrainSettings, pictures: Pictures, cost: Cost) -> float:
    """The FLOP of all epochs of a training, with their validations."""
    shown, validated = pictures.train, pictures.val
    if train.overfit is not None:
        shown = validated = min(train.overfit, pictures.train)
    if train.pictures_per_epoch is not None:
        shown = min(shown, train.pictures_per_epoch)
    frozen = train.freeze_encoder_epochs
    return (shown * ((train.epochs - frozen) * cost.step + frozen * cost.frozen_step)
            + train.epochs * validated * cost.forward)


def _kept_states(train: TrainSettings) -> int:
    """The size of the state that is kept for more epochs, in sizes of the weights: weights, optimizer, best weights."""
    if train.schedule not in OPEN_ENDED:
        return 0
    return 1 + OPTIMIZERS[train.optimizer].state_size + (train.keep == "best")


def cost_of(model: ModelConfig, classes: int, image_size: tuple[int, int]) -> Cost:
    """A network's arithmetic at this picture size, counted on torch's meta device, which computes nothing."""
    with torch.device("meta"):
        network = models.build(model, classes=classes, image_size=image_size, pretrained=False)
        pictures_BCHW = torch.empty(2, 3, *image_size)  # two: batch norm refuses one of one pixel

    def flop(*, backward: bool) -> float:
        with FlopCounterMode(display=False) as counter:
            logits_BKHW = network(pictures_BCHW)
            if backward:
                logits_BKHW.sum().backward()
        return counter.get_total_flops() / 2

    step, forward, frozen_step = flop(backward=True), flop(backward=False), 0.0
    if network.encoder is not None:
        network.encoder.requires_grad_(False)
        frozen_step = flop(backward=True)
    return Cost(step=step, frozen_step=frozen_step, forward=forward,
                bytes=sum(tensor.numel() * tensor.itemsize for tensor in network.state_dict().values()))


def measured_rate(model: ModelConfig, speed: Speed, cost: Cost, classes: int, image_size: tuple[int, int]) -> float:
    """FLOP/s of a network's training steps here, on its device, in its precision, by its threads.

    The pictures are as many and as large as about a second allows. On a CPU that is busy with other things, threads
    would wait for each other at every step, which says nothing about the hours to come. Then one thread is measured, by
    its own time.
    """
    height, width = image_size
    prepare_process(speed.threads)
    threads, device = torch.get_num_threads(), choose_device(speed.device)
    one = device.type == "cpu" and busy()
    precision, budget, flop = choose_precision(speed.precision, device), STEP_FLOP[device.type], cost.step
    while 2 * flop > budget and min(height, width) > SMALLEST:
        height, width, flop = height // 2, width // 2, flop / 4
    pictures = max(2, min(speed.batch_size, int(budget / flop)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = models.build(model, classes=classes, image_size=(height, width), pretrained=False)
        network = network.to(device, memory_format=torch.channels_last)
        x_BCHW = torch.rand(pictures, 3, height, width).to(device, memory_format=torch.channels_last)
    if not one:
        return pictures * flop / min(_steps(network, x_BCHW, device, precision, time.perf_counter))
    torch.set_num_threads(1)
    rate = pictures * flop / min(_steps(network, x_BCHW, device, precision, time.thread_time))
    torch.set_num_threads(threads)
    return rate * (threads * TOGETHER if threads > 1 else 1)


def _machine(train: TrainSettings) -> str:
    device, threads = choose_device(train.device), torch.get_num_threads()
    precision = choose_precision(train.precision, device)
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {precision}"
    hint = ", busy now: measured on one" * (threads > 1 and busy())
    return f"CPU, {precision}, {threads} thread{'s' * (threads > 1)}{hint}"


@functools.cache  # once: measuring keeps a machine busy, too
def busy() -> bool:
    """Whether other programs have used more than half as many processors lately as this process has threads."""
    return os.getloadavg()[0] > torch.get_num_threads() / 2


def _steps(network: Padded, x_BCHW: torch.Tensor, device: torch.device, precision: str,
           clock: Callable[[], float]) -> Iterator[float]:
    """The seconds of some training steps by `clock`; the first step, which sets things up, is not counted."""
    ends = time.perf_counter() + LONGEST
    for step in range(8):
        started = clock()
        with autocast(device, precision):
            logits_BKHW = network(x_BCHW)
        logits_BKHW.float().square().mean().backward()
        network.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if step:
            yield clock() - started
            if time.perf_counter() > ends:
                return


def _pixels(description: Description) -> int:
    return math.prod(description.image_size)
