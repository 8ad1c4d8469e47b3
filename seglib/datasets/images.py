"""Reading pictures of any kind as 8-bit RGB, or saying why not.

What a file is, its content says, whatever its name is. Only formats that are kept here are looked for: Pillow has some
more, of which EPS is a program that it would run, and TGA has no mark by which to tell it from any damaged file.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "SGI", "SUN", "TIFF", "WEBP")
EXACT_FORMATS = ("BMP", "GIF", "PNG", "TIFF")  # what keeps every pixel's value
LOSSY = ("jpeg", "tiff_jpeg", "webp")  # but for these compressions of a TIFF
MAX_PIXELS = 89_478_485  # of a picture, if nothing else is said: a quarter of a gigabyte in RGB
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


class ImageError(ValueError):
    """A picture that cannot be used, and why."""


def read_rgb(source: Path | BinaryIO, *, upright: bool) -> Image.Image:
    """The picture in mode RGB: grey, palette, CMYK and 16-bit converted, transparency laid over white.

    upright: turn as its EXIF orientation says, as viewers do; False where annotations refer to the stored pixels, which
    of a turned TIFF cannot be had (an ImageError).
    Raises ImageError for anything Pillow cannot decode whole, and for pictures beyond its size limit.
    """
    with _decoded(source, upright=upright) as (image, _):
        if upright:
            image = ImageOps.exif_transpose(image)
        if image.mode == "F":
            raise ImageError("its pixels are fractions, and nothing says which is white; store it with 8 or 16 bits")
        if image.mode in SIXTEEN_BIT_MODES:
            image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
        if "A" in image.getbands() or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")


def read_ids(source: Path | BinaryIO) -> np.ndarray:
    """The numbers that a picture's pixels hold, as label maps are stored: (H, W), uint8 or a wider integer.

    They are the values of a grey picture, the indices of one with a palette. Raises ImageError as `read_rgb` does, for
    a picture in colour or in a format that does not keep every value, and for one whose numbers Pillow changes: with 2
    or 4 bits of grey it spreads them over 0 to 255, and where 0 is white (a TIFF may have it so) it turns them round.
    """
    with _decoded(source, upright=False) as (image, stored):
        if image.mode not in ("1", "L", "P", *SIXTEEN_BIT_MODES):
            raise ImageError(f"its pixels are in mode {image.mode}, expected one number each (a grey or palette "
                             "picture)")
        _refuse_lossy(image)
        if stored.startswith(("L;2", "L;4")):
            raise ImageError("its pixels have 2 or 4 bits of grey; store it with 8")
        if "I" in stored.partition(";")[2]:
            raise ImageError("in its pixels 0 stands for white, and Pillow turns them round; store it with 0 for "
                             "black, as PNG does")
        values_HW = np.array(image)
    return values_HW.astype(np.uint8) if values_HW.dtype == bool else values_HW


def _refuse_lossy(image: Image.Image) -> None:
    if image.format not in EXACT_FORMATS or image.info.get("compression") in LOSSY:
        raise ImageError(f"its pixels are compressed as {image.format} does, which may change them; store it as PNG")


def read_labels(source: Path | BinaryIO) -> tuple[np.ndarray, dict[int, int]]:
    """A mask of numbers, (H, W), or of colours, uint8 (H, W, 3), and the colour of each number if it has a palette.

    Numbers that are saved as RGB, three equal channels, are numbers. Raises ImageError as `read_ids` does, and for a
    mask with transparent pixels.
    """
    with _decoded(source, upright=False) as (image, _):
        mode, palette = image.mode, image.getpalette("RGB") if image.mode == "P" else None
        if colored := mode in ("RGB", "RGBA", "LA"):
            _refuse_lossy(image)
        colors_HWC = np.array(image) if colored else None
    if colors_HWC is None:
        colors = np.reshape(palette or [], (-1, 3)).tolist()
        return read_ids(source), {i: red << 16 | green << 8 | blue for i, (red, green, blue) in enumerate(colors)}
    if mode != "RGB":
        if colors_HWC[..., -1].min() < 255:
            raise ImageError("it has transparent pixels, and nothing says which class these are; store it without "
                             "transparency")
        colors_HWC = colors_HWC[..., :-1]
    if (colors_HWC == colors_HWC[..., :1]).all():
        return np.ascontiguousarray(colors_HWC[..., 0]), {}
    return np.ascontiguousarray(colors_HWC), {}


def is_turned(image: Image.Image) -> bool:
    """Whether its EXIF orientation has viewers turn or mirror it."""
    return image.getexif().get(ExifTags.Base.Orientation) in range(2, 9)


@contextlib.contextmanager
def _decoded(source: Path | BinaryIO, *, upright: bool) -> Iterator[tuple[Image.Image, str]]:
    """The picture, and Pillow's name for how its pixels are stored. What fails, here or in the block, is an ImageError.

    Meanwhile Pillow's other warnings are still: they tell of metadata that nobody asks for.
    """
    name = getattr(source, "name", "picture")
    Image.init()  # asked for formats by name, Pillow looks among those alone that it has loaded
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=FORMATS) as opened:
                if 0 in opened.size:
                    raise ImageError(f"{name} has no pixels")
                if opened.format == "BMP" and opened.mode == "1" and _bits_of_bmp(opened.fp) != 1:
                    raise ImageError(f"{name} is a BMP of two greys, which Pillow reads as if each had one bit; store "
                                     "it as PNG")
                if opened.format == "TIFF" and not upright and is_turned(opened):
                    raise ImageError(f"{name} is a TIFF with an orientation, which Pillow turns as it loads; store it "
                                     "upright")
                stored = _stored(opened)
                # Of a PNG that compares the checksums, at which decoding does not look: a flipped bit would pass.
                opened.verify()
            if not isinstance(source, Path):
                source.seek(0)
            with Image.open(source, formats=FORMATS) as opened:
                opened.load()
                yield opened, stored
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except UnidentifiedImageError:  # its own words name a place in memory, which changes from run to run
        raise ImageError(f"{name} cannot be read as a picture: it is none of {', '.join(FORMATS)}") from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged file may raise nearly anything, in Pillow and in what it stands on
        raise ImageError(f"{name} cannot be read as a picture: {error or type(error).__name__}") from None


def _bits_of_bmp(file: BinaryIO) -> int:
    """A pixel, as its header says."""
    file.seek(28)
    return int.from_bytes(file.read(2), "little")


def _stored(opened: Image.Image) -> str:
    """Such as "L;2I", for grey of two bits that is inverted; the mode where the format's reader says nothing of it."""
    tile = opened.tile[0] if isinstance(opened, ImageFile.ImageFile) and opened.tile else None
    parts = (tile.args,) if tile and isinstance(tile.args, str) else (tile.args or ()) if tile else ()
    return next((part for part in parts if isinstance(part, str)), opened.mode)
