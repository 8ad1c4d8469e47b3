"""Feeding batches with float targets: the course's DataLoader, seglib's, and what copying as many bytes would take."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import inputs, peer
from benchmarks.harness import heading, interleaved, table
from benchmarks.speeds import Sizes, synchronize
from seglib.datasets.store import Split
from seglib.training.batches import Feed, epoch_order
from seglib.training.encoding import Encoding


def feeding(folder: Path, device: torch.device, sizes: Sizes) -> None:
    split = Split.open(inputs.write_dataset(folder / "fed", train=sizes.fed), "train")
    encoding = Encoding.of(inputs.course().train, [float(label) for label in peer.LABELS], inputs.TASK)
    loaders = {workers: inputs.endless_batches(split, workers=workers) for workers in (peer.WORKERS, 0)}
    steps, epochs = sizes.fed // peer.BATCH_SIZE, itertools.count(1)

    def theirs(workers: int) -> None:
        for images, targets in itertools.islice(loaders[workers], steps):
            images.to(device), targets.to(device)
        synchronize(device)

    def ours(feed: Feed) -> None:
        for batch in feed.batches(epoch_order(len(split), seed=0, epoch=next(epochs))):
            encoding.pictures(batch.images_BHWC)
            encoding.targets_of(encoding.planes(batch.masks_BHW, ignores=batch.ignores)[0])
        synchronize(device)

    feeds = {size: Feed(split, size, device) for size in (4, 32)}
    names = [f"the course's DataLoader, {workers} workers" for workers in loaders] + [
        f"seglib, batch {size}" for size in feeds]
    works = [lambda workers=workers: theirs(workers) for workers in loaders] + [
        lambda feed=feed: ours(feed) for feed in feeds.values()]
    timings = interleaved(dict(zip(names, works, strict=True)), rounds=sizes.rounds)
    reference = timings[names[0]]
    heading("Feeding batches with float targets", f"64×64, {len(split)} pictures a round, from memory: the "
            "page cache, or on a GPU its own. The course's batches are of 4, its processes started beforehand.")
    goals = ["", "", "10×", "10×"]
    table(["what", "images/s", f"against {peer.WORKERS} workers", "goal"],
          [[name, f"{timings[name].rate(len(split)):.0f}", timings[name].times_faster(reference), goal]
           for name, goal in zip(names, goals, strict=True)])
    if device.type == "cpu":
        feeding_profile(feeds[32], encoding)


def feeding_profile(feed: Feed, encoding: Encoding) -> None:
    """Each step over all batches, beside a plain copy of as many bytes as it writes."""
    batches = list(feed.batches())
    planes = [encoding.planes(batch.masks_BHW, ignores=batch.ignores)[0] for batch in batches]
    steps: dict[str, Callable[[], Iterator[Sequence[Tensor]]]] = {
        "pictures and masks, gathered": lambda: ((batch.images_BHWC, batch.masks_BHW) for batch in feed.batches()),
        "pixels to float": lambda: ((encoding.pictures(batch.images_BHWC),) for batch in batches),
        "masks to planes": lambda: ((encoding.planes(batch.masks_BHW, ignores=batch.ignores)[0],) for batch in batches),
        "planes to targets": lambda: ((encoding.targets_of(planes_BKHW),) for planes_BKHW in planes),
    }
    rows = []
    for name, step in steps.items():
        written = [sum(tensor.nbytes for tensor in tensors) for tensors in step()]
        blocks = [torch.ones(size, dtype=torch.uint8) for size in written]

        def go(step: Callable[[], Iterator[Sequence[Tensor]]] = step) -> None:
            for _ in step():
                pass

        def copy(blocks: Sequence[Tensor] = blocks) -> None:
            for block in blocks:
                block.clone()

        timings = interleaved({"step": go, "copy": copy}, rounds=5)
        rows.append([name, f"{sum(written) / len(feed) / 1e3:.0f}",
                     *(f"{1e6 * timings[what].median / len(feed):.1f}" for what in ("step", "copy")),
                     timings["copy"].times_faster(timings["step"])])
    print("Where seglib's time goes, batch 32:\n")
    table(["step", "kB an image written", "µs an image", "µs to copy as many bytes", "the step in copies"], rows)
