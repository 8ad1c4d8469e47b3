"""Reading pictures: every mode to RGB, damage to an error; on real odd and hostile files where they are at hand."""

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib.datasets.images import STORED, UPRIGHT, ImageError, read_ids, read_rgb


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def test_sixteen_bits_become_eight():
    image = Image.fromarray(np.array([[0, 257, 65535]], np.uint16))
    assert np.asarray(read_rgb(encoded(image), STORED))[0, :, 0].tolist() == [0, 1, 255]


def test_transparency_is_laid_over_white():
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (10, 20, 30, 0))
    assert np.asarray(read_rgb(encoded(image), STORED))[0].tolist() == [[255, 0, 0], [255, 255, 255]]


def turned(kind: str, size: tuple[int, int] = (4, 2), mode: str = "RGB") -> io.BytesIO:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter
    return encoded(Image.new(mode, size), kind, exif=exif)


@pytest.mark.parametrize("kind", ["AVIF", "JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_is_followed_when_asked(kind: str):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"Pillow was built without {kind}")
    assert read_rgb(turned(kind), UPRIGHT).size == (2, 4)
    assert read_rgb(turned(kind), STORED).size == (4, 2)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_numbers_are_turned_as_pictures_are(kind: str):
    assert read_ids(turned(kind, mode="L"), STORED).shape == (2, 4)
    assert read_ids(turned(kind, mode="L"), UPRIGHT).shape == (4, 2)


@pytest.mark.parametrize("data", [b"", b"text", b"P6 0 0 255\n",
                                  encoded(Image.new("RGB", (99, 99)), "JPEG").getvalue()[:300],
                                  encoded(Image.new("RGB", (99, 99))).getvalue()[:80]])
def test_damage_is_an_image_error(data: bytes):
    with pytest.raises(ImageError, match="cannot be read as a picture"):
        read_rgb(io.BytesIO(data), UPRIGHT)


@pytest.mark.parametrize(("mode", "dtype", "values"), [("L", np.uint8, [0, 7, 255]), ("P", np.uint8, [0, 7, 255]),
                                                       ("I;16", np.uint16, [0, 7, 65535])])
def test_numbers_are_read_as_they_are_stored(mode: str, dtype: type, values: list[int]):
    stored = np.array([values, values[::-1]], dtype)
    image = Image.fromarray(stored)
    if mode == "P":
        image = Image.frombytes("P", (3, 2), stored.tobytes())
        image.putpalette([0, 0, 0, 255, 0, 0] * 128)
    assert image.mode == mode
    np.testing.assert_array_equal(read_ids(encoded(image), STORED), stored)


def test_two_values_are_read_as_numbers():
    found = read_ids(encoded(Image.fromarray(np.array([[True, False]]))), STORED)
    assert found.dtype == np.uint8 and found.tolist() == [[1, 0]]


def grey_png(bits: int, rows: bytes, width: int, height: int) -> io.BytesIO:
    """A PNG of grey with so many bits a pixel; `rows` each begin with the byte of their filter, 0."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
                      + chunk(b"IEND", b""))


def test_numbers_that_pillow_would_spread_are_refused():
    assert read_ids(grey_png(8, b"\0\3\1", 2, 1), STORED).tolist() == [[3, 1]]
    for bits, row in ((2, b"\0\xd0"), (4, b"\0\x31")):
        with pytest.raises(ImageError, match="2 or 4 bits of grey; store it with 8"):
            read_ids(grey_png(bits, row, 2, 1), STORED)
    tiff = encoded(Image.fromarray(np.zeros((1, 2), np.uint8)), "TIFF").getvalue()
    with pytest.raises(ImageError, match="2 or 4 bits of grey; store it with 8"):
        read_ids(io.BytesIO(tiff.replace(struct.pack("<HHII", 258, 3, 1, 8), struct.pack("<HHII", 258, 3, 1, 4))),
                 STORED)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}], ids=["raw", "packed"])
@pytest.mark.parametrize("values", [np.array([[0, 1, 2]], np.uint8), np.array([[False, True, True]])], ids=["8", "1"])
def test_numbers_that_pillow_would_turn_round_are_refused(values: np.ndarray, options: dict):
    image = Image.fromarray(values)
    np.testing.assert_array_equal(read_ids(encoded(image, "TIFF", **options), STORED), values)
    with pytest.raises(ImageError, match="0 stands for white, and Pillow turns them round; store it with 0 for black"):
        read_ids(encoded(image, "TIFF", tiffinfo={262: 0}, **options), STORED)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "F"])
def test_numbers_are_not_guessed_from_colours(mode: str):
    with pytest.raises(ImageError, match=f"mode {mode}, expected one number each"):
        read_ids(encoded(Image.new(mode, (2, 2)), "TIFF"), STORED)


def test_a_small_file_that_says_it_is_huge_is_refused_before_it_is_unpacked():
    for side in (12_000, 60_000):  # beyond the limit, and so far that Pillow alone refuses
        with pytest.raises(ImageError, match=f"has {side**2:,} pixels, more than max_pixels: 89478485 allows"):
            read_ids(grey_png(8, b"\0\0", side, side), STORED)


def test_a_flipped_bit_of_a_png_is_found_though_it_decodes():
    ids_HW = np.random.default_rng(0).integers(0, 3, (6, 8), np.uint8)
    whole, silent = encoded(Image.fromarray(ids_HW)).getvalue(), 0
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(Exception), Image.open(io.BytesIO(data)) as decoded:
            silent += np.asarray(decoded).tolist() != ids_HW.tolist()
        for read in (read_ids, lambda *one: np.asarray(read_rgb(*one))[..., 0]):
            with contextlib.suppress(ImageError):
                assert read(io.BytesIO(data), STORED).tolist() == ids_HW.tolist()
    assert silent > 10  # other pixels, and no word of it, by Pillow alone


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("WEBP", {}), ("TIFF", {"compression": "jpeg"})])
def test_numbers_are_not_taken_from_what_changes_them(kind: str, options: dict):
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 3, (16, 16), np.uint8))
    with pytest.raises(ImageError, match="compressed as .* may change them|mode RGB"):
        read_ids(encoded(grey, kind, **options), STORED)


def two_greys_bmp(bits: int, rows: bytes) -> io.BytesIO:
    """A BMP, 8 pixels wide, whose palette is black and white."""
    palette = bytes([0, 0, 0, 0, 255, 255, 255, 0])
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, 8, 1, 1, bits, 0, len(rows), 0, 0, 2, 0)
    return io.BytesIO(b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows)


def test_a_bmp_of_two_greys_is_read_by_its_bits_or_not_at_all():
    assert read_ids(two_greys_bmp(1, b"\x69\0\0\0"), STORED).tolist() == [[0, 1, 1, 0, 1, 0, 0, 1]]
    for read in (read_ids, read_rgb):
        with pytest.raises(ImageError, match="BMP of two greys"):
            read(two_greys_bmp(8, bytes([0, 1, 1, 0, 1, 0, 0, 1])), STORED)


def test_a_program_is_no_picture():
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) (w) file\n%%EOF\n"
    with Image.open(io.BytesIO(postscript)) as opened:
        assert opened.format == "EPS"  # which Pillow would give to Ghostscript
    with pytest.raises(ImageError, match="it is none of AVIF, BMP, GIF, JPEG"):
        read_rgb(io.BytesIO(postscript), STORED)


def test_fractions_are_not_guessed_to_be_greys():
    with pytest.raises(ImageError, match="its pixels are fractions"):
        read_rgb(encoded(Image.new("F", (2, 2), 0.5), "TIFF"), STORED)


def test_one_damage_has_one_wording():
    said = set()
    for _ in range(3):
        with pytest.raises(ImageError) as error:
            read_rgb(io.BytesIO(b"text"), STORED)
        said.add(str(error.value))
    assert len(said) == 1 and "0x" not in said.pop()

def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(ImageError, match=r"a\.png cannot be read|a\.png: no such file"):
        read_rgb(tmp_path / "a.png", STORED)


def test_real_odd_pictures_are_rgb(hostile_images: Path):
    files = sorted((hostile_images / "fakedata/logos").iterdir())
    assert len(files) == 10
    for path in files:
        image = read_rgb(path, UPRIGHT)
        assert image.mode == "RGB"
        assert np.asarray(image).std() > 10, path.name  # the logo is there, not one flat colour


def test_real_damaged_pictures_are_an_error_or_whole(hostile_images: Path):
    outcomes = {}
    for path in sorted((hostile_images / "damaged_jpeg").glob("*.jpg")) + [hostile_images / "damaged_png/sigsegv.png"]:
        try:
            outcomes[path.name] = read_rgb(path, UPRIGHT).size
        except ImageError:
            outcomes[path.name] = None
    assert outcomes["sigsegv.png"] is None
    assert outcomes["corrupt.jpg"] is None
    assert len(outcomes) == 6
