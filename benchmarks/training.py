"""Feeding, training and evaluation beside the course's own code, and beside what the machine could do.

    python -m benchmarks.training [--device cpu|cuda] [--size tiny]      # minutes
    python -m benchmarks.training --device cuda --long                   # whole sets of trainings

Needs PyTorch, NumPy and seglib's own code; the evaluation needs what scores need, and is left out where that is
missing. A work's images/s are those of its median round; ratios are taken round by round. On a GPU the time of whole
trainings says little, because a few hundred steps take less than a start: there, steps are timed one by one.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from benchmarks import inputs, peer
from benchmarks.end_to_end import end_to_end
from benchmarks.evaluation import evaluation
from benchmarks.feeding import feeding
from benchmarks.harness import heading, in_turn, table
from benchmarks.speeds import Sizes, flops_an_image, matmul_peaks, print_speeds, tf32, train
from benchmarks.steps import FULL, TINY, steps
from seglib.configs import TrainConfig
from seglib.datasets.store import Split
from seglib.models.munet import MUnet
from seglib.training.batches import epoch_order
from seglib.training.device import choose_device, choose_precision, prepare_process
from seglib.training.setup import Setup

SIZES = {
    "cpu": Sizes(rounds=5, fed=2000, trained=60, trained_large=128, shown=128, tested=160, steps=50, side=2048),
    "cuda": Sizes(rounds=3, fed=2000, trained=2000, trained_large=16_000, shown=128, tested=2000, steps=50, side=8192),
    "tiny": Sizes(rounds=1, fed=16, trained=8, trained_large=32, shown=16, tested=8, steps=2, side=128, depth=4,
                  width=8),
}


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--size", choices=["full", "tiny"], default="full")
    parser.add_argument("--long", action="store_true", help="whole sets of trainings, and nothing else")
    asked = parser.parse_args(arguments)
    device = choose_device(asked.device)
    sizes = SIZES[device.type if asked.size == "full" else asked.size]
    prepare_process(None)
    with tempfile.TemporaryDirectory() as folder:
        if asked.long:
            end_to_end(Path(folder), device, asked.size)
            return
        peaks = matmul_peaks(device, sizes.side)
        feeding(Path(folder), device, sizes)
        same_numbers(Path(folder), device, sizes)
        if device.type == "cpu":
            training(Path(folder), device, sizes, peaks)
        if device.type == "cuda" or asked.size == "tiny":
            steps(Path(folder), device, FULL if asked.size == "full" else TINY)
        evaluation(Path(folder), device, sizes, peaks)


def course_network(config: TrainConfig, folder: Path) -> peer.MUnet:
    """The course's network with the weights that seglib's training of `config` starts from."""
    model = config.model.arguments
    network = peer.MUnet(model["depth"], model["width"])
    network.load_state_dict(Setup(config, folder).network.network.state_dict())
    return network


def same_numbers(folder: Path, device: torch.device, sizes: Sizes) -> None:
    """Prints how far the two loops' losses are from each other, from equal weights over the same pictures in order.

    At the course's learning rate the training itself multiplies roundings: beside it stands how far the course's loop
    is from itself when its first layer's weights are off by one rounding each.
    """
    dataset = inputs.write_dataset(folder / "compared", train=peer.BATCH_SIZE * sizes.steps)
    heading("The same numbers", f"mUnet {sizes.depth} by the course's loop and by seglib's, fp32, batch "
            f"{peer.BATCH_SIZE}, from equal weights over the same pictures in the same order: the largest relative "
            f"difference of a loss in {sizes.steps} steps, and the first step whose loss differs by more than 1e-4. "
            "Beside it, the course's loop from weights of its first layer that are off by 2⁻²³ of themselves.")
    rows = []
    for lr in (peer.LEARNING_RATE, peer.LEARNING_RATE / 10):
        config = inputs.course(depth=sizes.depth, width=sizes.width, device=device.type, epochs=1, log_every=1, lr=lr)
        with tf32(torch.backends.cudnn, False):  # its roundings would be all that is seen
            theirs, moved = (course_losses(config, dataset, device, moved=moved) for moved in (0, 2 ** -23))
            ours = seglib_losses(config, dataset)
        rows.append([f"{lr:g}", f"{theirs[0]:.1f}, {theirs[-1]:.1f}", *apart(ours, theirs), *apart(moved, theirs),
                     "below 1e-4"])
    table(["learning rate", "first and last loss", "seglib", "from step", "the course, one rounding off", "from step",
           "goal"], rows)


def apart(losses: Sequence[float], others: Sequence[float]) -> tuple[str, str]:
    """The largest relative difference, and the first step, counted from 1, where it passes 1e-4."""
    differences = [abs(loss / other - 1) for loss, other in zip(losses, others, strict=True)]
    return f"{max(differences):.1e}", str(next((i for i, value in enumerate(differences, 1) if value > 1e-4), "none"))


def course_losses(config: TrainConfig, dataset: Path, device: torch.device, *, moved: float = 0.0) -> list[float]:
    """The loss of each step of seglib's first epoch, by the course's loop; `moved`: the first layer's weights, by this
    share of themselves."""
    network = course_network(config, dataset).to(device)
    with torch.no_grad():
        network.conv_in.weight *= 1 + moved
    split = Split.open(dataset, "train")
    order = epoch_order(len(split), seed=config.seed, epoch=1).tolist()
    batches = peer.loader(inputs.as_the_course_has_it(split), workers=0, order=order)
    with peer.own_settings():
        return peer.train(network, peer.optimizer_of(network, config.train.lr), batches, device)


def seglib_losses(config: TrainConfig, dataset: Path) -> list[float]:
    """The loss of each step by seglib's loop, which `config` has log every step of one epoch."""
    return [row["loss"] for row in train(config, dataset).history if row["span"] == "window"]


