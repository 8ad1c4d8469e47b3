"""What the readers of all forms of masks give. Shapes: K classes, H, W."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from seglib.datasets.folder.layout import refuse_twins
from seglib.datasets.images import ImageError, Reading
from seglib.datasets.labels import read_labels
from seglib.datasets.outlines import LeftOut
from seglib.datasets.samples import Box, Rejection


@dataclasses.dataclass(frozen=True, kw_only=True)
class Masks:
    """What is known of one picture."""

    planes_KHW: np.ndarray  # bool
    ignore_HW: np.ndarray | None = None  # bool
    objects: Sequence[tuple[int, Box]] = ()  # (class index, box), if instances are told apart
    left_out: Sequence[LeftOut] = ()
    tally: Mapping[str, int] = dataclasses.field(default_factory=dict)  # all other annotations, by samples.TALLIES
    unusable: str | None = None  # why the picture itself is left out, although its annotations were read
    licence: str = "not recorded"
    palette: Mapping[int, str] = dataclasses.field(default_factory=dict)  # the colour of each number


class FilePerPicture:
    """A form in which each picture has a file of masks of its own. `forms.Form` explains the methods."""

    def __init__(self, files: Mapping[str, list[Path]], shared: Iterable[Path] = ()):
        """files: by the picture's name. shared: files that say something about all pictures, if they exist.

        Raises ValueError if two files belong to one picture.
        """
        refuse_twins(files)
        self._file_of = {name: paths[0] for name, paths in files.items()}
        self._shared = [path for path in shared if path.is_file()]

    @property
    def names(self) -> set[str]:
        return set(self._file_of)

    def files(self, name: str) -> list[Path]:
        return [self._file_of[name], *self._shared] if name in self._file_of else []

    def of_no_picture(self) -> Iterator[Rejection]:
        return iter(())

    def annotations(self, name: str) -> Callable[[], int]:
        return int


def read_labels_of(path: Path, reading: Reading) -> tuple[np.ndarray, dict[int, int]]:
    """A mask's numbers (H, W) or colours (H, W, 3), and its palette: see `labels.read_labels`. Raises ValueError."""
    try:
        return read_labels(path, reading)
    except ImageError as error:
        raise ValueError(f"its mask: {error}") from None
