"""From raw data to the prepared format (see `store`): the same steps for every dataset (see `readers`).

Few pictures are in memory at a time: each process leaves its own in a file (see `packing`), from which the splits are
written in the reader's order. So while a dataset is prepared it lies twice on the disk.
"""

import csv
import hashlib
import itertools
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from seglib.configs import PrepareConfig
from seglib.cores import physical_cores
from seglib.datasets import packing, store
from seglib.datasets.images import STORED, Reading
from seglib.datasets.packing import Packed, Packer
from seglib.datasets.pixels import PixelFacts, PixelSurvey
from seglib.datasets.readers import SELECTION, reader_of
from seglib.datasets.samples import TALLIES, Description, Entry, Rejection
from seglib.datasets.store_tables import OwnMaskWriter, write_index
from seglib.datasets.truth import Fault, TruthSurvey, judge
from seglib.datasets.workers import Workers
from seglib.files import read_json


def prepare(raw: Path, config: PrepareConfig, out: Path, *, processes: int | None = None) -> store.Contents:
    """Fill `out` with the prepared dataset that `config` describes, and return what it holds.

    processes: how many decode pictures; None: one per core, if that many are worth their start. The bytes are the same
    for any number. These processes import the script that runs, so a script that calls this needs the usual
    `if __name__ == "__main__":`.

    Damaged and unusable pictures are left out and listed in rejected.csv. Raises ValueError if they are more than
    `max_rejected` of all, or if a split would be empty, and ChildProcessError if a process is ended from outside.
    """
    reader = reader_of(config.kind)
    description = reader.describe(config)
    pictures: dict[str, list[Packed]] = {}
    rejected: list[tuple[str, Rejection]] = []
    with tempfile.TemporaryDirectory(dir=out, prefix=".") as temporary:
        packer = Packer(task=description.task, classes=description.classes, size=description.image_size,
                        mode=config.resize, folder=Path(temporary))
        with Workers(processes or physical_cores(), [packing.__name__, reader.__name__]) as workers:
            for split in description.splits:
                given = workers.map(packer.pack, reader.read(raw, config, split), lambda one: isinstance(one, Entry))
                pictures[split] = []
                for entry in tqdm(itertools.chain.from_iterable(given), desc=f"preparing {split}", unit="picture",
                                  disable=None):
                    if isinstance(entry, Rejection):
                        rejected.append((split, entry))
                    else:
                        pictures[split].append(entry)
        if "val" not in description.splits:
            pictures["train"], pictures["val"] = _carve_val(pictures["train"], config.val_fraction)
        counts = {split: len(found) for split, found in pictures.items()}
        _write_rejected(out / "rejected.csv", rejected)
        truth = _survey(pictures, rejected, packer)
        wrong = [*truth.faults(), *_pixel_faults(pictures, packer, description)]
        faults = _faults(counts, [rejection for _, rejection in rejected], config)
        if faults := faults or [fault.refusal for fault in judge(wrong, config.allow)]:
            advice = reader.advice(raw, config) if hasattr(reader, "advice") else ""
            raise ValueError("\n".join([*faults, *([advice] if advice else [])]))
        for split, found in pictures.items():
            _write_split(found, packer, out / split)
    contents = store.Contents(counts=counts, selection=read_json(raw / SELECTION), files=store.hash_files(out),
                              annotations=_tallies(truth), allowed=[fault.text for fault in wrong])
    contents.write(out)
    store.DatasetInfo(
        task=description.task, classes=description.classes, label_values=description.label_values,
        image_size=list(description.image_size), resize=config.resize,
        class_pixels=truth.class_pixels["train"].tolist(), valid_pixels=truth.valid_pixels["train"],
        reading=description.reading, mask_values=description.mask_values,
        train_val_sha256=contents.sha256_of("train", "val")).write(out)
    return contents


