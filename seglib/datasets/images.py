"""Reading pictures of any kind as 8-bit RGB, or saying why not.

What a file is, its content says, whatever its name is. Only formats that are kept here are looked for: Pillow has some
more, of which EPS is a program that it would run, and TGA has no mark by which to tell it from any damaged file.

Shapes: H, W.
"""

import contextlib
import dataclasses
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "SGI", "SUN", "TIFF", "WEBP")
EXACT_FORMATS = ("BMP", "GIF", "PNG", "TIFF")  # what keeps every pixel's value
LOSSY = ("jpeg", "tiff_jpeg", "webp")  # but for these compressions of a TIFF
MAX_PIXELS = 89_478_485  # the default limit of a picture: 268 MB in RGB
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
NUMBER_MODES = (*SIXTEEN_BIT_MODES, "F")  # a grey of more than 8 bits
PERCENTILES = (0.5, 99.5)  # of a picture's values, which `range: percentile` makes black and white

# For each EXIF orientation, the operation that turns upright pixels back to the stored ones.
BACK = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270}


class ImageError(ValueError):
    """A picture that cannot be used, and why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How a dataset's files become pixels. The fields are keys of a user's folder; what is None was not said."""

    upright: bool  # turn as the EXIF orientation says, as viewers do; False: take the pixels as they are stored
    range: tuple[float, float] | Literal["percentile"] | None  # what becomes 0 and 255; None: what the type holds
    page: int | None  # of a file with several pages, counted from 1; None: the first
    alpha: Literal["drop", "white"] | None  # drop a band of transparency; or lay the picture over white, as None does
    max_pixels: int  # a picture with more is refused before it is unpacked

    def __post_init__(self) -> None:
        """Raises ValueError for a range that is empty or runs downwards."""
        if isinstance(self.range, tuple) and not self.range[0] < self.range[1]:
            raise ValueError(f"range: expected [lo, hi] with lo below hi, found {list(self.range)}")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """The one that a folder's options ask for, or that `content` wrote. Raises ValueError for an empty range."""
        ends = options["range"]
        return cls(upright=options["upright"], range=tuple(ends) if isinstance(ends, list | tuple) else ends,
                   page=options["page"], alpha=options["alpha"], max_pixels=options["max_pixels"])

    def content(self) -> dict[str, Any]:
        """The JSON object that `of` reads."""
        return dataclasses.asdict(self) | {"range": list(self.range) if isinstance(self.range, tuple) else self.range}


STORED = Reading(upright=False, range=None, page=None, alpha=None, max_pixels=MAX_PIXELS)
UPRIGHT = dataclasses.replace(STORED, upright=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoded:
    """A file's pixels, before anything is made of them, and how the file holds them."""

    image: Image.Image  # turned or not as the reading says
    format: str  # such as "PNG"
    stored: str  # Pillow's name for how pixels are stored, such as "L;2I" for grey of two bits that is inverted
    pages: int
    orientation: int  # of EXIF: 1 is upright
    bands: int  # in the file; Pillow may read fewer

    @property
    def bits(self) -> int:
        """How many bits each stored number has."""
        if found := re.search(r";(\d+)", self.stored):
            return int(found[1])
        return {"1": 1, "I": 32, "F": 32}.get(self.image.mode, 16 if self.image.mode in SIXTEEN_BIT_MODES else 8)

    @property
    def has_alpha(self) -> bool:
        return self.image.mode not in NUMBER_MODES and ("A" in self.image.getbands()
                                                        or "transparency" in self.image.info)


def read_rgb(source: Path | BinaryIO, reading: Reading) -> Image.Image:
    """The picture in mode RGB: grey, palette, CMYK and 16-bit converted, transparency laid over white or dropped.

    With a range, its ends become 0 and 255, what lies between is spread evenly, and what lies beyond is cut off. Under
    "percentile" a picture's own values give the ends: 0.5 % of the values of all its bands lie below, and 0.5 % above.
    Raises ImageError for anything Pillow cannot decode whole, for pictures beyond `max_pixels`, and for those from
    which the reading cannot be had.
    """
    with decoded(source, reading) as found:
        return rgb_of(found, reading)


def rgb_of(found: Decoded, reading: Reading) -> Image.Image:
    """What `read_rgb` gives, of a picture that is decoded."""
    image = found.image
    if reading.alpha == "drop" and found.stored.startswith("RGBa"):
        raise ImageError("its colours are stored multiplied by its fourth band, so that the band cannot be "
                         "dropped; store it as RGB")
    if reading.range is not None:
        image = _spread(found, reading.range)
    elif image.mode == "F":
        raise ImageError("its pixels are fractions, and nothing says which is white; set range, or store it with 8 "
                         "or 16 bits")
    elif image.mode in SIXTEEN_BIT_MODES:
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        if reading.alpha != "drop":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def values_of(found: Decoded) -> np.ndarray:
    """The numbers that say how bright a picture is: (H, W) of a grey one, else RGB (H, W, 3), without transparency."""
    image = found.image
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.getchannel("L") if image.mode == "LA" else image.convert("L"))
    if image.mode in NUMBER_MODES:
        return np.asarray(image)
    return np.asarray(image.convert("RGBA" if found.has_alpha else "RGB"))[..., :3]


