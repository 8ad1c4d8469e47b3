"""masks: ids. masks/NAME.png holds the number of each pixel's class. Shapes: K classes, H, W."""

import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seglib.datasets.folder.layout import check_some_match, pictures_of, truth_of
from seglib.datasets.folder.masks import Masks, read_mask
from seglib.datasets.labels import check_size, planes_of_numbers
from seglib.datasets.samples import Rejection


def class_ids(classes: int, ignore: Collection[int]) -> list[int]:
    """The id of each class if `masks` is ids: counted from 0, and ignored ids are skipped."""
    return list(itertools.islice((number for number in itertools.count() if number not in ignore), classes))


class ClassIds:
    """masks/NAME.png: the id of each pixel's class."""

    def __init__(self, folder: Path, options: dict[str, Any]):
        pictures = pictures_of(folder, options)
        self._files = truth_of(folder, options, pictures)
        check_some_match(folder, options, pictures, self._files)
        self._options = options

    @property
    def names(self) -> set[str]:
        return set(self._files)

    def files(self, name: str) -> list[Path]:
        return self._files.get(name, [])

    def of_no_picture(self) -> Iterator[Rejection]:
        return iter(())

    def of(self, name: str) -> Callable[[np.ndarray], Masks]:
        ignore = self._options["ignore"]
        ids = class_ids(len(self._options["classes"]), ignore)
        return functools.partial(_masks_of_ids, self.files(name), ids, ignore)


def _masks_of_ids(files: list[Path], ids: Sequence[int], ignore: Collection[int], image_HWC: np.ndarray) -> Masks:
    if not files:
        raise ValueError("no mask has its name")
    ids_HW = read_mask(files)
    check_size(ids_HW, image_HWC)
    planes_KHW, ignore_HW = planes_of_numbers(ids_HW, ids, ignore)
    return Masks(planes_KHW=planes_KHW, ignore_HW=ignore_HW)
