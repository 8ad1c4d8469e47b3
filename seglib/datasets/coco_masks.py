"""COCO's masks from an annotation that nobody has looked at. Format: https://cocodataset.org/#format-data

Polygons are drawn by pycocotools, whose drawing is what COCO means by them, once they are known to be polygons: given a
corner that is NaN or far away it ends its process, and given four numbers it takes them for a box. Run lengths are
counted out here: where they stop short of the picture's end, pycocotools gives what memory held before.
"""

from typing import Annotated, Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

# Pixels along all outlines of an annotation. A true one has some hundreds; drawing takes time and memory by them.
LONGEST_OUTLINE = 1_000_000
LONGEST_NUMBER = 7  # characters of a compressed run length: 35 bits, more than any picture has pixels

Count = Annotated[int, msgspec.Meta(ge=0, le=2**35)]


def decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    """An annotation's mask, bool (H, W), column after column: polygons, compressed and uncompressed run lengths.

    Raises ValueError for a segmentation that is none of them, does not fit the picture, or has no pixel in it.
    """
    read = _read_run_lengths if isinstance(segmentation, dict) else _fill
    mask_HW = read(segmentation, height, width)
    if not mask_HW.any():
        raise ValueError("its mask is empty")
    return mask_HW


def _fill(polygons: Any, height: int, width: int) -> np.ndarray:
    try:
        polygons = msgspec.convert(polygons, list[list[float]])
    except msgspec.ValidationError as error:
        raise ValueError(f"its segmentation cannot be decoded: no polygons: {error}") from None
    if not polygons:
        raise ValueError("its segmentation cannot be decoded: it holds no polygon")
    outline = 0.0
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"its segmentation cannot be decoded: a polygon of {len(polygon)} numbers, expected x and "
                             "y of three corners or more")
        corners_N2 = np.reshape(polygon, (-1, 2))
        if (far := ~((corners_N2 >= (-width, -height)) & (corners_N2 <= (2 * width, 2 * height))).all(1)).any():
            x, y = corners_N2[far][0]
            raise ValueError(f"its segmentation cannot be decoded: a corner at ({x:g}, {y:g}), far off the picture of "
                             f"{width}×{height}")
        outline += np.abs(corners_N2 - np.roll(corners_N2, 1, 0)).max(1).sum()
    if outline > LONGEST_OUTLINE:
        raise ValueError(f"its segmentation cannot be decoded: outlines of {outline:.0f} pixels, at most "
                         f"{LONGEST_OUTLINE} are drawn")
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))).view(bool)


def _read_run_lengths(segmentation: dict[str, Any], height: int, width: int) -> np.ndarray:
    if (size := segmentation.get("size")) != [height, width]:
        raise ValueError(f"its mask is of size {size!s:.40}, the picture of {[height, width]}")
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
            raise ValueError("its segmentation cannot be decoded: no run lengths")
        value |= (bits & 31) << 5 * length
        length += 1
        if not bits & 32:
            value -= (bits & 16) << 5 * length - 4  # the sign, from the highest of the bits
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value, length = 0, 0
    if length:
        raise ValueError("its segmentation cannot be decoded: run lengths that end within a number")
    return counts


def _count_out(counts: Any, height: int, width: int) -> np.ndarray:
    """Run lengths, of pixels that are not in the mask and of such that are by turns, to the mask."""
    try:
        counts = msgspec.convert(counts, list[Count])
    except msgspec.ValidationError as error:
        raise ValueError(f"its segmentation cannot be decoded: no run lengths: {error}") from None
    if sum(counts) != height * width:
        raise ValueError(f"its segmentation cannot be decoded: run lengths of {sum(counts)} pixels, the picture has "
                         f"{height * width}")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T
