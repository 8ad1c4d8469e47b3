"""From raw data to the prepared format (see `store`): the same road for every dataset.

A dataset's reader is a module with three functions:

    describe(config) -> Description
    fetch(config, out) -> dict
        Fill the raw folder; for each part that a rule chose from, {"pictures": considered, "selected": taken}.
    read(raw, config, split) -> Iterator[Sample | Rejection]
        A split's pictures, each at its own size, and what is left out of it.
"""

import csv
import hashlib
import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from seglib.datasets import coco, folder, pets, shapes, stanford, store
from seglib.datasets.geometry import Fit
from seglib.datasets.samples import Box, Description, Rejection, Sample
from seglib.files import read_json

KINDS: dict[str, ModuleType] = {"shapes": shapes, "coco": coco, "pets": pets, "stanford": stanford, "folder": folder}
SELECTION = "selection.json"  # in the raw folder: what `fetch` considered and took


def prepare(raw: Path, config: dict[str, Any], out: Path) -> store.DatasetInfo:
    """Fill `out` with the prepared dataset that `config` describes.

    Damaged and unusable pictures are left out and listed in rejected.csv. Raises ValueError when they are more than
    `max_rejected` of all, or when a split would be empty.
    """
    reader = KINDS[config["kind"]]
    description = reader.describe(config)
    mode = config.get("resize", "stretch")  # a dataset without this key has pictures of the network's size
    rejected: list[tuple[str, Rejection]] = []
    counts = {}
    for split in description.splits:
        counts[split], left_out = _pack(reader.read(raw, config, split), description, mode, out / split)
        rejected += [(split, rejection) for rejection in left_out]
    if "val" not in description.splits:
        counts["train"], counts["val"] = _carve_val(out, config["val_fraction"])
    _write_rejected(out / "rejected.csv", rejected)
    _judge(counts, [rejection for _, rejection in rejected], config["max_rejected"], out)
    _keep_useful_own_masks(out, description.image_size)
    class_pixels, valid_pixels = _count_pixels(store.Split.open(out, "train").masks, description)
    info = store.DatasetInfo(
        task=description.task, classes=description.classes, label_values=description.label_values,
        image_size=list(description.image_size), resize=mode, counts=counts, class_pixels=class_pixels,
        valid_pixels=valid_pixels, selection=read_json(raw / SELECTION), files=store.hash_files(out))
    info.write(out)
    return info


def _pack(samples: Iterable[Sample | Rejection], description: Description, mode: str,
          out: Path) -> tuple[int, list[Rejection]]:
    """Write one split as its reader gives it, few pictures in memory at a time; how many, and what was left out."""
    out.mkdir(parents=True)
    size, task, rows, rejected = description.image_size, description.task, [], []
    dtype = store.mask_dtype(len(description.classes), task)
    with (store.ArrayWriter(out / "images.npy", (*size, 3), np.uint8) as images,
          store.ArrayWriter(out / "masks.npy", size, dtype) as masks,
          store.OwnMaskWriter(out / store.OWN_MASKS) as own_masks):
        for sample in tqdm(samples, desc=f"preparing {out.name}", unit="picture", disable=None):
            if isinstance(sample, Rejection):
                rejected.append(sample)
                continue
            fit = Fit(mode, sample.own_size, size)
            planes_KHW = np.stack([fit.plane(plane_HW) for plane_HW in sample.planes_KHW])
            if sample.planes_KHW.any() and not planes_KHW.any():
                rejected.append(Rejection(id=sample.id, source=sample.source, what="picture",
                                          reason=f"nothing of its objects is left at {_by(size)}"))
                continue
            images.append(np.asarray(fit.picture(Image.fromarray(sample.image_HWC))))
            masks.append(store.pack(planes_KHW, _ignored(sample, fit), task=task))
            own_masks.append(sample.id, store.pack(sample.planes_KHW, sample.ignore_HW, task=task))
            objects, lost = _objects(sample, fit, planes_KHW, description.classes)
            rejected += lost
            rows.append(_row(sample, objects, planes_KHW))
    store.write_index(out / "index.parquet", rows)
    return len(rows), rejected


def _ignored(sample: Sample, fit: Fit) -> np.ndarray | None:
    """What nobody labelled and what is no picture."""
    parts = [fit.outside(), None if sample.ignore_HW is None else fit.plane(sample.ignore_HW)]
    there = [part for part in parts if part is not None]
    return np.logical_or.reduce(there) if there else None


