"""What a reading makes of a picture: its range, page, transparency, orientation and limit, each by another way."""

import dataclasses
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from seglib.datasets.images import BACK, STORED, UPRIGHT, ImageError, Reading, read_ids, read_rgb
from tests.datasets.test_images import encoded
from tests.datasets.tiffs import tiff

RANDOM = np.random.default_rng(0)
COLOURS_HWC = RANDOM.integers(0, 256, (6, 9, 3), np.uint8)


def reading(**changed: object) -> Reading:
    return dataclasses.replace(STORED, **changed)


def greys(file: io.BytesIO, **changed: object) -> np.ndarray:
    """The first band, (H, W)."""
    return np.asarray(read_rgb(file, reading(**changed)))[..., 0]


@given(st.builds(Reading, upright=st.booleans(), page=st.none() | st.integers(1, 9),
                 alpha=st.sampled_from([None, "drop", "white"]),
                 range=st.none() | st.just("percentile") | st.tuples(st.floats(-9, 0), st.floats(1, 9)),
                 max_pixels=st.integers(1, 10**12)))
def test_a_reading_comes_back_from_json(one: Reading):
    assert Reading.of(json.loads(json.dumps(one.content()))) == one


@pytest.mark.parametrize("ends", [(3.0, 3.0), (4.0, 3.0), (float("nan"), 1.0)])
def test_a_range_that_does_not_rise_is_refused(ends: tuple[float, float]):
    with pytest.raises(ValueError, match=r"range: expected \[lo, hi\] with lo below hi"):
        reading(range=ends)


