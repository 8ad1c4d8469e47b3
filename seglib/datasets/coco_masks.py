"""COCO's masks from an annotation that nobody has looked at. Format: https://cocodataset.org/#format-data

Polygons are drawn by pycocotools, whose drawing is what COCO means by them, once they are known to be polygons: given a
corner that is NaN or far away it ends its process, and given four numbers it takes them for a box. Run lengths are
counted out here: where they stop short of the picture's end, pycocotools gives what memory held before.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

# Pixels along all outlines of an annotation. A true one has some hundreds; drawing takes time and memory by them.
LONGEST_OUTLINE = 1_000_000
LONGEST_NUMBER = 7  # characters of a compressed run length: 35 bits, more than any picture has pixels

Count = Annotated[int, msgspec.Meta(ge=0, le=2**35)]


class Undrawable(ValueError):
    """An annotation that cannot be drawn. The message says why."""


class Outside(ValueError):
    """An annotation that has no pixel in its picture."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
    """An annotation's mask, and the parts of its outline that are not drawn."""

    mask_HW: np.ndarray  # bool, column after column
    dropped: Sequence[tuple[str, list[float]]] = ()  # parts that are not drawn: why, and their numbers


def decode(segmentation: Any, height: int, width: int) -> Drawing:
    """Draw an annotation: polygons, compressed and uncompressed run lengths.

    If some of its polygons cannot be drawn and the others have pixels, the others are its mask.
    Raises Undrawable for a segmentation that is none of the three or does not fit the picture, and Outside for one
    without a pixel in the picture.
    """
    if isinstance(segmentation, dict):
        drawing = Drawing(mask_HW=_read_run_lengths(segmentation, height, width))
    else:
        drawing = _fill(segmentation, height, width)
    if not drawing.mask_HW.any():
        if drawing.dropped:
            raise Undrawable(f"its segmentation cannot be decoded: {drawing.dropped[0][0]}")
        raise Outside("its mask is empty")
    return drawing


def place_of(box: Any, segmentation: Any, height: int, width: int) -> tuple[slice, slice] | None:
    """The rows and columns of an annotation that cannot be drawn; None if they are unknown.

    They are those of its box (x, y, width, height), or else of the box around the corners of its outline.
    """
    try:
        x, y, w, h = msgspec.convert(box, tuple[float, float, float, float], strict=False)
    except msgspec.ValidationError:
        x = y = w = h = math.nan
    place = _within(x, y, x + w, y + h, height, width) if w > 0 and h > 0 else None
    corners = [corner for part in _parts(segmentation) for corner in _corners(part)
               if all(map(math.isfinite, corner))]
    if place is None and corners:
        xs, ys = zip(*corners, strict=True)
        place = _within(min(xs), min(ys), max(xs), max(ys), height, width)
    return place


def _within(x0: float, y0: float, x1: float, y1: float, height: int, width: int) -> tuple[slice, slice] | None:
    """All pixels of the picture that a box touches, at least one; None if there are none."""
    if not (x0 < width and y0 < height and x1 >= 0 and y1 >= 0):
        return None
    left, top = math.floor(max(x0, 0)), math.floor(max(y0, 0))
    right, bottom = math.ceil(min(x1, width)), math.ceil(min(y1, height))
    return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))


def _parts(segmentation: Any) -> list[list[float]]:
    """The numbers of each polygon, NaN for what is missing. A part that is no list of numbers has none."""
    found = [_numbers(part) for part in segmentation] if isinstance(segmentation, list) else []
    # VIA writes the numbers of its one polygon without a list around them.
    return [flat] if not any(found) and (flat := _numbers(segmentation)) else found


def _numbers(part: Any) -> list[float]:
    try:
        numbers = msgspec.convert(part, list[float | None], strict=False)  # some tools write numbers as text
    except msgspec.ValidationError:
        return []
    return [math.nan if number is None else number for number in numbers]


def _corners(part: list[float]) -> list[tuple[float, float]]:
    return list(zip(part[::2], part[1::2], strict=False))  # without the last of an odd number of them


def _fill(polygons: Any, height: int, width: int) -> Drawing:
    if not isinstance(polygons, list):
        raise Undrawable("its segmentation cannot be decoded: neither polygons nor run lengths")
    if not polygons:
        raise Undrawable("its segmentation cannot be decoded: it holds no polygon")
    whole, dropped, outline = [], [], 0.0
    for numbers in _parts(polygons):
        if reason := _fault(numbers, height, width):
            dropped.append((reason, numbers))
            continue
        corners_N2 = np.reshape(numbers, (-1, 2))
        outline += np.abs(corners_N2 - np.roll(corners_N2, 1, 0)).max(1).sum()
        whole.append(numbers)
    if outline > LONGEST_OUTLINE:
        raise Undrawable(f"its segmentation cannot be decoded: outlines of {outline:.0f} pixels, at most "
                         f"{LONGEST_OUTLINE} are drawn")
    if not whole:
        raise Undrawable(f"its segmentation cannot be decoded: {dropped[0][0]}")
    mask_HW = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(whole, height, width))).view(bool)
    return Drawing(mask_HW=mask_HW, dropped=dropped)


def _fault(numbers: list[float], height: int, width: int) -> str | None:
    """Why a polygon cannot be drawn."""
    if not numbers:
        return "a polygon that is no list of numbers"
    if len(numbers) < 6 or len(numbers) % 2:
        return f"a polygon of {len(numbers)} numbers, expected x and y of three corners or more"
    corners_N2 = np.reshape(numbers, (-1, 2))
    if (far := ~((corners_N2 >= (-width, -height)) & (corners_N2 <= (2 * width, 2 * height))).all(1)).any():
        x, y = corners_N2[far][0]
        return f"a corner at ({x:g}, {y:g}), far off the picture of {width}×{height}"
    return None


def _read_run_lengths(segmentation: dict[str, Any], height: int, width: int) -> np.ndarray:
    if (size := segmentation.get("size")) != [height, width]:
        raise Undrawable(f"its mask is of size {size!s:.40}, the picture of {[height, width]}")
    counts = segmentation.get("counts")
    return _count_out(_decompress(counts) if isinstance(counts, str | bytes) else counts, height, width)


def _decompress(text: str | bytes) -> list[int]:
    """Compressed run lengths as numbers: five bits a character, the lowest first, and a sixth where more follow; from
    the fourth number on, what it differs from the last but one.
    """
    counts, value, length = [], 0, 0
    for code in text.encode() if isinstance(text, str) else text:
        bits = code - 48
        if not 0 <= bits < 64 or length == LONGEST_NUMBER:
            raise Undrawable("its segmentation cannot be decoded: no run lengths")
        value |= (bits & 31) << 5 * length
        length += 1
        if not bits & 32:
            value -= (bits & 16) << 5 * length - 4  # the sign, from the highest of the bits
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value, length = 0, 0
    if length:
        raise Undrawable("its segmentation cannot be decoded: run lengths that end within a number")
    return counts


def _count_out(counts: Any, height: int, width: int) -> np.ndarray:
    """Run lengths, of pixels that are not in the mask and of such that are by turns, to the mask."""
    try:
        counts = msgspec.convert(counts, list[Count])
    except msgspec.ValidationError as error:
        raise Undrawable(f"its segmentation cannot be decoded: no run lengths: {error}") from None
    if sum(counts) != height * width:
        raise Undrawable(f"its segmentation cannot be decoded: run lengths of {sum(counts)} pixels, the picture has "
                         f"{height * width}")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T