def _objects(sample: Sample, fit: Fit, planes_KHW: np.ndarray,
             classes: list[str]) -> tuple[list[tuple[str, Box]], list[Rejection]]:
    """The objects that can still be seen, by class name and box, and those that cannot."""
    seen, lost = [], []
    for k, own_box in sample.objects:
        box = fit.box(own_box)
        if box is not None and _within(planes_KHW[k], box).any():
            seen.append((classes[k], box))
        else:
            reason = f"the box of its {classes[k]} holds none of it at {_by(fit.size)}"
            lost.append(Rejection(id=sample.id, source=sample.source, what="annotation", reason=reason))
    return seen, lost


def _within(plane_HW: np.ndarray, box: Box) -> np.ndarray:
    """Every pixel that the box touches."""
    x0, y0, x1, y1 = box
    return plane_HW[math.floor(y0):math.ceil(y1), math.floor(x0):math.ceil(x1)]


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}×{size[0]}"


def _row(sample: Sample, objects: list[tuple[str, Box]], planes_KHW: np.ndarray) -> dict[str, Any]:
    height, width = sample.own_size
    return {
        "id": sample.id, "source": sample.source, "height": height, "width": width,
        "objects": [name for name, _ in objects],
        "boxes": [list(box) for _, box in objects],
        "areas": [int(plane_HW.sum()) for plane_HW in planes_KHW],
        "licence": sample.licence,
    }


def _carve_val(out: Path, fraction: float) -> tuple[int, int]:
    """Move the ceil(fraction · n) train pictures with the lowest hash of their id to val; how many each then has."""
    train = store.Split.open(out, "train")
    index = train.index()
    by_hash = sorted(range(len(index)), key=lambda i: hashlib.sha256(index["id"].iat[i].encode()).digest())
    chosen = set(by_hash[:math.ceil(fraction * len(index))])
    rest = set(range(len(index))) - chosen
    for name, rows in (("val", sorted(chosen)), ("train.new", sorted(rest))):
        target = out / name
        target.mkdir()
        for kind, array in (("images", train.images), ("masks", train.masks)):
            with store.ArrayWriter(target / f"{kind}.npy", array.shape[1:], array.dtype) as writer:
                for i in rows:
                    writer.append(array[i])
        index.iloc[rows].to_parquet(target / "index.parquet", index=False, compression="zstd")
    with store.OwnMaskWriter(out / "val" / store.OWN_MASKS) as writer:
        for i, mask_HW in enumerate(train.own_masks()):
            if i in chosen:
                writer.append(index["id"].iat[i], mask_HW)
    for path in (out / "train").iterdir():
        path.unlink()
    (out / "train").rmdir()
    (out / "train.new").rename(out / "train")
    return len(rest), len(chosen)


def _keep_useful_own_masks(out: Path, size: tuple[int, int]) -> None:
    """Those of val and test, where networks are scored, and only where some size is not the network's."""
    (out / "train" / store.OWN_MASKS).unlink(missing_ok=True)
    for split in ("val", "test"):
        index = store.Split.open(out, split).index()
        if ((index["height"] == size[0]) & (index["width"] == size[1])).all():
            (out / split / store.OWN_MASKS).unlink()


def _count_pixels(masks: np.ndarray, description: Description) -> tuple[list[int], int]:
    """How many pixels each class has, and how many are not ignored, in masks (N, H, W)."""
    counts_K, valid = np.zeros(len(description.classes), np.int64), 0
    for mask_HW in masks:
        valid_HW = ~store.ignored(mask_HW, task=description.task)
        planes_KHW = store.unpack(mask_HW, len(description.classes), task=description.task)
        counts_K += (planes_KHW & valid_HW).sum((1, 2))
        valid += int(valid_HW.sum())
    return counts_K.tolist(), valid


def _write_rejected(path: Path, rejected: list[tuple[str, Rejection]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["split", "what", "id", "source", "reason"])
        writer.writerows((split, r.what, r.id, r.source, r.reason) for split, r in rejected)


def _judge(counts: dict[str, int], rejected: list[Rejection], max_rejected: float, out: Path) -> None:
    pictures = [rejection for rejection in rejected if rejection.what == "picture"]
    total = sum(counts.values()) + len(pictures)
    examples = "; ".join(f"{r.source}: {r.reason}" for r in itertools.islice(pictures, 3))
    if len(pictures) > max_rejected * total:
        raise ValueError(f"{len(pictures)} of {total} pictures cannot be used, more than prepare.max_rejected "
                         f"({max_rejected:g}) allows: {examples}")
    if empty := [split for split, count in counts.items() if not count]:
        raise ValueError(f"{out.name}: the split {', '.join(empty)} would be empty (pictures: {counts}); "
                         "fetch more pictures or change val_fraction")
