"""`seglib show`: prepared pictures with their masks, as they stand or as training sees them.

Shapes: N pictures, B batch, H, W.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seglib.datasets.store import SPLITS, DatasetInfo, Split
from seglib.figures import pictures
from seglib.files import read_json, repository_root
from seglib.names import nearest
from seglib.tasks.task import Task
from seglib.training.augment import NEUTRAL, Augment
from seglib.training.batches import Feed, epoch_order

EPOCHS, PICTURES = 5, 6  # columns and rows of what `augmented` draws by itself


def sheet(dataset: Path, ids: Sequence[str], split: str, out: Path) -> None:
    """A contact sheet of a split, or of the pictures with these ids, which all stand in one split."""
    info = DatasetInfo.read(dataset)
    if not ids:
        pictures.contact_sheet(Split.open(dataset, _known(split)), info, out)
        return
    where = {identifier: (name, row) for name in SPLITS
             for row, identifier in enumerate(Split.open(dataset, name).index()["id"])}
    if missing := [identifier for identifier in ids if identifier not in where]:
        raise ValueError(f"{dataset} has no picture {', '.join(missing)}; ids look like {next(iter(where))}")
    splits = {where[identifier][0] for identifier in ids}
    if len(splits) > 1:
        raise ValueError(f"the ids stand in several splits ({', '.join(sorted(splits))}); show one split at a time")
    pictures.contact_sheet(Split.open(dataset, splits.pop()), info, out, side=320, columns=2,
                           chosen=[where[identifier][1] for identifier in ids])


def _known(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"--split is {split!r}, expected one of {', '.join(SPLITS)}")
    return split


def augmented(dataset: Path, ids: Sequence[str], variant: Path | None, changes: Sequence[str], out: Path) -> None:
    """Training pictures, one row each: as prepared, then as a variant's first epochs show them to its network.

    variant: its file in conf/; without one, the first of this dataset that learns. changes: KEY=NUMBER, in place of the
    variant's own augmentation.
    """
    info, train = DatasetInfo.read(dataset), Split.open(dataset, "train")
    path = variant or _first_variant(dataset.resolve().name)
    config = read_json(path)
    settings = config["train"].get("augment", {}) | dict(map(_setting, changes))
    if not settings:
        raise ValueError(f"{path} augments nothing; to see what it would look like: --set flip=0.5 --set rotation=10")
    names = train.index()["id"].to_list()
    if missing := [identifier for identifier in ids if identifier not in names]:
        raise ValueError(f"{dataset}/train has no picture {', '.join(missing)}; ids look like {names[0]}")
    chosen = [names.index(identifier) for identifier in ids] or np.linspace(
        0, len(names) - 1, min(PICTURES, len(names))).round().astype(int).tolist()

    print(f"augmentation of {path}: {', '.join(f'{name} {value:g}' for name, value in settings.items())}")
    augment = Augment(settings, config["seed"])
    rows, hatched = [], pictures.any_ignored(train, chosen, info)
    for i in chosen:
        rows.append([pictures.mask_overlay(train.images[i], train.masks[i], info)])
        for epoch in range(1, EPOCHS + 1):
            image_HWC, mask_HW = seen(train, i, augment, config, info.task, epoch)
            rows[-1].append(pictures.mask_overlay(image_HWC, mask_HW, info))
            hatched |= bool(info.task.ignored(mask_HW).any())
    pictures.comparison_grid(
        rows, titles=["as prepared", *(f"epoch {epoch}" for epoch in range(1, EPOCHS + 1))],
        captions=[[names[i]] + [""] * EPOCHS for i in chosen], legend=info.classes, hatched=hatched, path=out, side=200)


def seen(train: Split, i: int, augment: Augment, config: dict[str, Any], task: Task, epoch: int
         ) -> tuple[np.ndarray, np.ndarray]:
    """Picture i as it comes to the network in an epoch, uint8 (H, W, 3), and its mask (H, W) of the type of `masks`."""
    order, size = epoch_order(len(train), seed=config["seed"], epoch=epoch), config["train"]["batch_size"]
    place = int(np.flatnonzero(order == i)[0])
    step = place // size
    batch, = Feed(train, size, torch.device("cpu")).batches(order[step * size:(step + 1) * size])
    images_BHWC, masks_BHW = augment.apply(batch.images_BHWC, batch.masks_BHW, task=task, epoch=epoch,
                                           iteration=(epoch - 1) * -(-len(train) // size) + step + 1)
    return images_BHWC[place % size].numpy(), masks_BHW[place % size].numpy().view(train.masks.dtype)


def _first_variant(dataset: str) -> Path:
    folder = repository_root() / "conf" / dataset
    for path in sorted(folder.glob("*.json")):
        if read_json(path)["seed"] is not None:  # one that only counts learns nothing from other views
            return path
    raise ValueError(f"{folder} holds no variant that learns: name one by --variant, or run `dvc repro resolve`")


def _setting(change: str) -> tuple[str, float]:
    key, _, value = change.partition("=")
    if key not in NEUTRAL:
        raise ValueError(f"--set {change}: {key!r} is no augmentation, {nearest(key, list(NEUTRAL))}")
    try:
        return key, float(value)
    except ValueError:
        raise ValueError(f"--set {change}: expected a number after {key}=") from None
