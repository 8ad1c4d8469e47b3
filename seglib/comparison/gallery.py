"""Test pictures for the page, with every variant's mask, as data that the page draws.

Shapes: N pictures, H, W.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglib.comparison.captions import Caption, caption
from seglib.comparison.tables import rank_pictures
from seglib.comparison.variants import Result, Variant
from seglib.datasets.store import DatasetInfo, Split
from seglib.figures.pictures import class_color, save_png
from seglib.files import write_json
from seglib.metrics.scores import HEADLINE

PLACES = ("best", "median", "worst")
SMALL = 128  # pixels


def write_gallery(variants: Sequence[Variant], info: DatasetInfo, test: Split, *, count: int, out: Path) -> None:
    """Fill `out` with gallery.json and the pictures: `count` of them, the best, those about the median, the worst.

    Each variant shows the seed in the middle of its test scores (of two, the lower). Masks are run lengths of
    the task's `shown_values`. A picture with pixels to ignore has an `ignored` of its own, which is 1 on these pixels.
    """
    ranked, means = rank_pictures(variants)
    chosen = _thirds(ranked, count)
    shown = {variant.label: _middle_seed(variant) for variant in variants}
    predictions = {label: np.load(result.files.predictions, mmap_mode="r") for label, result in shown.items()}
    ids = test.index()["id"]
    entries = []
    for number, (place, i) in enumerate(chosen):
        file = _save(np.asarray(test.images[i]), out, number)
        truth, out_HW = np.asarray(test.masks[i]), info.task.ignored(test.masks[i])
        held = info.task.unpack(truth, len(info.classes)).any((1, 2))
        entries.append({
            "id": ids.iat[i], "file": file, "place": place, "score": round(float(means[i]), 4),
            "classes": [name for name, is_there in zip(info.classes, held, strict=True) if is_there],
            "ignored": run_lengths(out_HW.astype(np.uint8)) if out_HW.any() else None,
            "truth": run_lengths(info.task.shown_values(truth, out_HW)),
            "variants": {label: _scores(caption(result.cases["test"], i, info.classes)) | {
                "runs": run_lengths(info.task.shown_values(predictions[label][i], out_HW))}
                for label, result in shown.items()}})
    write_json(out / "gallery.json", {
        "exclusive": info.task.exclusive, "classes": info.classes,
        "colors": ["#{:02x}{:02x}{:02x}".format(*class_color(k)) for k in range(len(info.classes))],
        "height": info.image_size[0], "width": info.image_size[1],
        "seed_shown": {label: result.seed for label, result in shown.items()}, "pictures": entries})


def _save(image_HWC: np.ndarray, folder: Path, number: int) -> str:
    """Write a small picture as PNG, without loss, and a photograph as JPEG, at a tenth of the size."""
    if max(image_HWC.shape) <= SMALL:
        save_png(Image.fromarray(image_HWC), folder / f"{number}.png")
        return f"{number}.png"
    Image.fromarray(image_HWC).save(folder / f"{number}.jpg", quality=90)
    return f"{number}.jpg"


def _thirds(ranked: np.ndarray, count: int) -> list[tuple[str, int]]:
    """(place, picture), from both ends and from the middle; each picture once."""
    third = max(1, min(count, len(ranked)) // 3)
    middle = (len(ranked) - third) // 2
    parts = (ranked[:third], ranked[middle:middle + third], ranked[-third:])
    seen: set[int] = set()
    return [(place, int(i)) for place, part in zip(PLACES, parts, strict=True) for i in part
            if not (i in seen or seen.add(i))]


def _middle_seed(variant: Variant) -> Result:
    order = np.argsort(variant.scores_S("test", HEADLINE.name), kind="stable")
    return variant.results[order[(len(order) - 1) // 2]]


def _scores(of: Caption) -> dict[str, Any]:
    return {"iou": None if np.isnan(of.iou) else round(of.iou, 4), "classes": of.classes, "brief": of.brief}


def run_lengths(mask_HW: np.ndarray) -> list[int]:
    """A mask as [value, length, value, length ...] row by row."""
    flat = np.asarray(mask_HW).ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1]))
    lengths = np.diff(starts, append=len(flat))
    return np.column_stack([flat[starts], lengths]).ravel().tolist()
