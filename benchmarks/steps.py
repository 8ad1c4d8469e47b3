"""What one step of a training takes: by the course's loop, by seglib's eager steps, captured, and many at once.

On a GPU an eager step is launched kernel by kernel, and a captured one as one CUDA graph. On a CPU both are the same.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import inputs, kernels, peer
from benchmarks.harness import Timing, heading, in_turn, table
from benchmarks.kernels import Kernels
from benchmarks.speeds import name_of, synchronize
from seglib.configs import TrainConfig
from seglib.datasets.store import Split
from seglib.training.device import choose_precision
from seglib.training.loop import Trainer
from seglib.training.setup import Setup

WARM_UP = 3  # rounds: graphs of all kinds of steps are captured in them, those that end a window included


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSizes:
    """rounds: timed. steps: of a round. profiled: steps that the profiler watches. many: numbers of trainings at once.

    batch_size: of the default recipe; large_batch_size: of the fast recipe for the course's network. small and deep:
    the size of the two mUnets. unet: the width of U-Net. encoder: that of the U-Net on a ResNet, and its stem. side: of
    the pictures of U-Nets, in pixels.
    """

    rounds: int
    steps: int
    profiled: int
    many: tuple[int, ...]
    batch_size: int = 16
    large_batch_size: int = 32
    small: dict[str, int] = dataclasses.field(default_factory=lambda: {"depth": 4, "width": 32})
    deep: dict[str, int] = dataclasses.field(default_factory=lambda: {"depth": 16, "width": 64})
    unet: int = 64
    encoder: dict[str, str] = dataclasses.field(default_factory=lambda: {"encoder": "resnet34", "stem": "full"})
    side: int = 256

    @property
    def in_all(self) -> int:
        """The steps of a way, which all lie in one epoch: nothing is validated meanwhile."""
        return (WARM_UP + self.rounds) * self.steps + self.profiled + 1


FULL = StepSizes(rounds=3, steps=20, profiled=5, many=(12, 36))
TINY = StepSizes(rounds=1, steps=1, profiled=0, many=(2,), batch_size=2, large_batch_size=4,
                 small={"depth": 4, "width": 8}, deep={"depth": 8, "width": 8}, unet=8,
                 encoder={"encoder": "resnet18", "stem": "standard"}, side=64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Way:
    """One way to train. steps: trains one step each time it is asked; pictures: those of a step of all trainings.

    goal: in words; reached: whether the way reaches it, by the milliseconds of a step, the pictures a second, and the
    share of time in which a kernel runs.
    """

    name: str
    steps: Iterator[None]
    pictures: int
    goal: str = ""
    reached: Callable[[float, float, float], bool] = lambda ms, rate, busy: True


def steps(folder: Path, device: torch.device, sizes: StepSizes) -> None:
    """Print one table per network."""
    if device.type == "cuda":
        kernels.wake()
    batch_size = sizes.batch_size
    group = Group(folder / "small", device, sizes, batch_size=batch_size, side=peer.SIDE)
    default = inputs.default(**sizes.small, batch_size=batch_size, epochs=1)
    group.print(_munet(sizes.small), [
        group.by_the_course(**sizes.small), *group.both_ways(default),
        *(group.at_once(default, count) for count in sizes.many)])

    group = Group(folder / "deep", device, sizes, batch_size=sizes.large_batch_size, side=peer.SIDE)
    recipes = [inputs.course(**sizes.deep, precision=precision, epochs=1)
               for precision in (["fp32", "tf32"] if device.type == "cuda" else ["fp32"])]
    recipes.append(inputs.default(**sizes.deep, upsampling="dlstudio", batch_size=sizes.large_batch_size, epochs=1))
    group.print(_munet(sizes.deep), [
        group.by_the_course(**sizes.deep), *(way for recipe in recipes for way in group.both_ways(recipe))])

    group = Group(folder / "large", device, sizes, batch_size=batch_size, side=sizes.side)
    unet, resnet_unet = (inputs.default(model=model, batch_size=batch_size, epochs=1)
                         for model in (inputs.UNET | {"width": sizes.unet}, inputs.RESNET34_UNET | sizes.encoder))
    group.print(f"U-Net, width {sizes.unet}, {sizes.side}×{sizes.side}",
                group.both_ways(unet, goal="900 images/s", reached=lambda ms, rate, busy: rate >= 900))
    title = "U-Net on {encoder}, stem {stem}, {side}×{side}".format(**sizes.encoder, side=sizes.side)
    try:
        group.print(title, group.both_ways(resnet_unet))
    except ImportError as error:
        print(f"Not measured: {title}: {error}.\n")


def _munet(size: Mapping[str, int]) -> str:
    return f"mUnet, depth {size['depth']}, width {size['width']}, {peer.SIDE}×{peer.SIDE}"


class Group:
    """Ways to train on the same pictures. folder: where these are drawn. batch_size: the largest."""

    def __init__(self, folder: Path, device: torch.device, sizes: StepSizes, *, batch_size: int, side: int):
        self.folder = inputs.write_dataset(folder, train=batch_size * sizes.in_all, side=side)
        self.device, self.sizes = device, sizes

    def by_the_course(self, *, depth: int, width: int) -> Way:
        """The course's loop, on PyTorch's default settings, which let convolutions of fp32 multiply in TF32."""
        config = inputs.course(depth=depth, width=width, device=self.device.type)
        network = peer.MUnet(depth, width)
        network.load_state_dict(Setup(config, self.folder).network.network.state_dict())
        network = network.to(self.device)
        optimizer, batches = peer.optimizer_of(network), inputs.endless_batches(Split.open(self.folder, "train"))

        def train() -> Iterator[None]:
            while True:
                with peer.own_settings():
                    peer.train(network, optimizer, itertools.islice(batches, 1), self.device)
                yield

        return Way(name=f"the course's loop, batch {peer.BATCH_SIZE}", steps=train(), pictures=peer.BATCH_SIZE)

    def both_ways(self, config: TrainConfig, **goal: Any) -> list[Way]:
        """seglib's steps, launched kernel by kernel and captured. goal: of the captured ones."""
        return [self._way(config, 1, "eager", capture=False), self._way(config, 1, "captured", **goal)]

    def at_once(self, config: TrainConfig, count: int) -> Way:
        """Captured steps of so many trainings, which differ in their seeds."""
        goal = {"goal": "7.5 ms, a kernel running 90 %",
                "reached": lambda ms, rate, busy: ms <= 7.5 and busy >= 0.9} if count == 12 else {}
        return self._way(config, count, f"captured, {count} trainings at once", **goal)

    def _way(self, config: TrainConfig, count: int, name: str, *, capture: bool = True, **goal: Any) -> Way:
        train = dataclasses.replace(config.train, device=self.device.type)
        configs = [dataclasses.replace(config, train=train, seed=config.seed + n) for n in range(count)]
        precision = choose_precision(train.precision, self.device)
        return Way(name=f"{precision}, batch {train.batch_size}, {name}", pictures=count * train.batch_size,
                   steps=in_rounds([Trainer(config, self.folder, capture=capture) for config in configs]), **goal)

    def print(self, title: str, ways: Sequence[Way]) -> None:
        """Time all ways in turn and print them, each beside the first one."""
        on_gpu = self.device.type == "cuda"
        timings = in_turn({way.name: lambda way=way: self._seconds(way) for way in ways},
                          rounds=self.sizes.rounds, warmup=WARM_UP)
        seen = {way.name: kernels.recorded(lambda way=way: next(way.steps), self.sizes.profiled)
                for way in ways} if on_gpu else {}
        seen = {name: found for name, found in seen.items() if found.runs}  # none, if CUPTI may not be used here
        heading(f"Steps of {title}", f"{name_of(self.device)}, PyTorch {torch.__version__}. A step of all trainings at "
                f"once; medians of {self.sizes.rounds} rounds of {self.sizes.steps} steps. " + (
                    f"Kernels are those of {self.sizes.profiled} steps under PyTorch's profiler, which slows launches."
                    if on_gpu else "Kernels are counted on a GPU alone."))
        table(["training", "ms a step", "images/s", "times as many as the first", "kernels a step", "a kernel running",
               "goal"], [row(way, timings, seen) for way in ways])

    def _seconds(self, way: Way) -> float:
        """The seconds that a picture takes, over one round."""
        synchronize(self.device)
        start = time.perf_counter()
        for _ in range(self.sizes.steps):
            next(way.steps)
        synchronize(self.device)
        return (time.perf_counter() - start) / (self.sizes.steps * way.pictures)


def row(way: Way, timings: Mapping[str, Timing], seen: Mapping[str, Kernels]) -> list[object]:
    """A row of the table: see `Group.print`."""
    timing, found = timings[way.name], seen.get(way.name)
    ms, rate, busy = 1e3 * timing.median * way.pictures, timing.rate(1), found.busy if found else 0.0
    judged = f"{way.goal}: {'reached' if way.reached(ms, rate, busy) else 'missed'}" if way.goal else ""
    return [way.name, f"{ms:.2f}", f"{rate:.0f}", timing.times_faster(next(iter(timings.values()))),
            f"{found.per_step:.0f}" if found else "–", f"{found.busy:.0%}" if found else "–", judged]


def in_rounds(trainings: Sequence[Trainer]) -> Iterator[None]:
    """Train all at once, on a GPU each on its own stream. Yields when each has been given one more step."""
    running = [training.steps(training.progress("")) for training in trainings]
    while True:
        for steps_of_one in running:
            next(steps_of_one)
        yield
