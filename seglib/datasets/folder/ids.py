"""masks: ids. masks/NAME.png holds a number or a colour per pixel, which stands for a class.

Shapes: K classes, H, W.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seglib.datasets.folder.layout import check_some_match, pictures_of, refuse_twins, truth_of
from seglib.datasets.folder.masks import Masks, read_labels_of
from seglib.datasets.folder.values import LABELMAP, ValueCount, ValueMap, hex_of
from seglib.datasets.images import Reading
from seglib.datasets.labels import check_size
from seglib.datasets.samples import Rejection

LOOKED_AT = 200  # masks, for a mapping that is proposed


class ClassIds:
    """masks/NAME.png: the number or the colour of each pixel's class (see `values`)."""

    def __init__(self, folder: Path, options: dict[str, Any]):
        pictures = pictures_of(folder, options)
        self._files = truth_of(folder, options, pictures)
        check_some_match(folder, options, pictures, self._files)
        refuse_twins(self._files)
        self._shared = [path for path in (folder / LABELMAP,) if path.is_file()]
        self._folder, self._options = folder, options

    @functools.cached_property
    def _map(self) -> ValueMap:  # made when masks are read: `fetch` knows nothing of values
        return ValueMap.of(self._options, self._folder)

    @functools.cached_property
    def _reading(self) -> Reading:
        return Reading.of(self._options)

    @property
    def names(self) -> set[str]:
        return set(self._files)

    def files(self, name: str) -> list[Path]:
        return [*self._files[name], *self._shared] if name in self._files else []

    def of_no_picture(self) -> Iterator[Rejection]:
        return iter(())

    def annotations(self, name: str) -> Callable[[], int]:
        return int

    def of(self, name: str) -> Callable[[np.ndarray], Masks]:
        return functools.partial(_masks_of_ids, self._files.get(name, []), self._map, self._reading)

    def advice(self) -> str:
        """What the masks hold, and the lines of params.yaml that map it; "" if all values and classes are mapped."""
        found = ValueCount()
        names = sorted(self._files)
        for name in names[::-(-len(names) // LOOKED_AT)]:
            try:
                found.add(read_labels_of(self._files[name], self._reading)[0])
            except ValueError:
                continue  # `read` rejects it and says why
        if not found.total or self._map.covers(found.pixels):
            return ""
        lines = found.mapping(self._options["classes"], self._options["ignore"]).replace("\n", "\n    ")
        return (f"The masks hold {found.describe()}. These lines map all of them; put the right names:\n    {lines}")


def _masks_of_ids(files: list[Path], mapping: ValueMap, reading: Reading, image_HWC: np.ndarray) -> Masks:
    if not files:
        raise ValueError("no mask has its name")
    labels, palette = read_labels_of(files, reading)
    check_size(labels[..., 0] if labels.ndim == 3 else labels, image_HWC)
    planes_KHW, ignore_HW = mapping.planes(labels, palette)
    by_number = labels.ndim == 2 and not mapping.colors_named
    used = {i: hex_of(palette[i]) for i in np.unique(labels).tolist() if i in palette} if by_number else {}
    return Masks(planes_KHW=planes_KHW, ignore_HW=ignore_HW, palette=used)
