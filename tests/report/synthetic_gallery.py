"""A made-up gallery: pictures, true masks, predictions.

Shapes: H, W; a mask's bit k says class k is there, or, where classes exclude each other, it is the number plus 1.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from seglib.figures.pictures import class_color
from seglib.files import write_json

PLACES = ("best", "median", "worst")


def run_lengths(mask_HW: np.ndarray) -> list[int]:
    """[value, length, value, length ...], row by row."""
    flat = mask_HW.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    lengths = np.diff([*starts, flat.size])
    return np.stack([flat[starts], lengths], axis=1).ravel().tolist()


def _by_class(truth_HW: np.ndarray, predicted_HW: np.ndarray, classes: Sequence[str], exclusive: bool
              ) -> dict[str, list[str]]:
    """What compare writes of each class: all of it, and the part that a small caption shows."""
    scored = []  # IoU, text
    for k, name in enumerate(classes):
        true, found = (mask == k + 1 if exclusive else mask >> k & 1 == 1 for mask in (truth_HW, predicted_HW))
        if true.any():
            iou = (true & found).sum() / (true | found).sum()
            scored.append((iou, f"{name} {iou:.2f}"))
        elif found.any():
            scored.append((0, f"{name}: not there, {found.sum()} pixels predicted"))
    texts = [text for _, text in scored]
    many = [f"the lowest of {len(scored)} classes:", *(text for _, text in sorted(scored)[:2])]
    return {"classes": texts, "brief": many if len(scored) > 4 else texts}


def write_gallery(study: Any, folder: Path, rng: np.random.Generator) -> None:
    """Of a `synthetic.Study`: ellipses on black; predictions are the truth, shifted, eaten at and sprinkled on."""
    side, entries, exclusive = study.side, [], study.task == "multiclass"
    present = [k for k, name in enumerate(study.classes) if name not in study.absent] or [0]
    ignored = np.broadcast_to(np.arange(side) < side // 8, (side, side)) & exclusive
    for n in range(study.pictures):
        picture, mask = Image.new("RGB", (side, side), (12, 12, 16)), np.zeros((side, side), np.int64)
        if exclusive:
            mask[:] = present[0] + 1  # a class that fills what the others leave
        for k in rng.choice(present, size=min(1 + n % 3, len(present)), replace=False):
            box = (*(rng.random(2) * side * 0.5), *(side * (0.5 + rng.random(2) * 0.5)))
            plane = Image.new("1", (side, side))
            ImageDraw.Draw(plane).ellipse(box, fill=1)
            ImageDraw.Draw(picture).ellipse(box, fill=tuple(rng.integers(60, 255, 3).tolist()))
            there = np.asarray(plane)
            mask = np.where(there, k + 1, mask) if exclusive else mask | there.astype(np.int64) << int(k)
        noise = rng.integers(0, 24, (side, side, 3))
        Image.fromarray((np.asarray(picture) * 0.9 + noise).astype(np.uint8)).save(folder / f"{n}.png")
        variants = {}
        for i, variant in enumerate(study.variants):
            predicted = np.zeros_like(mask)
            predicted[:, 1 + i % 4:] = mask[:, :-1 - i % 4]
            predicted[rng.random((side, side)) < 0.01] = int(exclusive)
            predicted[rng.random((side, side)) < 0.004] = present[-1] + 1 if exclusive else 1 << present[-1]
            variants[variant] = {"iou": round(0.9 - 0.02 * i - 0.5 * n / study.pictures, 3),
                                 "runs": run_lengths(np.where(ignored, 0, predicted)),
                                 **_by_class(mask, predicted, study.classes, exclusive)}
        held = [(mask == k + 1).any() if exclusive else (mask >> k & 1).any() for k in range(len(study.classes))]
        entries.append({"id": f"test-{n:05d}", "file": f"{n}.png", "place": PLACES[n * 3 // study.pictures],
                        "score": round(0.9 - 0.5 * n / study.pictures, 3),
                        "classes": [name for name, is_there in zip(study.classes, held, strict=True) if is_there],
                        "ignored": run_lengths(ignored.astype(int)) if exclusive else None,
                        "truth": run_lengths(np.where(ignored, 0, mask)), "variants": variants})
    seeds = {variant: None if variant == "frequency" else study.seeds[0] for variant in study.variants}
    write_json(folder / "gallery.json", {
        "exclusive": exclusive, "classes": list(study.classes),
        "colors": ["#{:02x}{:02x}{:02x}".format(*class_color(k)) for k in range(len(study.classes))],
        "width": side, "height": side, "seed_shown": seeds, "pictures": entries})
