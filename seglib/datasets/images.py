"""Reading pictures of any kind as 8-bit RGB, or saying why not."""

import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
FEW_GREYS = ("L;2", "L;4")  # Pillow's names for grey of 2 and 4 bits, as a PNG stores it


class ImageError(ValueError):
    """A picture that cannot be used, and why."""


def read_rgb(source: Path | BinaryIO, *, upright: bool) -> Image.Image:
    """The picture in mode RGB: grey, palette, CMYK and 16-bit converted, transparency laid over white.

    upright: turn as its EXIF orientation says, as viewers do; False where annotations refer to the stored pixels.
    Raises ImageError for anything Pillow cannot decode whole, and for pictures beyond its size limit.
    """
    image = _decode(source, upright)
    if image.mode in SIXTEEN_BIT_MODES:
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def read_ids(source: Path | BinaryIO) -> np.ndarray:
    """The numbers that a picture's pixels hold, as label maps are stored: (H, W), uint8 or a wider integer.

    They are the values of a grey picture, the indices of one with a palette. Raises ImageError as `read_rgb` does, and
    for a picture in colour or with 2 or 4 bits of grey, whose numbers Pillow spreads over 0 to 255.
    """
    image = _decode(source, upright=False)
    if _has_few_greys(source):
        raise ImageError("its pixels have 2 or 4 bits of grey; store it with 8")
    if image.mode not in ("1", "L", "P", *SIXTEEN_BIT_MODES):
        raise ImageError(f"its pixels are in mode {image.mode}, expected one number each (a grey or palette picture)")
    values_HW = np.asarray(image)
    return values_HW.astype(np.uint8) if values_HW.dtype == bool else values_HW


def _has_few_greys(source: Path | BinaryIO) -> bool:
    """Of a picture that can be decoded."""
    if not isinstance(source, Path):
        source.seek(0)
    with Image.open(source) as opened:
        return any(tile[3] in FEW_GREYS for tile in opened.tile)


def _decode(source: Path | BinaryIO, upright: bool) -> Image.Image:
    name = getattr(source, "name", "picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source) as opened:
                opened.load()
                image = ImageOps.exif_transpose(opened) if upright else opened.copy()
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    # Pillow's decoders raise these for damaged data; a bomb's warning and error are RuntimeWarning and Exception.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError,
            Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} cannot be read as a picture: {error}") from None
    return image
