"""Looking at pixels before they are trusted: what is wrong with a folder, and what its key makes of the pictures."""

import dataclasses
import io
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from seglib.datasets.images import STORED, ImageError, Reading, read_ids, read_rgb
from seglib.datasets.pixels import Fault, PixelFacts, PixelSurvey, facts_of
from tests.conftest import shared
from tests.datasets.test_images import encoded
from tests.datasets.test_readings import reading
from tests.datasets.tiffs import tiff

RANDOM = np.random.default_rng(0)


def faults(files: Iterable[io.BytesIO], one: Reading = STORED, mask_size: tuple[int, int] | None = None) -> list[Fault]:
    survey = PixelSurvey(one)
    for number, file in enumerate(files):
        survey.add(f"p{number}", facts_of(file, one), mask_size)
    return survey.faults()


def random(low: int, high: int, dtype: type = np.uint16, shape: tuple[int, ...] = (30, 30)) -> np.ndarray:
    """Values from `low` to `high`, both of which are there."""
    values = RANDOM.integers(low, high, shape, endpoint=True).astype(dtype)
    values.flat[0], values.flat[1] = low, high
    return values


def test_facts_are_those_of_the_file():
    one = facts_of(encoded(Image.fromarray(random(300, 4000))), STORED)
    assert one == PixelFacts(format="PNG", mode="I;16", bits=16, low=300.0, high=4000.0, bands=1, unread=0, pages=1,
                             sheer=False, orientation=1, size=(30, 30))
    assert pickle.loads(pickle.dumps(one)) == one and len(pickle.dumps(one)) < 400
    two = facts_of(tiff(random(512, 4095, shape=(4, 7, 4)), extra=0), STORED)
    assert (two.mode, two.bits, two.bands, two.unread, two.low, two.high) == ("RGB", 16, 4, 1, 512.0, 4095.0)


