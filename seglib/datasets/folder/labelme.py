"""masks: labelme. One NAME.json per picture, beside it or in the folder `truth`. Shapes: K classes, H, W.

Format: https://github.com/wkentaro/labelme. Its coordinates are pixels, an edge lying between two pixels, as COCO's.
"""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from seglib.datasets.folder.json_text import number, read_json
from seglib.datasets.folder.layout import files_below
from seglib.datasets.folder.masks import FilePerPicture, Masks
from seglib.datasets.folder.objects import masks_of, of_unlisted
from seglib.datasets.labels import WrongSize
from seglib.datasets.outlines import Outline, draw

CIRCLE = 360  # corners of the polygon that stands for a circle: of radius 1000, it is off by a tenth of a pixel

Points = list[tuple[float, float]]


class _Shape(msgspec.Struct):
    label: Any = None
    points: Any = None
    shape_type: Any = None


class _Content(msgspec.Struct):
    shapes: list[_Shape]
    height: Any = msgspec.field(default=None, name="imageHeight")
    width: Any = msgspec.field(default=None, name="imageWidth")


class LabelMe(FilePerPicture):
    """NAME.json: https://github.com/wkentaro/labelme. A picture whose file lists no shape holds no class."""

    def __init__(self, folder: Path, options: dict[str, Any]):
        place = options["truth"] or options["pictures"]
        files = files_below(folder, place, [".json"])
        if not files:
            raise ValueError(f"{place} holds no NAME.json, which masks: labelme reads: put them beside the pictures, "
                             "or set truth to their folder")
        super().__init__(files)
        self._options = options

    def annotations(self, name: str) -> Callable[[], int]:
        return functools.partial(_count, self._file_of.get(name))

    def of(self, name: str) -> Callable[[np.ndarray], Masks]:
        return functools.partial(_masks_of_labelme, name, self._file_of.get(name), self._options)


def _read(path: Path) -> _Content:
    return read_json(path, _Content, "LabelMe", path.name)


def _count(path: Path | None) -> int:
    try:
        return len(_read(path).shapes) if path else 0
    except ValueError:  # which stands in the reason why the picture is left out
        return 0


def _masks_of_labelme(name: str, path: Path | None, options: dict[str, Any], image_HWC: np.ndarray) -> Masks:
    size = image_HWC.shape[:2]
    if path is None:
        return of_unlisted(options, size, f"there is no {name}.json")
    content = _read(path)
    stated = number(content.height), number(content.width)
    height, width = (own if one is None else one for own, one in zip(size, stated, strict=True))
    if (height, width) != size:
        raise WrongSize(f"{path.name} says it is {width:g}×{height:g}, it is {size[1]}×{size[0]}",
                        (int(height), int(width)))
    class_of = {label: k for k, label in enumerate(options["classes"])}
    outlines = [_outline(f"shape {i}", class_of[str(shape.label)], shape)
                for i, shape in enumerate(content.shapes, start=1) if str(shape.label) in class_of]
    return masks_of(draw(outlines, size, len(class_of), other=len(content.shapes) - len(outlines)))


def _outline(name: str, k: int, shape: _Shape) -> Outline:
    kind = "polygon" if shape.shape_type is None else shape.shape_type
    try:
        points = msgspec.convert(shape.points, Points, strict=False)
    except msgspec.ValidationError:
        return Outline(name=name, k=k, segmentation=None, fault="its points are no list of x and y")
    fault, corners = None, points
    if kind == "circle" and len(points) == 2:
        corners = _around(*points)
    elif kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    elif kind in ("circle", "rectangle") and not (kind == "rectangle" and len(points) == 4):
        fault = f"a {kind} of {len(points)} points, expected 2"
    elif kind not in ("polygon", "rectangle"):
        fault = f"its shape_type is {kind!s:.20}, which has no area that can be drawn: use polygon, rectangle or circle"
    return Outline(name=name, k=k, segmentation=[[part for corner in corners for part in corner]], fault=fault)


def _around(centre: tuple[float, float], edge: tuple[float, float]) -> Points:
    """The corners of a polygon that stands for the circle around `centre` that goes through `edge`."""
    (x, y), radius = centre, math.dist(centre, edge)
    angles = (2 * math.pi * i / CIRCLE for i in range(CIRCLE))
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]