def _carve_val(pictures: list[Packed], fraction: float) -> tuple[list[Packed], list[Packed]]:
    """The pictures that stay in train, and the ceil(fraction · n) with the lowest hash of their id, for val."""
    by_hash = sorted(range(len(pictures)), key=lambda i: hashlib.sha256(pictures[i].id.encode()).digest())
    chosen = set(by_hash[:math.ceil(fraction * len(pictures))])
    return ([picture for i, picture in enumerate(pictures) if i not in chosen],
            [picture for i, picture in enumerate(pictures) if i in chosen])


def _write_split(pictures: list[Packed], packer: Packer, out: Path) -> None:
    out.mkdir()
    with (store.ArrayWriter(out / "images.npy", (*packer.size, 3), np.uint8) as images,
          store.ArrayWriter(out / "masks.npy", packer.size, packer.dtype) as masks):
        for picture in tqdm(pictures, desc=f"writing {out.name}", unit="picture", disable=None):
            image_HWC, mask_HW = packer.arrays(picture)
            images.append(image_HWC)
            masks.append(mask_HW)
    write_index(out / "index.parquet", (packer.record(picture).row for picture in pictures))
    # Networks are scored on val and test alone.
    if out.name != "train" and any(picture.own_size != packer.size for picture in pictures):
        with OwnMaskWriter(out / store.OWN_MASKS) as own_masks:
            for picture in pictures:
                own_masks.append(picture.id, packer.own_mask(picture))


def _survey(pictures: dict[str, list[Packed]], rejected: list[tuple[str, Rejection]], packer: Packer) -> TruthSurvey:
    """Count the pixels of the stored masks, and the annotations by tally."""
    survey = TruthSurvey(packer.task, packer.classes, list(pictures))
    for split, found in pictures.items():
        for picture in found:
            record = packer.record(picture)
            survey.add(split, picture.id, record.class_pixels, record.valid_pixels,
                       math.prod(packer.size) - record.valid_pixels,
                       {int(number): color for number, color in record.palette.items()}, record.row.get("unit"))
            survey.add_tally(record.tally)
    for _, rejection in rejected:
        survey.add_tally(rejection.tally, rejection.source)
    return survey


def _pixel_faults(pictures: dict[str, list[Packed]], packer: Packer, description: Description) -> list[Fault]:
    """What is wrong with the pixels of a reader's pictures, if it looked at their files."""
    survey = PixelSurvey(STORED if description.reading is None else Reading.of(description.reading))
    for picture in itertools.chain.from_iterable(pictures.values()):
        if (facts := packer.record(picture).facts) is not None:
            survey.add(picture.id, PixelFacts(**facts | {"size": tuple(facts["size"])}), picture.own_size)
    return [Fault(key="pixels", text=f"{text} (such as {', '.join(names)})")
            for level, text, names in survey.faults() if level == "error"]


def _tallies(survey: TruthSurvey) -> dict[str, dict[str, Any]]:
    """How many annotations ended in each tally, and a few of those that did not become truth."""
    return {key: {"count": survey.tally[key], "examples": survey.examples[key] if key != "drawn" else []}
            for key in TALLIES if survey.tally[key]}


def _write_rejected(path: Path, rejected: list[tuple[str, Rejection]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["split", "what", "id", "source", "reason"])
        writer.writerows((split, r.what, r.id, r.source, r.reason) for split, r in rejected)


def _faults(counts: dict[str, int], rejected: list[Rejection], config: PrepareConfig) -> list[str]:
    """Whether too few pictures are left."""
    pictures = [rejection for rejection in rejected if rejection.what == "picture"]
    total = sum(counts.values()) + len(pictures)
    if len(pictures) > config.max_rejected * total:
        examples = "; ".join(f"{r.source}: {r.reason}" for r in itertools.islice(pictures, 3))
        return [f"{len(pictures)} of {total} pictures cannot be used, more than prepare.max_rejected "
                f"({config.max_rejected:g}) allows: {examples}"]
    if empty := [split for split, count in counts.items() if not count]:
        return [f"the split {', '.join(empty)} would be empty (pictures: {counts}); add pictures, or change "
                "val_fraction"]
    return []
