"""The forms in which a user's folder may hold masks: one module per form, each read picture by picture.

Shapes: K classes, H, W.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from seglib.datasets.folder.class_folders import ClassFolders
from seglib.datasets.folder.coco import Coco
from seglib.datasets.folder.ids import ClassIds
from seglib.datasets.folder.labelme import LabelMe
from seglib.datasets.folder.masks import Masks
from seglib.datasets.folder.yolo import Yolo
from seglib.datasets.samples import Rejection


class Form(Protocol):
    """All masks of a folder, in one form. It is made of the folder and the dataset's options."""

    @property
    def names(self) -> set[str]:
        """The names of pictures that have masks."""

    def files(self, name: str) -> list[Path]:
        """The files with a picture's masks."""

    def annotations(self, name: str) -> Callable[[], int]:
        """A picklable callable that counts the annotations of one picture, of all classes.

        It gives 0 if they cannot be read, and in forms that do not list objects one by one.
        """

    def of(self, name: str) -> Callable[[np.ndarray], Masks]:
        """A picklable callable that reads the masks of one picture, which it is given as uint8 (H, W, 3).

        It raises ValueError if the picture has no masks that can be used.
        """

    def of_no_picture(self) -> Iterator[Rejection]:
        """What belongs to none of the names."""


FORMS: dict[str, Callable[[Path, dict[str, Any]], Form]] = {
    "ids": ClassIds,
    "folders": ClassFolders,
    "coco": Coco,
    "labelme": LabelMe,
    "yolo": Yolo,
}


def open_masks(folder: Path, options: dict[str, Any]) -> Form:
    """The masks of a folder, in the form that its options name. Raises ValueError if it has none in that form."""
    return FORMS[options["masks"]](folder, options)
