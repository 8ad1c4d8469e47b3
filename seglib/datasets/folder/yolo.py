"""masks: yolo. labels/NAME.txt: per line a class's number and the corners of its outline. Shapes: K classes, H, W.

Format: https://docs.ultralytics.com/datasets/segment. x and y are shares of the picture's width and height.
"""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML, YAMLError

from seglib.datasets.folder.layout import files_below
from seglib.datasets.folder.masks import FilePerPicture, Masks
from seglib.datasets.folder.objects import masks_of, of_unlisted
from seglib.datasets.labels import text_of
from seglib.datasets.outlines import LeftOut, Outline, draw

LABELS = "labels"  # if the option `truth` names no other
NAMES = "data.yaml"


class Yolo(FilePerPicture):
    """labels/NAME.txt: https://docs.ultralytics.com/datasets/segment. A picture whose file is empty holds no class.

    A class's number is its position in the option `classes`, from 0. Raises ValueError if data.yaml says otherwise.
    """

    def __init__(self, folder: Path, options: dict[str, Any]):
        place = options["truth"] or LABELS
        files = files_below(folder, place, [".txt"])
        files.pop("classes", None)  # which some tools write beside the labels, with the names of the classes
        if not files:
            raise ValueError(f"{place} holds no NAME.txt, which masks: yolo reads: put them there, or set truth to "
                             "their folder")
        super().__init__(files, [folder / NAMES])
        self._options = options
        for path in self._shared:
            if (names := names_in(path)) not in (None, list(options["classes"])):
                raise ValueError(f"{path.name} gives the classes other names or another order: set classes: "
                                 f"[{', '.join(names)}]")

    def annotations(self, name: str) -> Callable[[], int]:
        return functools.partial(_count, self._file_of.get(name))

    def of(self, name: str) -> Callable[[np.ndarray], Masks]:
        return functools.partial(_masks_of_yolo, name, self._file_of.get(name), self._options)


def names_in(path: Path) -> list[str] | None:
    """The names of the classes in a data.yaml, in their order; None if it gives none. Raises ValueError."""
    try:
        content = YAML(typ="safe", pure=True).load(text_of(path.read_bytes(), path.name))
    except (YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path.name} is not YAML: {' '.join(str(error).split()):.200}") from None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=_position)]
    return list(map(str, names)) if isinstance(names, list) else None


def _position(key: Any) -> tuple[float, str]:
    return float(key) if str(key).isascii() and str(key).isdigit() else math.inf, str(key)


def _lines(path: Path) -> list[tuple[str, list[str]]]:
    """What is in each line that is not empty, and the line's name."""
    lines = text_of(path.read_bytes(), path.name).splitlines()
    return [(f"line {i}", line.split()) for i, line in enumerate(lines, start=1) if line.strip()]


def _count(path: Path | None) -> int:
    try:
        return len(_lines(path)) if path else 0
    except ValueError:  # which stands in the reason why the picture is left out
        return 0


def _masks_of_yolo(name: str, path: Path | None, options: dict[str, Any], image_HWC: np.ndarray) -> Masks:
    size, classes = image_HWC.shape[:2], len(options["classes"])
    if path is None:
        return of_unlisted(options, size, f"there is no {name}.txt")
    outlines, left_out = [], []
    for line, (number, *shares) in _lines(path):
        k = _whole(number)
        if k in range(classes):
            outlines.append(_outline(line, k, shares, size))
        else:
            reason = f"its class is {number:.20}, but classes has the numbers 0 to {classes - 1}"
            left_out.append(LeftOut(annotation=line, reason=reason, tally="dangling"))
    return masks_of(draw(outlines, size, classes, left_out=left_out))


def _whole(text: str) -> int | None:
    """A class's number, which some tools write as 0.0."""
    try:
        return int(value) if (value := float(text)).is_integer() else None
    except ValueError:
        return None


def _outline(name: str, k: int, shares: Sequence[str], size: tuple[int, int]) -> Outline:
    height, width = size
    try:
        numbers = [float(share) * (height if i % 2 else width) for i, share in enumerate(shares)]
    except ValueError:
        return Outline(name=name, k=k, segmentation=None, fault="it holds something that is no number")
    if len(numbers) == 4:
        x, y, w, h = numbers
        return Outline(name=name, k=k, segmentation=None, box=(x - w / 2, y - h / 2, w, h),
                       fault="a class and 4 numbers are a box, not an outline: only outlines become masks")
    return Outline(name=name, k=k, segmentation=[numbers])
