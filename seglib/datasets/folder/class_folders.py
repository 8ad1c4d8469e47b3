"""masks: folders. masks/CLASS/NAME.png is not 0 in the pixels of the class. Shapes: K classes, H, W."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seglib.datasets.folder.layout import MASK_SUFFIXES
from seglib.datasets.folder.masks import Masks, read_mask
from seglib.datasets.folder.objects import of_unlisted
from seglib.datasets.images import Reading
from seglib.datasets.labels import check_size, files_by_name
from seglib.datasets.samples import Rejection
from seglib.names import nearest


class ClassFolders:
    """masks/CLASS/NAME.png: not 0 in the pixels of the class."""

    def __init__(self, folder: Path, options: dict[str, Any]):
        there = sorted(path.name for path in (folder / "masks").glob("*/"))
        for name in options["classes"]:
            if name not in there:
                raise ValueError(f"{folder / 'masks'} has no folder for the class {name!r}: "
                                 + (nearest(name, there) if there else "it holds no folders at all"))
        self._files = [files_by_name(folder / "masks" / name, MASK_SUFFIXES) for name in options["classes"]]
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
            plane_HW = read_mask(paths, Reading.of(options)) != 0
            check_size(plane_HW, image_HWC)
            planes_KHW[k] = plane_HW
    return Masks(planes_KHW=planes_KHW)
