"""From raw data to the prepared format (see `store`): the same road for every dataset."""

import csv
import hashlib
import itertools
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

from seglib.datasets import coco, shapes, store
from seglib.datasets.samples import Description, Rejection, Sample
from seglib.files import read_json

KINDS: dict[str, ModuleType] = {"shapes": shapes, "coco": coco}
SELECTION = "selection.json"  # in the raw folder: what `fetch` considered and took


def prepare(raw: Path, config: dict[str, Any], out: Path) -> store.DatasetInfo:
    """Fill `out` with the prepared dataset that `config` describes.

    Damaged and unusable pictures are left out and listed in rejected.csv. Raises ValueError when they are more than
    `max_rejected` of all, or when a split would be empty.
    """
    reader = KINDS[config["kind"]]
    description = reader.describe(config)
    rejected: list[tuple[str, Rejection]] = []
    counts = {}
    for split in ("train", "test"):
        rows, left_out = _pack(reader.read(raw, config, split), description, out / split)
        rejected += [(split, rejection) for rejection in left_out]
        counts[split] = len(rows)
    counts["train"], counts["val"] = _carve_val(out, config["val_fraction"])
    _write_rejected(out / "rejected.csv", rejected)
    _judge(counts, [rejection for _, rejection in rejected], config["max_rejected"], out)
    info = store.DatasetInfo(
        task=description.task, classes=description.classes, label_values=description.label_values,
        image_size=list(description.image_size), counts=counts, selection=read_json(raw / SELECTION),
        files=store.hash_files(out))
    info.write(out)
    return info


def _pack(samples: Any, description: Description, folder: Path) -> tuple[list[dict[str, Any]], list[Rejection]]:
    """Write one split as its reader gives it; memory holds one picture at a time."""
    folder.mkdir(parents=True)
    size, rows, rejected = description.image_size, [], []
    with (store.ArrayWriter(folder / "images.npy", (*size, 3), np.uint8) as images,
          store.ArrayWriter(folder / "masks.npy", size, store.mask_dtype(len(description.classes))) as masks):
        for sample in tqdm(samples, desc=f"preparing {folder.name}", unit="picture", disable=None):
            if isinstance(sample, Rejection):
                rejected.append(sample)
                continue
            images.append(sample.image_HWC)
            masks.append(store.pack(sample.planes_KHW))
            rows.append(_row(sample, description.classes))
    store.write_index(folder / "index.parquet", rows)
    return rows, rejected


def _row(sample: Sample, classes: list[str]) -> dict[str, Any]:
    height, width = sample.original_size
    return {
        "id": sample.id, "source": sample.source, "height": height, "width": width,
        "objects": [classes[k] for k, _ in sample.objects],
        "boxes": [list(box) for _, box in sample.objects],
        "areas": [int(plane.sum()) for plane in sample.planes_KHW],
        "licence": sample.licence,
    }


def _carve_val(out: Path, fraction: float) -> tuple[int, int]:
    """Move the ceil(fraction · n) train pictures with the lowest hash of their id to val; how many each then has."""
    train = store.Split.open(out, "train")
    index = train.index()
    by_hash = sorted(range(len(index)), key=lambda i: hashlib.sha256(index["id"].iat[i].encode()).digest())
    chosen = sorted(by_hash[:math.ceil(fraction * len(index))])
    rest = sorted(set(range(len(index))) - set(chosen))
    for name, rows in (("val", chosen), ("train.new", rest)):
        folder = out / name
        folder.mkdir()
        for kind, array in (("images", train.images), ("masks", train.masks)):
            with store.ArrayWriter(folder / f"{kind}.npy", array.shape[1:], array.dtype) as writer:
                for i in rows:
                    writer.append(array[i])
        index.iloc[rows].to_parquet(folder / "index.parquet", index=False, compression="zstd")
    for path in (out / "train").iterdir():
        path.unlink()
    (out / "train").rmdir()
    (out / "train.new").rename(out / "train")
    return len(rest), len(chosen)


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