VALUES = {  # pictures, the reading, the level, and what is said
    "8 bits": ([random(0, 255, np.uint8)], None, None),
    "16 bits": ([random(0, 65535)], None, None),
    "12 of 16 bits": ([random(300, 4000)] * 2, "error", "2 pictures with values from 300 to 4,000 (12 bits of 16), "
                      "less than a tenth of 0 to 65,535, which are nearly of one grey: set `range: [0, 4095]` or "
                      "`range: percentile`"),
    "bright, and narrow": ([random(32000, 34000)], "error", "1 picture with values from 32,000 to 34,000, less than a "
                           "tenth of 0 to 65,535, which are nearly of one grey: set `range: [32000, 34000]` or"),
    "14 of 16 bits": ([random(0, 16000)], "warning", "(14 bits of 16), which are dark: set `range: [0, 16383]`"),
    "0 and 1": ([random(0, 1, np.uint8)], "error", "(1 bit of 8), less than a tenth of 0 to 255"),
    "one value": ([random(7, 7, np.uint8)], "error", "with the value 7 alone"),
    "signed": ([random(-1024, 3071, np.int32)], "error", "with values from -1,024 to 3,071, of which 0 to 65,535 are "
               "read: set `range: [-1024, 3071]`"),
    "fractions": ([random(0, 1, np.float32) / 2], "error", "with values from 0 to 0.5, and nothing says which is "
                  "white: set `range: [0, 0.5]`"),
    "one dark among others": ([random(300, 4000), random(0, 65535), random(0, 50000)], None, None),
    "one bright among dark": ([random(300, 4000), random(0, 65535), random(9, 2000)], "warning", "2 pictures with "
                              "less than a tenth of 0 to 65,535, though others have more"),
    "dark ones of 16 bits beside 8": ([random(300, 4000), random(0, 255, np.uint8)], "error", "1 picture with values "),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_are_judged_by_the_whole_folder(case: str):
    arrays, level, text = VALUES[case]
    files = [encoded(Image.fromarray(array), "TIFF") for array in arrays]
    found = faults(files)
    assert [fault[0] for fault in found] == ([level] if level else [])
    assert level is None or text in found[0][1], found
    assert not faults(files, reading(range="percentile"))


@given(st.integers(-5000, 5000), st.integers(1, 60000), st.sampled_from([np.int32, np.float32]))
def test_the_range_that_a_fault_names_is_one_without_fault(low: int, width: int, dtype: type):
    files = [encoded(Image.fromarray(random(low, low + width, dtype)), "TIFF")]
    for level, text, _ in faults(files):
        ends = tuple(map(float, text.partition("`range: [")[2].partition("]")[0].split(", ")))
        assert level in ("error", "warning") and not faults(files, reading(range=ends))


def test_a_range_that_misses_the_values_is_an_error():
    """As if it were set for 16 bits, and the pictures have 8."""
    ((level, text, names),) = faults([encoded(Image.fromarray(random(0, 255, np.uint8)))] * 5,
                                     reading(range=(0.0, 4095.0)))
    assert level == "error" and names == ("p0", "p1", "p2")
    assert text.startswith("5 pictures with values from 0 to 255, which use less than a tenth of `range: [0, 4095]`")


def test_colours_that_are_not_read_whole_are_to_be_stored_anew():
    file = tiff(random(0, 4095, shape=(9, 9, 3)))
    ((level, text, _),) = faults([file])
    assert level == "error" and "(12 bits of 16)" in text and "store them with 8 bits" in text and "range:" not in text
    ((level, text, _),) = faults([file], reading(range=(0.0, 4095.0)))
    assert level == "error" and "of which 8 are read, so that `range` cannot be used" in text
    assert not faults([tiff(random(0, 65535, shape=(9, 9, 3)))])


def test_a_band_beyond_the_colours_is_said_to_be_unread():
    file = tiff(random(0, 255, np.uint8, (9, 9, 5)))
    ((level, text, _),) = faults([file])
    assert level == "warning" and "more bands than colours, which are not read: set `alpha: drop`" in text
    assert not faults([file], reading(alpha="drop"))


def rgba(alpha: Any) -> io.BytesIO:
    image = Image.fromarray(random(0, 255, np.uint8, (6, 6, 3)))
    image.putalpha(alpha)
    return encoded(image)


@pytest.mark.parametrize(("alpha", "there"), [(255, False), (0, True), (120, True),
                                              (Image.fromarray(random(254, 255, np.uint8, (6, 6))), True)])
def test_transparency_that_is_wholly_opaque_is_no_fault(alpha: Any, there: bool):
    found = faults([rgba(alpha)])
    assert bool(found) == there
    assert all(level == "error" and "`alpha: white`" in text and "`alpha: drop`" in text for level, text, _ in found)
    assert not faults([rgba(alpha)], reading(alpha="drop")) and not faults([rgba(alpha)], reading(alpha="white"))


def test_previews_in_a_photograph_are_no_pages():
    for kind, count in (("MPO", 1), ("TIFF", 2), ("GIF", 2)):
        pages = [Image.fromarray(random(0, 255, np.uint8, (16, 16, 3))) for _ in range(2)]
        file = encoded(pages[0], kind, save_all=True, append_images=pages[1:])
        assert facts_of(file, STORED).pages == count
        assert bool(faults([file])) == (count > 1) and not faults([file], reading(page=1))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize(("orientation", "mask_size", "upright", "expected"), [
    (6, (20, 30), True, "error"), (6, (20, 30), False, None), (6, (30, 20), True, None), (6, (30, 20), False, "error"),
    (3, (20, 30), False, "warning"), (3, (20, 30), True, None), (1, (30, 20), False, None), (6, None, False, None),
    (6, (9, 9), False, None)])
def test_masks_say_whether_pictures_are_turned(kind: str, orientation: int, mask_size: tuple[int, int] | None,
                                               upright: bool, expected: str | None):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encoded(Image.fromarray(random(0, 255, np.uint8, (20, 30, 3))), kind, exif=exif)
    found = faults([file], reading(upright=upright), mask_size)
    assert [level for level, _, _ in found] == ([expected] if expected else [])
    if expected == "error":
        assert f"`upright: {'false' if upright else 'true'}`" in found[0][1]


def test_square_pictures_may_be_turned_or_not():
    exif = Image.Exif()
    exif[0x0112] = 8
    file = encoded(Image.fromarray(random(0, 255, np.uint8, (20, 20, 3))), "JPEG", exif=exif)
    ((level, text, _),) = faults([file], mask_size=(20, 20))
    assert level == "warning" and "look at which is right, and set `upright: true`" in text


def paths_of(case: str) -> list[tuple[Path, Path]]:
    folder = shared(f"own_data/{case}")
    pictures = sorted((folder / "images").iterdir())
    return [(path, next((folder / "masks").glob(f"{path.stem}.*"))) for path in pictures]


def page_2(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.seek(1)
        return np.asarray(image)


def turned(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image))


def of_12_bits(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.rint(np.repeat(np.asarray(image)[..., None], 3, 2) * (255 / 4095))


def colours(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)[..., :3]


@pytest.mark.parametrize(("case", "said", "keys", "expected"), [
    ("bits12", "set `range: [0, 4095]` or `range: percentile`", {"range": (0.0, 4095.0)}, of_12_bits),
    ("exif_portrait", "set `upright: true`", {"upright": True}, turned),
    ("nir_as_alpha", "`alpha: drop` if it is anything else, such as near infrared", {"alpha": "drop"}, colours),
    ("stack_of_slices", "set `page: 1`, or the page that the masks belong to", {"page": 2}, page_2)])
def test_folders_of_users_are_faulted_and_read_right_with_the_key(case: str, said: str, keys: dict[str, Any],
                                                                  expected: Callable[[Path], np.ndarray]):
    survey, right, settled = PixelSurvey(STORED), dataclasses.replace(STORED, **keys), []
    fixed = PixelSurvey(right)
    for picture, mask in paths_of(case):
        settled.append(read_ids(mask, right).shape)
        try:
            size = read_ids(mask, STORED).shape
        except ImageError as error:
            assert case == "stack_of_slices" and "set page: 1" in str(error)
            size = None
        survey.add(picture.name, facts_of(picture, STORED), size)
        fixed.add(picture.name, facts_of(picture, right), settled[-1])
        found = np.asarray(read_rgb(picture, right))
        np.testing.assert_array_equal(found, expected(picture))
        assert found.shape[:2] == settled[-1]
    ((level, text, names),) = survey.faults()
    assert level == "error" and said in text and text.startswith("12 pictures") and len(names) == 3
    assert not fixed.faults()
