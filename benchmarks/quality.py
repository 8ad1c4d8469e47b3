"""What speed is worth: how soon a network is good, and whether the fast recipe is as good as the slow ones.

    python -m benchmarks.quality [--patience SECONDS] [--size tiny]      # about an hour on two cores

Test IoU is the mean over classes of the summed counts (`iou_dataset`), measured while the clock stands still. The
course's network learns from all the pictures that seglib's are carved into train and val from, so it sees more of them.
On a GPU if there is one.
"""

import argparse
import contextlib
import copy
import dataclasses
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import inputs, peer
from benchmarks.harness import heading, machine, python, table
from seglib.configs import FetchConfig, PrepareConfig, TrainConfig
from seglib.datasets.store import SPLITS, Split
from seglib.metrics.counts import count_BK4
from seglib.metrics.overlap import pooled
from seglib.training.device import choose_device, choose_precision
from seglib.training.loop import Trainer

GOAL_IOU = 0.80
LR_OF_DEPTH_16 = 4e-3  # lower than the default study's, which is for depth 4: with 2e-2, depth 16 ended lower
SHARE_AS_SHIPPED = 1 / 10  # of the patience with the mended network: its IoU cannot pass 0.25, see docs/munet.md
Points = list[tuple[float, float]]  # seconds since the process began, test IoU


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    pictures: int  # to learn from until an IoU is reached
    compared: int  # to learn from if recipes are compared ...
    epochs: int  # ... in so many epochs
    tested: int
    looks: int  # how often the course's network is scored
    seeds: Sequence[int] = (1234, 1235, 1236)
    depth: int = 16
    width: int = 64


SIZES = {
    "full": Sizes(pictures=2600, compared=1000, epochs=5, tested=500, looks=8),
    "tiny": Sizes(pictures=32, compared=32, epochs=1, tested=8, looks=2, seeds=(1,), depth=4, width=8),
}


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality")
    parser.add_argument("--patience", type=float, help="seconds for the course's network; 30 times seglib's by default")
    parser.add_argument("--size", choices=list(SIZES), default="full")
    asked = parser.parse_args(arguments)
    sizes = SIZES[asked.size]
    with tempfile.TemporaryDirectory() as folder:
        time_to_iou(Path(folder), sizes, asked.patience)
        equal_scores(Path(folder), sizes)


def time_to_iou(folder: Path, sizes: Sizes, patience: float | None) -> None:
    """Prints test IoU over time: of seglib's default study, of the course's network mended, and as shipped."""
    dataset = generated(folder / "until", sizes.pictures, sizes.tested)
    ours = in_process("seglib_points", dataset=str(dataset), config=inputs.default().content())
    reached = reached_at(ours)
    patience = patience or 30 * (reached or ours[-1][0])
    theirs = {mended: in_process("course_points", dataset=str(dataset), mended=mended, looks=sizes.looks, seed=1234,
                                 seconds=patience * (1 if mended else SHARE_AS_SHIPPED),
                                 depth=sizes.depth, width=sizes.width) for mended in (True, False)}
    heading(f"Time to a test IoU of {GOAL_IOU:.2f}", f"Shapes, {sizes.pictures} training and {sizes.tested} test "
            f"pictures; {machine()}. From the start of the process, without the time that scoring took; the course's "
            f"network by its own recipe for {patience:.0f} s, as shipped for {SHARE_AS_SHIPPED:.0%} of that.")
    rows = [("seglib, its default study", ours), ("the course's mUnet, last layer mended", theirs[True]),
            ("the course's mUnet, as shipped", theirs[False])]
    table(["what", "seconds: test IoU", f"{GOAL_IOU:.2f} after", "seglib is faster by", "goal"],
          [[name, ", ".join(f"{seconds:.0f}: {iou:.3f}" for seconds, iou in points),
            "not reached" if (at := reached_at(points)) is None else f"{at:.0f} s",
            "" if points is ours else faster_by(reached, points), goal]
           for (name, points), goal in zip(rows, ("", "30×", ""), strict=True)])


def reached_at(points: Points) -> float | None:
    return next((seconds for seconds, iou in points if iou >= GOAL_IOU), None)


def faster_by(ours: float | None, theirs: Points) -> str:
    """By what is certain: the last look at which the course's network was not there yet."""
    if ours is None:
        return "not known: seglib did not get there"
    last_below = max((seconds for seconds, iou in theirs if seconds < (reached_at(theirs) or math.inf)), default=0.0)
    return f"at least {last_below / ours:.1f}×"


def equal_scores(folder: Path, sizes: Sizes) -> None:
    """Prints the test IoU that each recipe ends with, over seeds."""
    dataset = str(generated(folder / "compared", sizes.compared, sizes.tested))
    precision = choose_precision("auto", choose_device("auto"))
    recipes = {
        f"seglib, {precision}, batch 32": [in_process("seglib_points", dataset=dataset, config=inputs.default(
            depth=sizes.depth, width=sizes.width, seed=seed, epochs=sizes.epochs, batch_size=32, lr=LR_OF_DEPTH_16,
            precision=precision).content()) for seed in sizes.seeds],
        "the course's, mended, fp32, batch 4": [in_process("course_points", dataset=dataset, mended=True, looks=1,
            seed=seed, epochs=sizes.epochs, depth=sizes.depth, width=sizes.width) for seed in sizes.seeds]}
    heading("The same score by the fast recipe", f"mUnet {sizes.depth}, {sizes.compared} pictures, {sizes.epochs} "
            f"epochs, {len(sizes.seeds)} seeds: test IoU at the end, the mean and each.")
    table(["recipe", "test IoU", "by seed"],
          [[name, f"{statistics.mean(points[-1][1] for points in runs):.3f}",
            ", ".join(f"{points[-1][1]:.3f}" for points in runs)] for name, runs in recipes.items()])


