"""What readers of pictures and masks in plain files share: who belongs to which split, and class ids to planes.

Shapes: K classes, H, W.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from seglib.datasets.images import ImageError, Reading, decoded, numbers_of, refuse_as_mask


def split_by_hash(identifier: str, *, val_fraction: float, test_fraction: float) -> str:
    """The split a picture falls in by its id alone: it stays there whatever else joins the dataset or leaves it.

    About `test_fraction` of all ids fall in "test", and `val_fraction` of the others in "val".
    """
    share = share_of(identifier)
    if share < test_fraction:
        return "test"
    return "val" if share < test_fraction + (1 - test_fraction) * val_fraction else "train"


def share_of(identifier: str) -> float:
    """A hash as a number, uniform in 0..1."""
    return int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:8]) / 2**64


def is_text(name: str) -> bool:
    """False for what stands for bytes that are no text, and for half a character."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def text_of(content: bytes, place: object) -> str:
    """A list's text. Raises ValueError, which names its place, if it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{place} is not text in UTF-8: {error}") from None


def files_by_name(folder: Path, suffixes: Collection[str]) -> dict[str, list[Path]]:
    """A folder's files that end in one of `suffixes` (in either case), by what stands before it; hidden ones left out.

    A name has several files if they differ in their suffix alone. A folder that is not there has none. Raises
    ValueError for a name that is not UTF-8, in which tables are written.
    """
    found = defaultdict(list)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        ending = next((suffix for suffix in suffixes if path.name.lower().endswith(suffix)), None)
        if ending and path.is_file() and not path.name.startswith("."):
            if not is_text(path.name):
                name = os.fsencode(path.name)
                raise ValueError(f"{folder} holds a file whose name is not UTF-8, {name!r}: rename it")
            found[path.name[: -len(ending)]].append(path)
    return dict(found)


def planes_of_numbers(numbers_HW: np.ndarray, classes: Sequence[int],
                      ignore: Collection[int]) -> tuple[np.ndarray, np.ndarray]:
    """Class ids to bool planes (K, H, W) and the bool (H, W) that says which pixels are ignored.

    classes: the id of each class, in order. Raises ValueError for ids that are neither there nor in `ignore`.
    """
    if unknown := sorted(set(np.unique(numbers_HW).tolist()) - set(classes) - set(ignore)):
        shown = ", ".join(map(str, unknown[:8])) + (" …" if len(unknown) > 8 else "")
        raise ValueError(f"its mask holds ids that are neither a class nor ignored: {shown}")
    return numbers_HW == np.reshape(classes, (-1, 1, 1)), np.isin(numbers_HW, list(ignore))


def read_labels(source: Path | BinaryIO, reading: Reading) -> tuple[np.ndarray, dict[int, int]]:
    """A mask of numbers, (H, W), or of colours, uint8 (H, W, 3), and the colour of each number if it has a palette.

    Raises ImageError as `read_ids` does, and for a mask with transparent pixels.
    """
    with decoded(source, reading, counts_pages=True, lone_page=True) as found:
        image = found.image
        if image.mode not in ("RGB", "RGBA", "LA"):
            colors = np.reshape((image.getpalette("RGB") if image.mode == "P" else None) or [], (-1, 3)).tolist()
            return numbers_of(found, reading), {i: red << 16 | green << 8 | blue
                                                for i, (red, green, blue) in enumerate(colors)}
        refuse_as_mask(found, reading)
        colors_HWC = np.array(image)
    if image.mode != "RGB":
        if colors_HWC[..., -1].min() < 255:
            raise ImageError("it has transparent pixels, and nothing says which class these are; store it without "
                             "transparency")
        colors_HWC = colors_HWC[..., :-1]
    return np.ascontiguousarray(np.broadcast_to(colors_HWC, (*colors_HWC.shape[:2], 3))), {}


class WrongSize(ValueError):
    """A picture and its masks are not of one size. `size` is (H, W) of the masks."""

    def __init__(self, text: str, size: tuple[int, int]):
        super().__init__(text)
        self.size = size


def check_size(labels_HW: np.ndarray, image_HWC: np.ndarray) -> None:
    """Raises WrongSize if a picture and its labels are not of one size."""
    height, width = labels_HW.shape
    if (height, width) != (size := image_HWC.shape[:2]):
        raise WrongSize(f"its mask is {width}×{height}, the picture {size[1]}×{size[0]}", (height, width))