def finite_of(values: np.ndarray) -> np.ndarray:
    """Those that are numbers, which only fractions may fail to be."""
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values


def _spread(found: Decoded, wanted: tuple[float, float] | str) -> Image.Image:
    """The picture with the range spread over 0 to 255, in mode L or RGB, or RGBA if it has transparency."""
    if found.image.mode not in NUMBER_MODES and found.bits > 8:
        raise ImageError(f"its colours have {found.bits} bits, of which the upper 8 are read, so that range cannot be "
                         "used; store it with 8 bits")
    values = values_of(found)
    finite = finite_of(values)
    if finite.size == 0:
        raise ImageError("none of its pixels is a finite number")
    low, high = np.percentile(finite, PERCENTILES) if wanted == "percentile" else wanted
    shares = np.interp(values, (low, high), (0.0, 255.0)) if low < high else np.where(values > low, 255.0, 0.0)
    spread = Image.fromarray(np.rint(np.nan_to_num(shares)).astype(np.uint8))
    if found.has_alpha:
        alpha = found.image.convert("RGBA").getchannel("A")
        spread = spread.convert("RGB")
        spread.putalpha(alpha)
    return spread


def read_ids(source: Path | BinaryIO, reading: Reading) -> np.ndarray:
    """The numbers that a picture's pixels hold, as label maps are stored: (H, W), uint8 or a wider integer.

    They are the values of a grey picture, the indices of one with a palette. Raises ImageError as `read_rgb` does, for
    a picture in colour or in a format that does not keep every value, and for one whose numbers Pillow changes: with 2
    or 4 bits of grey it spreads them over 0 to 255, and where 0 is white (a TIFF may have it so) it turns them round.
    A file of one page is taken whatever `page` says; one of several needs it. `range` and `alpha` mean nothing here.
    """
    with decoded(source, reading, counts_pages=True, lone_page=True) as found:
        return numbers_of(found, reading)


def numbers_of(found: Decoded, reading: Reading) -> np.ndarray:
    """What `read_ids` gives, of a mask that is decoded."""
    image = found.image
    if image.mode not in ("1", "L", "P", *SIXTEEN_BIT_MODES):
        raise ImageError(f"its pixels are in mode {image.mode}, expected one number each (a grey or palette picture)")
    refuse_as_mask(found, reading)
    if found.stored.startswith(("L;2", "L;4")):
        raise ImageError("its pixels have 2 or 4 bits of grey; store it with 8")
    if "I" in found.stored.partition(";")[2]:
        raise ImageError("in its pixels 0 stands for white, and Pillow turns them round; store it with 0 for black, as "
                         "PNG does")
    values_HW = np.array(image)
    return values_HW.astype(np.uint8) if values_HW.dtype == bool else values_HW


def refuse_as_mask(found: Decoded, reading: Reading) -> None:
    """Raise ImageError if a file does not hold one mask whose values are exact."""
    if found.pages > 1 and reading.page is None:
        raise ImageError(f"it has {found.pages} pages; set page: 1, or the page that holds it")
    if found.format not in EXACT_FORMATS or found.image.info.get("compression") in LOSSY:
        raise ImageError(f"its pixels are compressed as {found.format} does, which may change them; store it as PNG")


def orientation_of(image: Image.Image) -> int:
    """Its EXIF orientation, 1 to 8; 1 for none, and for one that means nothing."""
    found = image.getexif().get(ExifTags.Base.Orientation)
    return found if found in BACK else 1


