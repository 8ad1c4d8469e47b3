"""Pictures and masks in every format that is read, damaged."""

import functools
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seglib.datasets.images import EXACT_FORMATS, FORMATS, STORED, ImageError, Reading, read_ids, read_rgb
from seglib.datasets.pixels import PixelSurvey, facts_of
from tests.fuzz.mutation import damage, fuzzed

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(900, method="thread")]  # a thread ends what hangs in C code too

SIZE = (9, 14)
READINGS = st.builds(Reading, upright=st.booleans(), page=st.sampled_from([None, 1, 2]),
                     range=st.sampled_from([None, "percentile", (0.0, 4095.0), (-0.5, 0.5)]),
                     alpha=st.sampled_from([None, "drop", "white"]), max_pixels=st.just(STORED.max_pixels))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@functools.cache
def pictures() -> list[bytes]:
    """Small ones, in every format and mode that Pillow writes."""
    Image.init()
    random = np.random.default_rng(0)
    colour = Image.fromarray(random.integers(0, 256, (*SIZE, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(random.integers(0, 65536, SIZE).astype(np.uint16))
    with_alpha = colour.convert("RGBA")
    with_alpha.putalpha(120)
    formats = [encoded(colour, kind) for kind in ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "SGI", "TIFF",
                                                  "WEBP", "QOI") if kind in Image.SAVE]
    modes = [encoded(colour.convert(mode), "TIFF") for mode in ("1", "CMYK", "F", "I", "L", "LA", "LAB", "P", "YCbCr")]
    return [*formats, *modes, *masks(), encoded(colour.convert("CMYK"), "JPEG"), encoded(deep, "PNG"),
            encoded(with_alpha, "PNG"), encoded(with_alpha, "WEBP", lossless=True),
            encoded(colour, "JPEG", progressive=True, exif=exif), encoded(colour, "PNG", exif=exif),
            encoded(colour.convert("P"), "PNG", transparency=3), encoded(colour, "TIFF", compression="jpeg"),
            encoded(colour, "GIF", save_all=True, append_images=[colour.transpose(0)]),
            encoded(colour, "PNG", save_all=True, append_images=[colour.transpose(0)])]


@functools.cache
def masks() -> list[bytes]:
    ids = Image.fromarray(np.random.default_rng(1).integers(0, 3, SIZE, np.uint8))
    with_palette = ids.copy()
    with_palette.putpalette(np.random.default_rng(2).integers(0, 256, 768, np.uint8).tobytes())
    return [*(encoded(image, kind) for kind in EXACT_FORMATS for image in (ids, with_palette)),
            *(encoded(ids, "TIFF", compression=name) for name in ("tiff_lzw", "packbits", "tiff_adobe_deflate")),
            encoded(Image.fromarray(np.asarray(ids) > 0), "TIFF", compression="group4"),
            encoded(Image.fromarray(np.asarray(ids) > 0), "PNG"), encoded(with_palette, "PNG", bits=2),
            encoded(Image.fromarray(np.asarray(ids).astype(np.uint16)), "PNG")]


def test_the_corpus_has_every_format():
    found = {Image.open(io.BytesIO(data)).format for data in pictures()}
    assert found >= {*FORMATS} - {"SUN", "AVIF", "QOI"}  # Pillow writes no SUN, and the others where it was built so


@fuzzed(0.5)
@given(damage(pictures()), READINGS)
def test_a_damaged_picture_is_rgb_or_an_image_error(data: bytes, reading: Reading):
    survey = PixelSurvey(reading)
    try:
        survey.add("a", facts_of(io.BytesIO(data), reading))
        image = read_rgb(io.BytesIO(data), reading)
    except ImageError as error:
        assert str(error)
    else:
        assert image.mode == "RGB" and min(image.size) > 0
        assert np.asarray(image).shape == (image.height, image.width, 3)
    assert all(level in ("error", "warning") and text for level, text, _ in survey.faults())


@fuzzed(0.25)
@given(damage(masks()))
def test_a_damaged_mask_is_numbers_or_an_image_error(data: bytes):
    try:
        ids_HW = read_ids(io.BytesIO(data), STORED)
    except ImageError as error:
        assert str(error)
    else:
        assert ids_HW.ndim == 2 and ids_HW.size > 0 and ids_HW.dtype.kind in "iu"


@functools.cache
def large_mask() -> tuple[bytes, np.ndarray]:
    """One whose pixels are many bytes of its file, by Pillow itself."""
    ids_HW = np.random.default_rng(3).integers(0, 3, (60, 80), np.uint8)
    return encoded(Image.fromarray(ids_HW), "PNG"), ids_HW


@fuzzed(0.25)
@given(st.integers(0, 2**16 - 1), st.binary(min_size=1, max_size=4))
def test_a_damaged_png_never_holds_other_numbers(place: int, difference: bytes):
    data, expected_HW = large_mask()
    spoilt, at = bytearray(data), place * (len(data) - 4) >> 16
    for i, byte in enumerate(difference):
        spoilt[at + i] ^= byte
    try:
        found_HW = read_ids(io.BytesIO(bytes(spoilt)), STORED)
    except ImageError:
        return
    np.testing.assert_array_equal(found_HW, expected_HW)