def generated(folder: Path, pictures: int, tested: int) -> Path:
    """The Shapes dataset of params.yaml with so many training pictures, of which a tenth is val, and test pictures."""
    from seglib.datasets import prepare, readers, shapes
    from seglib.files import write_json

    options = {"source": "generated", "train_images": pictures, "test_images": tested, "seed": 7, "background": "dark"}
    raw, out = folder / "raw", folder / "shapes"
    raw.mkdir(parents=True)
    out.mkdir()
    write_json(raw / readers.SELECTION, shapes.fetch(FetchConfig(kind="shapes", options=options, download=None), raw))
    config = PrepareConfig(kind="shapes", options=options, image_size=None, resize="stretch", val_fraction=0.1,
                           max_rejected=0.0, allow=["absent_class", "unscored_class"])
    prepare.prepare(raw, config, out)
    return out


# In processes of their own


def in_process(function: str, **arguments: Any) -> Points:
    """What a function of this module returns in a fresh process, whose clock begins now."""
    print(f"{time.strftime('%H:%M:%S')} {function} {arguments}", file=sys.stderr, flush=True)
    code = ("import json\nfrom benchmarks import quality\n"
            f"print(json.dumps(quality.{function}(**{arguments!r}, since={time.time()!r})))")
    return [tuple(point) for point in json.loads(python(code).output.splitlines()[-1])]


class Clock:
    """Seconds since a moment of `time.time()`, but for those in which it was stopped."""

    def __init__(self, since: float):
        self._since = since

    @property
    def seconds(self) -> float:
        return time.time() - self._since

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        start = time.time()
        yield
        self._since += time.time() - start


def seglib_points(*, dataset: str, config: dict[str, Any], since: float) -> Points:
    """A training's test IoU after each epoch, by its weights at that time. config: a TrainConfig's content."""
    clock, points = Clock(since), []
    training = Trainer(TrainConfig.of(config), Path(dataset))
    test = training.setup.feed(Split.open(Path(dataset), "test"), learns=False)

    def predictions() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in test.batches():
            planes, _ = training.encoding.planes(batch.masks_BHW, ignores=False)
            yield training.encoding.present(training.setup.logits(batch.images_BHWC)), planes

    @torch.no_grad()
    def score(rows: list[dict[str, Any]]) -> None:
        seconds = clock.seconds
        with clock.stopped():
            training.network.eval()
            points.append((seconds, iou_of(predictions())))

    training.run(title="", on_epoch=score)
    return points


def course_points(*, dataset: str, mended: bool, depth: int, width: int, seed: int, looks: int, since: float,
                  seconds: float | None = None, epochs: int | None = None) -> Points:
    """The test IoU of the course's network by its own recipe, scored `looks` times in `seconds` or in `epochs`."""
    torch.manual_seed(seed)
    clock, points, device = Clock(since), [], choose_device("auto")
    parts = [Split.open(Path(dataset), name) for name in SPLITS[:2]]
    pictures = course_pictures(*parts)
    network = peer.MUnet(depth, width, mended=mended).to(device)
    optimizer = peer.optimizer_of(network)
    batches = iter(peer.loader(pictures, order=peer.Endless(len(pictures))))
    test = list(peer.loader(course_pictures(Split.open(Path(dataset), "test")), workers=0))
    steps = 0
    for look in range(1, looks + 1):
        while (clock.seconds < seconds * look / looks if epochs is None else
               steps * peer.BATCH_SIZE < epochs * len(pictures) * look / looks):
            steps += len(peer.train(network, optimizer, islice(batches, 10), device))
        at = clock.seconds
        with clock.stopped():
            points.append((at, course_iou(network, test, device)))
    return points


def course_pictures(*splits: Split) -> peer.Pictures:
    masks = np.concatenate([split.masks for split in splits])
    return peer.Pictures(np.concatenate([split.images for split in splits]),
                         inputs.TASK.unpack(masks, len(peer.LABELS)))


def course_iou(network: peer.MUnet, test: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> float:
    """A class is present if its output passes half of its label. Its test loop leaves batch norm in training mode, and
    evaluation mode may serve it better: the better of the two counts. The network stays as it is."""
    half_K11 = torch.tensor(peer.LABELS, device=device).view(-1, 1, 1) / 2

    def predictions(training: bool) -> Iterator[tuple[Tensor, Tensor]]:
        for outputs, targets in peer.test(copy.deepcopy(network).train(training), test, device):
            yield outputs > half_K11, targets.to(device) > 0

    return max(iou_of(predictions(training)) for training in (True, False))


def iou_of(predictions: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Of predicted and true planes, boolean (B, K, H, W)."""
    return pooled("iou", sum(count_BK4(*pair).sum(0) for pair in predictions).cpu().numpy())


if __name__ == "__main__":
    main(sys.argv[1:])