def training(folder: Path, device: torch.device, sizes: Sizes, peaks: Mapping[str, float]) -> None:
    size, precision = {"depth": sizes.depth, "width": sizes.width}, choose_precision("auto", device)
    few, many = (existing(folder / f"trained-{count}", count) for count in (sizes.trained, sizes.trained_large))
    course = inputs.course(**size, device=device.type, epochs=1)
    recipe = inputs.default(**size, upsampling="dlstudio", device=device.type, epochs=1, batch_size=32)
    network = course_network(course, few).to(device)
    optimizer, batches = peer.optimizer_of(network), inputs.endless_batches(Split.open(few, "train"))

    def theirs() -> float:
        with peer.own_settings():
            start = time.perf_counter()
            peer.train(network, optimizer, itertools.islice(batches, sizes.trained // peer.BATCH_SIZE), device)
            return (time.perf_counter() - start) / sizes.trained

    names = ("the course's loop, fp32, batch 4", "seglib, the same recipe and numbers",
             f"seglib, its default recipe, {precision}, batch 32")
    works = (theirs, lambda: 1 / train(course, few).speed.images_per_second,
             lambda: 1 / train(recipe, many).speed.images_per_second)
    timings = in_turn(dict(zip(names, works, strict=True)), rounds=sizes.rounds)
    flops = [flops_an_image(network, backward=True)] + 2 * [
        flops_an_image(MUnet(classes=len(peer.LABELS), upsampling="dlstudio", **size), backward=True)]
    heading(f"Training mUnet, depth {sizes.depth}, width {sizes.width}, 64×64",
            "Steps alone: what is done once, and validation, are not in it.")
    print_speeds(timings, flops, ("fp32", "fp32", precision), peaks,
                 goals=("", "1.15×", "2.1×") if sizes.depth == 16 else ("", "", ""))


def existing(folder: Path, pictures: int) -> Path:
    return folder if folder.exists() else inputs.write_dataset(folder, train=pictures)


if __name__ == "__main__":
    main(sys.argv[1:])
