"""Evaluation with all scores beside the course's test loop, which has none."""

import contextlib
import io
import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from benchmarks import inputs, peer
from benchmarks.harness import heading, in_turn
from benchmarks.speeds import Sizes, flops_an_image, print_speeds, synchronize, train
from seglib.datasets.store import Split


def evaluation(folder: Path, device: torch.device, sizes: Sizes, peaks: Mapping[str, float]) -> None:
    heading(f"Evaluation, mUnet {sizes.depth}, 64×64")
    try:
        from seglib.datasets.store_tables import write_index
        from seglib.evaluation import evaluate
        from seglib.prediction.network import NetworkPredictor
        from seglib.training import weights
        from seglib.training.batches import Feed
    except ImportError as error:
        print(f"Not measured: {error}.\n")
        return
    dataset = inputs.write_dataset(folder / "tested", train=sizes.shown, val=32, test=sizes.tested)
    split = Split.open(dataset, "test")
    write_index(split.folder / "index.parquet", [{"id": str(i)} for i in range(len(split))])
    # Trained until its predictions are blobs, as a finished network's are: nothing is scored faster, noise slower.
    recipe = inputs.default(depth=sizes.depth, width=sizes.width, device=device.type, epochs=4, batch_size=8, lr=4e-3)
    outcome = train(recipe, dataset)
    weights.save(folder / "weights.safetensors", outcome.state, outcome.header)
    predictor = NetworkPredictor(folder / "weights.safetensors")
    network, batches = peer.MUnet(sizes.depth, sizes.width).to(device), inputs.endless_batches(split)

    def theirs() -> None:
        with peer.own_settings():
            for _ in peer.test(network, itertools.islice(batches, sizes.tested // peer.BATCH_SIZE), device):
                pass
            synchronize(device)

    def ours(work: Callable[[], object]) -> float:
        start = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            work()
        synchronize(device)
        return (time.perf_counter() - start) / sizes.tested

    def predict() -> None:
        for batch in Feed(split, 64, device, resident=False).batches():
            predictor.predict_batch(batch.images_BHWC)

    precision = outcome.header.precision
    names = ("the course's test loop, fp32, batch 4, no scores", f"seglib, predictions alone, {precision}",
             "seglib, with all scores")
    works = (lambda: ours(theirs), lambda: ours(predict),
             lambda: ours(lambda: evaluate(predictor, split, tolerance=2, boundary_band=None)))
    timings = in_turn(dict(zip(names, works, strict=True)), rounds=sizes.rounds)
    flops = [flops_an_image(network, backward=False)] + 2 * [flops_an_image(predictor.network, backward=False)]
    print_speeds(timings, flops, ("fp32", precision, precision), peaks, goals=("", "", "3×"))
    shares = [1 - alone / scored for alone, scored in zip(timings[names[1]].seconds, timings[names[2]].seconds,
                                                          strict=True)]
    print(f"Scores take {statistics.median(shares):.0%} of the time (goal: under 15 %), of a network whose IoU on "
          f"other pictures is {outcome.history[-1]['iou_score']:.2f}.\n")
