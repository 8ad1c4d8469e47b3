"""masks: ids. masks/NAME.png holds a number or a colour per pixel, which stands for a class.

Shapes: K classes, H, W.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seglib.datasets.folder.layout import check_some_match, pictures_of, truth_of
from seglib.datasets.folder.masks import FilePerPicture, Masks, read_labels_of
from seglib.datasets.folder.values import LABELMAP, ValueCount, ValueMap, a_few, hex_of
from seglib.datasets.images import Reading
from seglib.datasets.labels import check_size

LOOKED_AT = 200  # masks, for a mapping that is proposed


class ClassIds(FilePerPicture):
    """masks/NAME.png: the number or the colour of each pixel's class (see `values`)."""

    def __init__(self, folder: Path, options: dict[str, Any]):
        pictures = pictures_of(folder, options)
        files = truth_of(folder, options, pictures)
        check_some_match(folder, options, pictures, files)
        super().__init__(files, [folder / LABELMAP])
        self._folder, self._options = folder, options

    @functools.cached_property
    def _map(self) -> ValueMap:  # made when masks are read: `fetch` knows nothing of values
        return ValueMap.of(self._options, self._folder)

    @functools.cached_property
    def _reading(self) -> Reading:
        return Reading.of(self._options)

    def of(self, name: str) -> Callable[[np.ndarray], Masks]:
        return functools.partial(_masks_of_ids, self._file_of.get(name), self._map, self._reading)

    def advice(self) -> str:
        """What the masks hold, and the lines of params.yaml that map it; "" if all values and classes are mapped."""
        found = ValueCount()
        for path in a_few(sorted(self._file_of.values()), LOOKED_AT):
            try:
                found.add(read_labels_of(path, self._reading)[0])
            except ValueError:
                continue  # `read` rejects it and says why
        if not found.total or self._map.covers(found.pixels):
            return ""
        lines = found.mapping(self._options["classes"], self._options["ignore"]).replace("\n", "\n    ")
        return (f"The masks hold {found.describe()}. These lines map all of them; put the right names:\n    {lines}")


def _masks_of_ids(path: Path | None, mapping: ValueMap, reading: Reading, image_HWC: np.ndarray) -> Masks:
    if path is None:
        raise ValueError("no mask has its name")
    labels, palette = read_labels_of(path, reading)
    check_size(labels[..., 0] if labels.ndim == 3 else labels, image_HWC)
    planes_KHW, ignore_HW = mapping.planes(labels, palette)
    by_number = labels.ndim == 2 and not mapping.colors_named
    used = {i: hex_of(palette[i]) for i in np.unique(labels).tolist() if i in palette} if by_number else {}
    return Masks(planes_KHW=planes_KHW, ignore_HW=ignore_HW, palette=used)
