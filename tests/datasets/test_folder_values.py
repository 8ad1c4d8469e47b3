"""Values and colours of masks to classes, against loops over pixels and against VOC's published palette."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seglib.datasets.folder.values import IGNORED, ValueCount, ValueMap, as_numbers, read_labelmap, voc_palette
from seglib.datasets.images import STORED, ImageError
from seglib.datasets.labels import read_labels
from seglib.datasets.samples import Sample
from tests.datasets.folders import entries, keys_of, make, rejection

# The first colours of PASCAL VOC 2012, as its development kit lists them.
VOC = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128), 5: (128, 0, 128),
       6: (0, 128, 128), 7: (128, 128, 128), 8: (64, 0, 0), 9: (192, 0, 0), 10: (64, 128, 0), 11: (192, 128, 0),
       12: (64, 0, 128), 13: (192, 0, 128), 14: (64, 128, 128), 15: (192, 128, 128), 16: (0, 64, 0), 17: (128, 64, 0),
       18: (0, 192, 0), 19: (128, 192, 0), 20: (0, 64, 128), 255: (224, 224, 192)}
CLASSES = ["background", "cat", "dog"]


def mapping(folder: Path = Path("nowhere"), **options: Any) -> ValueMap:
    return ValueMap.of({"classes": CLASSES, "values": None, "colors": None, "ignore": []} | options, folder)


def test_the_palette_is_vocs():
    palette = voc_palette()
    assert len(palette) == 256
    for number, (red, green, blue) in VOC.items():
        assert palette[red << 16 | green << 8 | blue] == number


@given(values=st.dictionaries(st.integers(0, 300), st.sampled_from(CLASSES), min_size=1),
       ignore=st.lists(st.integers(0, 300), unique=True), seed=st.integers(0, 2**32 - 1))
def test_each_pixel_has_the_class_of_its_value(values: dict[int, str], ignore: list[int], seed: int):
    known = [*values, *ignore]
    labels_HW = np.random.default_rng(seed).choice(known, (5, 7)).astype(np.uint16)
    planes_KHW, ignore_HW = mapping(values={str(key): name for key, name in values.items()},
                                    ignore=ignore).planes(labels_HW, {})
    for y, x in np.ndindex(5, 7):
        name = values.get(int(labels_HW[y, x]))  # `values` overrides `ignore`
        assert [CLASSES[k] for k in np.flatnonzero(planes_KHW[:, y, x])] == ([name] if name else [])
        assert ignore_HW[y, x] == (name is None)


def test_colours_are_mapped_and_others_refused():
    colors = mapping(colors={"#FF0000": "cat", "#000000": "background"}, ignore=["#ffffff"])
    labels = np.array([[[255, 0, 0], [0, 0, 0], [255, 255, 255]]], np.uint8)
    planes_KHW, ignore_HW = colors.planes(labels, {})
    assert planes_KHW[:, 0].tolist() == [[False, True, False], [True, False, False], [False] * 3]
    assert ignore_HW.tolist() == [[False, False, True]]
    with pytest.raises(ValueError, match="colours that are neither a class nor ignored: #00ff00; map them by the key "
                                         "colors"):
        colors.planes(labels[:, :, [1, 0, 2]], {})


def test_a_palettes_colours_are_mapped_where_colours_are_asked_for():
    palette = {0: 0x112233, 1: 0xFF0000}
    labels_HW = np.array([[0, 1]], np.uint8)
    by_color = mapping(colors={"#ff0000": "background", "#112233": "dog"})
    assert by_color.planes(labels_HW, palette)[0][:, 0].tolist() == [[False, True], [False, False], [True, False]]
    assert mapping().planes(labels_HW, palette)[0][:, 0].tolist() == [[True, False], [False, True], [False, False]]


def test_a_mask_of_one_grey_is_a_colour_if_colours_are_named(tmp_path: Path):
    """An all-black mask in RGB: its colour is named, and as a number it would be another class."""
    black = np.zeros((1, 2, 3), np.uint8)
    by_color = mapping(classes=["road", "background"], colors={"#ff0000": "road", "#000000": "background"})
    assert by_color.planes(black, {})[0][:, 0].tolist() == [[False, False], [True, True]]
    assert mapping(ignore=["#000000"]).planes(black, {})[1].all()
    (tmp_path / "labelmap.txt").write_text("cat:0,0,0::\nbackground:1,2,3::\n")
    assert mapping(tmp_path).planes(black, {})[0][:, 0].tolist() == [[False, False], [True, True], [False, False]]
    assert mapping().planes(black, {})[0][0].all()


def test_a_labelmap_names_a_palettes_colours(tmp_path: Path):
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\ndog:128,0,0::\ncat:0,128,0::\n")
    labels_HW, palette = np.array([[0, 1, 2]], np.uint8), {0: 0, 1: 0x800000, 2: 0x008000}
    assert mapping(tmp_path).planes(labels_HW, palette)[0].argmax(0).tolist() == [[0, 2, 1]]
    assert mapping(tmp_path).planes(labels_HW, {})[0].argmax(0).tolist() == [[0, 1, 2]]


def test_cvats_labelmap_names_colours(tmp_path: Path):
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\n"
                                           "dog:51,221,255::\n")
    assert read_labelmap(tmp_path) == {0: "background", 0xFA3253: "cat", 0x33DDFF: "dog"}
    labels = np.array([[[51, 221, 255], [250, 50, 83]]], np.uint8)
    assert mapping(tmp_path).planes(labels, {})[0][:, 0].tolist() == [[False, False], [False, True], [True, False]]
    (tmp_path / "labelmap.txt").write_text("cat:250,50\n")
    with pytest.raises(ValueError, match="labelmap.txt: expected name:red,green,blue"):
        read_labelmap(tmp_path)


def test_vocs_colours_stand_for_their_numbers():
    labels = np.array([[VOC[1], VOC[0], VOC[255], VOC[2]]], np.uint8)
    planes_KHW, ignore_HW = mapping(ignore=[255]).planes(labels, {})
    assert planes_KHW.argmax(0).tolist() == [[1, 0, 0, 2]] and ignore_HW.tolist() == [[False, False, True, False]]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_grey_numbers_saved_as_rgb_are_numbers(tmp_path: Path, mode: str):
    numbers_HW = np.random.default_rng(1).integers(0, 3, (6, 9), np.uint8)
    Image.fromarray(numbers_HW).convert(mode).save(tmp_path / "mask.png")
    labels, palette = read_labels(tmp_path / "mask.png", STORED)
    np.testing.assert_array_equal(as_numbers(labels), numbers_HW)
    assert mapping().planes(labels, palette)[0].argmax(0).tolist() == numbers_HW.tolist()
    assert palette == {}


def test_a_mask_with_transparent_pixels_is_refused(tmp_path: Path):
    Image.new("RGBA", (4, 4), (1, 1, 1, 0)).save(tmp_path / "mask.png")
    with pytest.raises(ImageError, match="transparent"):
        read_labels(tmp_path / "mask.png", STORED)


def test_a_photograph_is_no_mask_of_colours(tmp_path: Path):
    root = make(tmp_path / "mine")
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (20, 30, 3), np.uint8)).save(root / "masks/p3.jpg")
    (root / "masks/p3.png").unlink()
    (root / "masks/p3.jpg").rename(root / "masks/p3.png")
    assert "JPEG" in rejection(root, keys_of(root)).reason


def test_the_mapping_to_paste_maps_everything():
    count = ValueCount()
    count.add(np.array([[0, 7, 255]], np.uint8))
    count.add(np.array([[0, 0, 7]], np.uint8))
    assert count.describe() == ("0 (50.0% of the pixels, in 2 of 2 masks), 7 (33.3% of the pixels, in 2 of 2 masks), "
                                "255 (16.7% of the pixels, in 1 of 2 masks)")
    assert count.mapping(["background", "thing"], [255]) == (
        "classes: [background, thing]\nvalues: {0: background, 7: thing}\nignore: [255]")
    assert count.mapping(["background", "thing"]) == (
        "classes: [background, thing, class_255]\nvalues: {0: background, 7: thing, 255: class_255}\nignore: []")


def test_palettes_of_a_folder_are_compared(tmp_path: Path):
    root = make(tmp_path / "mine")
    for name, color in (("p1", (255, 0, 0)), ("p2", (0, 255, 0))):
        mask = Image.open(root / f"masks/{name}.png").convert("P")
        mask.putpalette([0, 0, 0, *color])
        mask.save(root / f"masks/{name}.png")
    found = {entry.id: dict(entry.palette) for entry in entries(root, keys_of(root)) if isinstance(entry, Sample)}
    assert found["p1"][1] == "#ff0000" and found["p2"][1] == "#00ff00" and found["p3"] == {}


def test_ignored_numbers_are_skipped_in_counting():
    assert mapping(ignore=[1, 255]).values == {0: 0, 2: 1, 3: 2, 1: IGNORED, 255: IGNORED}
