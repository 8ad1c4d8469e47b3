"""Models without gradients: one pass over the training pictures counts what they need. Shapes: K classes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seglib.datasets.store import Split
from seglib.metrics.counts import count_BK4
from seglib.training import history
from seglib.training.history import Row
from seglib.training.setup import Outcome, Setup
from seglib.training.snapshots import Snapshots
from seglib.training.throughput import Throughput


@torch.no_grad()
def fit(config: dict[str, Any], dataset: Path, *, title: str,
        on_epoch: Callable[[list[Row]], None] = lambda rows: None) -> Outcome:
    """Count, and score the result on train and val: a history of one epoch, without a loss.

    The arguments are those of `loop.Training` and its `run`; there is nothing to resume.
    """
    setup = Setup(config, dataset)
    counter, throughput = setup.network.network, Throughput()  # the network is in its padding
    feed = setup.feed(setup.train_split, ignores=setup.train_ignores)
    throughput.start()
    for batch in throughput.timed(feed.batches()):
        counter.observe(*setup.encoding.planes(batch.masks_BHW, ignores=batch.ignores))
    counter.finish(exclusive=setup.encoding.exclusive)
    throughput.stop(len(feed))

    setup.network.eval()
    rows = [history.row({}, [], iteration=feed.steps, epoch=1, split=name, span="epoch", lr=0.0,
                        counts_K4=_counts_K4(setup, split))
            for name, split in (("train", setup.train_split), ("val", setup.val_split))]
    on_epoch(rows)
    print(f"{title} counted {len(setup.train_split)} pictures: train IoU {rows[0]['iou_score']:.3f}, "
          f"val IoU {rows[1]['iou_score']:.3f}")
    return Outcome(state=setup.network.state_dict(), header=setup.header, history=rows,
                   snapshots=Snapshots([], setup.val_split, setup.info.task),
                   speed=throughput.speed)


def _counts_K4(setup: Setup, split: Split) -> Tensor:
    counts_K4 = torch.zeros(setup.encoding.classes, 4, dtype=torch.int64, device=setup.device)
    for batch in setup.feed(split).batches():
        present = setup.encoding.present(setup.logits(batch.images_BHWC))
        counts_K4 += count_BK4(present, *setup.encoding.planes(batch.masks_BHW, ignores=batch.ignores)).sum(0)
    return counts_K4