@given(st.lists(st.integers(0, 65535), min_size=2, max_size=40), st.integers(-9, 60000), st.integers(1, 60000))
def test_a_range_is_spread_evenly_and_keeps_the_order(values: list[int], low: int, width: int):
    stored = np.array([sorted(values)], np.uint16)
    found = greys(encoded(Image.fromarray(stored)), range=(float(low), float(low + width)))[0]
    expected = 255 * (stored[0].astype(float) - low).clip(0, width) / width
    assert (np.diff(found.astype(int)) >= 0).all()
    assert np.abs(found - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("ends", [(-1.0, 1.0), "percentile"])
def test_fractions_are_read_once_it_is_said_which_is_white(ends: object):
    """What is not a number becomes black."""
    stored = RANDOM.normal(0, 1, (20, 30)).astype(np.float32)
    stored[3, 4], stored[5, 6] = np.nan, np.inf
    low, high = (np.nanpercentile(np.where(np.isinf(stored), np.nan, stored), [0.5, 99.5]) if ends == "percentile"
                 else ends)
    expected = np.nan_to_num(255 * (stored.astype(float).clip(low, high) - low) / (high - low))
    found = greys(encoded(Image.fromarray(stored), "TIFF"), range=ends)
    np.testing.assert_allclose(found, expected, atol=0.5 + 1e-6)
    assert found[3, 4] == 0 and found[5, 6] == 255


def test_percentiles_are_of_all_bands_together():
    low, high = np.percentile(COLOURS_HWC // 4 + 50, [0.5, 99.5])
    found = np.asarray(read_rgb(encoded(Image.fromarray(COLOURS_HWC // 4 + 50)), reading(range="percentile")))
    np.testing.assert_allclose(found, ((COLOURS_HWC // 4 + 50.0 - low) / (high - low) * 255).clip(0, 255), atol=0.51)


def test_a_picture_of_one_value_is_black_under_percentiles():
    flat = np.full((40, 40), 700, np.uint16)
    assert not greys(encoded(Image.fromarray(flat)), range="percentile").any()
    flat[3, 3] = 701  # beyond the percentiles
    assert greys(encoded(Image.fromarray(flat)), range="percentile").nonzero() == (3, 3)


def test_a_picture_without_a_finite_number_is_refused():
    with pytest.raises(ImageError, match="none of its pixels is a finite number"):
        greys(encoded(Image.new("F", (2, 2), float("nan")), "TIFF"), range="percentile")


def test_signed_numbers_are_read_by_a_range():
    """As of a tomograph."""
    stored = np.array([[-1024, 0, 3071]], np.int32)
    assert greys(encoded(Image.fromarray(stored), "TIFF"), range=(-1024.0, 3071.0)).tolist() == [[0, 64, 255]]


@pytest.mark.parametrize("alpha", ["drop", "white"])
def test_a_range_leaves_transparency_as_it_is(alpha: str):
    """White is laid beneath what the range made of the colours."""
    image = Image.fromarray(COLOURS_HWC // 2)
    image.putalpha(100)
    spread = Image.fromarray(np.rint(COLOURS_HWC // 2 * (255 / 127)).clip(0, 255).astype(np.uint8))
    white = Image.new("RGB", spread.size, "white")
    expected = spread if alpha == "drop" else Image.composite(spread, white, Image.new("L", spread.size, 100))
    found = read_rgb(encoded(image), reading(range=(0.0, 127.0), alpha=alpha))
    np.testing.assert_allclose(np.asarray(found, int), np.asarray(expected, int), atol=1)


@pytest.mark.parametrize("ends", [(0.0, 4095.0), "percentile"])
def test_a_range_of_colours_that_are_not_read_whole_is_refused(ends: object):
    """Pillow reads the upper 8 of a colour's 16 bits."""
    with pytest.raises(ImageError, match="its colours have 16 bits, of which the upper 8 are read"):
        greys(tiff(RANDOM.integers(0, 4096, (6, 9, 3), np.uint16)), range=ends)


@given(st.sampled_from(["TIFF", "GIF", "WEBP", "PNG"]), st.integers(1, 5), st.data())
def test_a_page_is_the_one_that_was_written(kind: str, count: int, data: st.DataObject):
    pages = [Image.new("RGB", (8, 8), (40 * n, 10, 200)) for n in range(count)]
    options = {"lossless": True} if kind == "WEBP" else {"blend": 0} if kind == "PNG" else {}
    page = data.draw(st.integers(1, count))
    file = encoded(pages[0], kind, save_all=True, append_images=pages[1:], **options)
    assert read_rgb(file, reading(page=page)).getpixel((2, 2)) == (40 * (page - 1), 10, 200)
    with pytest.raises(ImageError, match=f"it has no page {count + 1}, but {count} in all"):
        read_rgb(file, reading(page=count + 1))


def test_a_mask_of_several_pages_needs_a_page_and_a_mask_of_one_does_not():
    masks = [Image.fromarray(np.full((2, 3), n, np.uint8)) for n in (5, 6, 7)]
    stack = encoded(masks[0], "TIFF", save_all=True, append_images=masks[1:])
    with pytest.raises(ImageError, match="it has 3 pages; set page: 1, or the page that holds it"):
        read_ids(stack, STORED)
    assert read_ids(stack, reading(page=2)).tolist() == [[6] * 3] * 2
    assert read_ids(encoded(masks[0], "TIFF"), reading(page=2)).tolist() == [[5] * 3] * 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_dropped_or_laid_over_white(mode: str):
    if mode == "P":
        image = Image.fromarray(np.array([[0, 1]], np.uint8))
        image.putpalette([90, 90, 90, 30, 30, 30])
        file = encoded(image, transparency=1)
    else:
        image = Image.new("RGBA", (2, 1), (90, 90, 90, 255))
        image.putpixel((1, 0), (30, 30, 30, 0))
        file = encoded(image.convert(mode))
    assert greys(file, alpha="drop").tolist() == [[90, 30]]
    assert greys(file, alpha="white").tolist() == greys(file).tolist() == [[90, 255]]


def test_a_band_by_which_colours_were_multiplied_cannot_be_dropped():
    file = tiff(np.dstack([COLOURS_HWC, COLOURS_HWC[..., 0]]), extra=1)
    with pytest.raises(ImageError, match="colours are stored multiplied by its fourth band"):
        read_rgb(file, reading(alpha="drop"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "packed TIFF"])
def test_an_orientation_turns_a_picture_as_pillow_does_or_not_at_all(kind: str, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"compression": "tiff_lzw"} if kind == "packed TIFF" else {}
    file = encoded(Image.fromarray(COLOURS_HWC), kind.split()[-1], exif=exif, **options)
    plain = Image.open(encoded(Image.fromarray(COLOURS_HWC), kind.split()[-1], **options))
    stored = np.asarray(plain.convert("RGB"))
    tagged = plain.convert("RGB")
    tagged.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(np.asarray(read_rgb(file, STORED)), stored)
    np.testing.assert_array_equal(np.asarray(read_rgb(file, UPRIGHT)), np.asarray(ImageOps.exif_transpose(tagged)))
    assert (orientation in BACK) == (orientation > 1)


@pytest.mark.parametrize("read", [read_rgb, read_ids])
def test_a_picture_of_more_pixels_than_allowed_is_refused(read: object):
    before = Image.MAX_IMAGE_PIXELS
    for size in ((15, 10), (150, 100)):
        with pytest.raises(ImageError, match=f"has {size[0] * size[1]:,} pixels, more than max_pixels: 149 allows"):
            read(encoded(Image.new("L", size)), reading(max_pixels=149))
        assert read(encoded(Image.new("L", size)), reading(max_pixels=15000)) is not None
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_page_of_more_pixels_than_allowed_is_refused():
    file = encoded(Image.new("L", (2, 2)), "TIFF", save_all=True, append_images=[Image.new("L", (40, 40))])
    with pytest.raises(ImageError, match="has 1,600 pixels, more than max_pixels: 100 allows"):
        read_rgb(file, reading(max_pixels=100, page=2))


@pytest.mark.parametrize("bands", [7, 11])
def test_a_tiff_with_bands_that_are_no_colours_is_refused_by_their_number(bands: int):
    with pytest.raises(ImageError, match=rf"it is a TIFF of {bands} bands of 16 bits; store it as grey \(1 band\)"):
        read_rgb(tiff(np.zeros((4, 4, bands), np.uint16)), STORED)
