"""What the numbers or colours of masks may stand for, as a guess: see `guess`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seglib.datasets.folder.values import LABELMAP, ValueCount, as_numbers, read_labelmap, voc_palette
from seglib.datasets.images import ImageError, Reading
from seglib.datasets.labels import read_labels

MANY = 5  # different highest numbers of masks, from which on they number objects and not classes
FEW = 64  # values of a mask; a photograph has more
VOC_CLASSES = ["background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
               "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
               "tvmonitor"]


def keys_of_values(root: Path, paths: Sequence[Path], reading: Reading) -> tuple[dict[str, Any], list[str]]:
    """The keys classes, values, colors and ignore for masks of numbers or colours."""
    count, highest, contiguous, palettes = ValueCount(), set(), True, []
    for path in paths:
        try:
            labels, palette = read_labels(path, reading)
        except ImageError:
            continue
        count.add(labels)
        labels = as_numbers(labels)
        if labels.ndim == 2:
            there = np.unique(labels)
            highest.add(int(there[-1]))
            contiguous &= there.tolist() == list(range(len(there)))
            palettes += [palette] if palette else []
    if not count.total:
        raise ValueError(f"none of {len(paths)} masks could be read, such as {paths[0]}")
    seen = f"the masks hold {count.describe()}"
    colors = sorted(value for value in count.pixels if isinstance(value, str))
    if colors:
        return _of_colors(root, colors, seen)
    values = sorted(count.pixels)
    if contiguous and len(highest) >= MANY:
        names = {value: "thing" if value else "background" for value in values}
        return {"classes": ["background", "thing"], "values": names, "ignore": []}, [
            f"values: {seen}; each mask counts from 0 without a gap and they end at different numbers, so they number "
            "objects of one class"]
    voc = voc_palette()
    if palettes and all(voc.get(palette.get(value)) == value for palette in palettes for value in palette
                        if value in values) and all(value < len(VOC_CLASSES) or value == 255 for value in values):
        return _of_voc(values), [f"classes: PASCAL VOC's names, because {seen}, with VOC's palette"]
    ignored = [255] if values[-1] == 255 and len(values) > 2 and values[-2] < FEW else []
    kept = [value for value in values if value not in ignored]
    classes = (["background", "thing"] if len(kept) == 2 and kept[0] == 0 else [f"class_{value}" for value in kept])
    keys: dict[str, Any] = {"classes": classes}
    if kept != list(range(len(kept))):
        keys["values"] = dict(zip(kept, classes, strict=True))
    why = f"; 255 is ignored, because the others end at {kept[-1]}" if ignored else ""
    return keys | {"ignore": ignored}, [f"values: {seen}{why}; put the right names"]


def _of_voc(numbers: Sequence[int]) -> dict[str, Any]:
    named = {number: VOC_CLASSES[number] for number in numbers if number < len(VOC_CLASSES)}
    return {"classes": list(named.values()), "values": named, "ignore": [255]}


def _of_colors(root: Path, colors: list[str], seen: str) -> tuple[dict[str, Any], list[str]]:
    labelmap = read_labelmap(root)
    if labelmap is not None and {int(color[1:], 16) for color in colors} <= labelmap.keys():
        return {"classes": list(dict.fromkeys(labelmap.values())), "ignore": []}, [
            f"classes: {LABELMAP} names each colour"]
    voc = voc_palette()
    numbers = {voc.get(int(color[1:], 16)) for color in colors}
    if None not in numbers and all(number < len(VOC_CLASSES) or number == 255 for number in numbers):
        return _of_voc(sorted(numbers)), [f"classes: PASCAL VOC's names, because {seen}, its colours"]
    classes = ["background" if color == "#000000" else f"class_{color[1:]}" for color in colors]
    return {"classes": classes, "colors": dict(zip(colors, classes, strict=True)), "ignore": []}, [
        f"colors: {seen}; put the right names"]