@contextlib.contextmanager
def decoded(source: Path | BinaryIO, reading: Reading, *, counts_pages: bool = False,
            lone_page: bool = False) -> Iterator[Decoded]:
    """Decode a picture whole. What fails, here or in the block, is an ImageError.

    counts_pages: whether pages are counted also if none is asked for, which reads all of a TIFF's directories.
    lone_page: whether a file's only page is taken, whatever page is asked for.
    Meanwhile Pillow's other warnings are still: they tell of metadata that nobody asks for.
    """
    name = getattr(source, "name", "picture")
    Image.init()  # asked for formats by name, Pillow looks among those alone that it has loaded
    try:
        with _at_most(reading.max_pixels), Image.open(source, formats=FORMATS) as opened:
            if 0 in opened.size:
                raise ImageError(f"{name} has no pixels")
            if opened.format == "BMP" and opened.mode == "1" and _bits_of_bmp(opened.fp) != 1:
                raise ImageError(f"{name} is a BMP of two greys, which Pillow reads as if each had one bit; store it "
                                 "as PNG")
            # Decoding a PNG ignores its checksums, so that a flipped bit would pass. `verify` compares them.
            opened.verify()
        if not isinstance(source, Path):
            source.seek(0)
        with _at_most(reading.max_pixels), Image.open(source, formats=FORMATS) as opened:
            # The further pictures in a photograph (MPO) are its previews.
            pages = getattr(opened, "n_frames", 1) if (counts_pages or reading.page) and opened.format != "MPO" else 1
            if reading.page is not None and not (lone_page and pages == 1):
                if reading.page > pages:
                    raise ImageError(f"it has no page {reading.page}, but {pages} in all")
                opened.seek(reading.page - 1)
            yield _loaded(opened, pages, upright=reading.upright)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except UnidentifiedImageError:  # its own words name a place in memory, which changes from run to run
        raise ImageError(f"{name} cannot be read as a picture: {_unidentified(source)}") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ImageError(f"{name} has {int(re.search(r'[0-9]+', str(error))[0]):,} pixels, more than max_pixels: "
                         f"{reading.max_pixels} allows") from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged file may raise nearly anything, in Pillow and in what it stands on
        raise ImageError(f"{name} cannot be read as a picture: {error or type(error).__name__}") from None


def _loaded(opened: Image.Image, pages: int, *, upright: bool) -> Decoded:
    is_tiff, stored = opened.format == "TIFF", _stored(opened)
    bands = opened.tag_v2.get(TiffImagePlugin.SAMPLESPERPIXEL, 1) if is_tiff else len(opened.getbands())
    orientation = orientation_of(opened) if is_tiff else 1  # which Pillow removes as it turns the pixels
    opened.load()
    image = opened
    if not is_tiff:
        orientation = orientation_of(opened)
        image = ImageOps.exif_transpose(opened) if upright else opened
    elif not upright and orientation in BACK:
        image = opened.transpose(BACK[orientation])
    return Decoded(image=image, format=opened.format, stored=stored, pages=pages, orientation=orientation, bands=bands)


@contextlib.contextmanager
def _at_most(pixels: int) -> Iterator[None]:
    """Within, Pillow refuses pictures with more pixels, as soon as it knows how many they have."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _bits_of_bmp(file: BinaryIO) -> int:
    """A pixel, as its header says."""
    file.seek(28)
    return int.from_bytes(file.read(2), "little")


def _unidentified(source: Path | BinaryIO) -> str:
    """What to say of a file that Pillow knows nothing of: a TIFF may hold more bands than it takes."""
    try:
        with source.open("rb") if isinstance(source, Path) else contextlib.nullcontext(source) as file:
            file.seek(0)
            header = file.read(16)
            tags = TiffImagePlugin.ImageFileDirectory_v2(header if header[2:3] == b"+" else header[:8])
            file.seek(tags.next)
            tags.load(file)
        bits = "/".join(map(str, sorted({*tags[TiffImagePlugin.BITSPERSAMPLE]})))
        return (f"it is a TIFF of {tags[TiffImagePlugin.SAMPLESPERPIXEL]} bands of {bits} bits; store it as grey (1 "
                "band) or RGB (3)")
    except Exception:  # it is no TIFF, or a damaged one, which may raise nearly anything
        return f"it is none of {', '.join(FORMATS)}"


def _stored(opened: Image.Image) -> str:
    """Such as "L;2I", for grey of two bits that is inverted; the mode where the format's reader says nothing of it."""
    tile = opened.tile[0] if isinstance(opened, ImageFile.ImageFile) and opened.tile else None
    parts = (tile.args,) if tile and isinstance(tile.args, str) else (tile.args or ()) if tile else ()
    return next((part for part in parts if isinstance(part, str)), opened.mode)
