"""masks: folders. masks/CLASS/NAME.png is not 0 in the pixels of the class. Shapes: K classes, H, W."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seglib.datasets.folder.layout import check_some_match, pictures_of, places_of, refuse_twins, truth_of
from seglib.datasets.folder.masks import Masks, read_labels_of
from seglib.datasets.folder.names import normal_name
from seglib.datasets.folder.objects import of_unlisted
from seglib.datasets.images import Reading
from seglib.datasets.labels import check_size
from seglib.datasets.samples import Rejection
from seglib.names import nearest


class ClassFolders:
    """masks/CLASS/NAME.png: not 0 in the pixels of the class."""

    def __init__(self, folder: Path, options: dict[str, Any]):
        pattern, pictures = options["truth"] or "masks", pictures_of(folder, options)
        there = {normal_name(path.name): path.name for _, place in places_of(folder, pattern)
                 for path in place.glob("*/")}
        for name in options["classes"]:
            if normal_name(name) not in there:
                raise ValueError(f"{folder / pattern} has no folder for the class {name!r}: "
                                 + (nearest(name, sorted(there)) if there else "it holds no folders at all"))
        self._files = [truth_of(folder, options, pictures, below=there[normal_name(name)])
                       for name in options["classes"]]
        check_some_match(folder, options, pictures, self.names, expected="CLASS/NAME.png")
        for files in self._files:
            refuse_twins(files)
        self._options = options

    @property
    def names(self) -> set[str]:
        return set().union(*self._files)

    def files(self, name: str) -> list[Path]:
        return [path for files in self._files for path in files.get(name, [])]

    def of_no_picture(self) -> Iterator[Rejection]:
        return iter(())

    def annotations(self, name: str) -> Callable[[], int]:
        return int

    def of(self, name: str) -> Callable[[np.ndarray], Masks]:
        return functools.partial(_masks_of_folders, [files.get(name, []) for files in self._files], self._options)


def _masks_of_folders(files: list[list[Path]], options: dict[str, Any], image_HWC: np.ndarray) -> Masks:
    """files: those of each class; none if the picture does not hold the class."""
    if not any(files):
        return of_unlisted(options, image_HWC.shape[:2], "no mask has its name, not even an empty one")
    planes_KHW = np.zeros((len(files), *image_HWC.shape[:2]), bool)
    for k, paths in enumerate(files):
        if paths:
            labels, _ = read_labels_of(paths[0], Reading.of(options))
            plane_HW = labels != 0 if labels.ndim == 2 else labels.any(-1)
            check_size(plane_HW, image_HWC)
            planes_KHW[k] = plane_HW
    return Masks(planes_KHW=planes_KHW)
