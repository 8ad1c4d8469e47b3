"""`seglib show`: prepared pictures with their masks, as they are or as a training sees them.

Shapes: N pictures, B batch, H, W.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from seglib.configs import NEUTRAL, RESOLVE, Augmentation, TrainConfig
from seglib.datasets.store import SPLITS, DatasetInfo, Split
from seglib.figures import pictures
from seglib.files import repository_root
from seglib.names import nearest
from seglib.tasks.task import stored
from seglib.training.augment import Augment
from seglib.training.batches import Feed

EPOCHS, PICTURES = 5, 6  # columns and rows that `augmented` draws


def sheet(dataset: Path, ids: Sequence[str], split: str, out: Path) -> None:
    """Draw a contact sheet of a split, or of the pictures with these ids, which are all in one split."""
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
        raise ValueError(f"the ids are in several splits ({', '.join(sorted(splits))}); show one split at a time")
    pictures.contact_sheet(Split.open(dataset, splits.pop()), info, out, side=320, columns=2,
                           chosen=[where[identifier][1] for identifier in ids])


def _known(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"--split is {split!r}, expected one of {', '.join(SPLITS)}")
    return split


def augmented(dataset: Path, ids: Sequence[str], training: Path | None, changes: Sequence[str], out: Path) -> None:
    """Draw training pictures, one row each: as prepared, then as a training's first epochs show them to its network.

    training: its train.json in conf/; None: the first of this dataset. changes: KEY=NUMBER, in place of the training's
    own augmentation.
    """
    info, train = DatasetInfo.read(dataset), Split.open(dataset, "train")
    path = training or _first_training(dataset.resolve().name)
    config = TrainConfig.read(path)
    settings = dataclasses.replace(config.train.augment or NEUTRAL, **dict(map(_setting, changes)))
    if settings == NEUTRAL:
        raise ValueError(f"{path} augments nothing; to see what it would look like: --set flip=0.5 --set rotation=10")
    names = train.index()["id"].to_list()
    if missing := [identifier for identifier in ids if identifier not in names]:
        raise ValueError(f"{dataset}/train has no picture {', '.join(missing)}; ids look like {names[0]}")
    chosen = [names.index(identifier) for identifier in ids] or np.linspace(
        0, len(names) - 1, min(PICTURES, len(names))).round().astype(int).tolist()

    differing = {name: value for name, value in settings.content().items() if value != getattr(NEUTRAL, name)}
    print(f"augmentation of {path}: {', '.join(f'{name} {value:g}' for name, value in differing.items())}")
    sizes = _feed(train, config).sizes
    augment = Augment(settings, config.seed, task=info.task, steps=len(sizes), batch_size=max(sizes),
                      device=torch.device("cpu"))
    rows, hatched = [], pictures.any_ignored(train, chosen, info)
    for i in chosen:
        rows.append([pictures.mask_overlay(train.images[i], train.masks[i], info)])
        for epoch in range(1, EPOCHS + 1):
            image_HWC, mask_HW = seen(train, i, augment, config, epoch)
            rows[-1].append(pictures.mask_overlay(image_HWC, mask_HW, info))
            hatched |= bool(info.task.ignored(mask_HW).any())
    pictures.comparison_grid(
        rows, titles=["as prepared", *(f"epoch {epoch}" for epoch in range(1, EPOCHS + 1))],
        captions=[[names[i]] + [""] * EPOCHS for i in chosen], legend=info.classes, hatched=hatched, path=out, side=200)


def seen(train: Split, i: int, augment: Augment, config: TrainConfig, epoch: int
         ) -> tuple[np.ndarray, np.ndarray]:
    """Picture i as the network sees it in an epoch, uint8 (H, W, 3), and its mask (H, W), as `train` packs masks."""
    feed = _feed(train, config)
    order = feed.order(seed=config.seed, epoch=epoch)
    place = int(np.flatnonzero(order == i)[0])
    step = min(place // feed.batch_size, feed.steps - 1)
    first = step * feed.batch_size
    batch, = feed.batches(order[first:first + feed.sizes[step]])
    augment.start_epoch(epoch)
    batch = augment.batch(batch, position=torch.tensor([step]))
    image_HWC, mask_HW = batch.images_BHWC[place - first].numpy(), batch.masks_BHW[place - first].numpy()
    return image_HWC, stored(mask_HW, train.masks.dtype)


def _feed(train: Split, config: TrainConfig) -> Feed:
    """The training pictures as a training reads them, if each epoch shows all."""
    return Feed(train, config.train.batch_size, torch.device("cpu"), learns=True)


def _first_training(dataset: str) -> Path:
    folder = repository_root() / "conf" / dataset
    paths = sorted(folder.glob("*/train.json"))
    if not paths:
        raise ValueError(f"{folder} holds no training: name one by --training, or run `{RESOLVE}`")
    return paths[0]


def _setting(change: str) -> tuple[str, float]:
    key, _, value = change.partition("=")
    known = [field.name for field in dataclasses.fields(Augmentation)]
    if key not in known:
        raise ValueError(f"--set {change}: {key!r} is no augmentation, {nearest(key, known)}")
    try:
        return key, float(value)
    except ValueError:
        raise ValueError(f"--set {change}: expected a number after {key}=") from None
