"""The page of many studies in headless Chromium: classes that exclude each other, and what is ignored."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageColor

from seglib.figures.pictures import HATCH, class_color
from seglib.files import read_json
from tests.report.browser import Browser

STANFORD = "document.querySelector('section[data-dataset=stanford]')"
# Colour and opacity of every pixel of a tile's canvas, once it is drawn: [red, green, blue, alpha, ...].
PIXELS = f"""const canvas = {STANFORD}.querySelectorAll(".tile canvas")[arguments[0]];
    canvas.scrollIntoView();
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {{willReadFrequently: true}});
    copy.drawImage(canvas, 0, 0);
    const pixels = [...copy.getImageData(0, 0, canvas.width, canvas.height).data];
    return pixels.some(value => value) ? pixels : null"""
TRUTH, FIRST = 1, 2  # tiles of the first picture; 0 is the picture itself


@pytest.fixture
def opened(session: Browser, everything: Path) -> Browser:
    session.screen(1280, 900)
    session.open(everything)
    yield session
    assert session.console() == []


def tile(browser: Browser, number: int) -> np.ndarray:
    """uint8 (H, W, 4)."""
    return np.array(browser.wait_for(PIXELS, number), np.uint8).reshape(64, 64, 4)


def choose(browser: Browser, name: str, value: str) -> None:
    browser.run(f"""const part = {STANFORD}.querySelector("form").elements[arguments[0]];
        part.value = arguments[1];
        {STANFORD}.querySelector("form").dispatchEvent(new Event("change"));""", name, value)


@pytest.fixture
def masks(everything: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the first picture: where it is ignored, the truth, the first prediction; a class is its number plus 1."""
    picture = read_json(everything.parent / "stanford/stanford/gallery/gallery.json")["pictures"][0]
    runs = (picture["ignored"], picture["truth"], picture["variants"]["resnet18_unet_frozen ce_weighted"]["runs"])
    return tuple(np.repeat(of[::2], of[1::2]).reshape(64, 64) for of in runs)


def test_a_class_has_its_colour_and_what_is_ignored_a_hatch(opened: Browser, masks: tuple[np.ndarray, ...]):
    ignored, truth, _ = masks
    drawn, inside = tile(opened, TRUTH), truth.copy()
    for axis in (0, 1):  # but outlines, which are opaque
        for by in (1, -1):
            inside[np.roll(truth, by, axis) != truth] = 0
    inside[[0, -1]] = inside[:, [0, -1]] = 0
    for value in np.unique(inside[inside > 0]):
        pixels = drawn[inside == value]
        np.testing.assert_allclose(pixels[:, :3], np.broadcast_to(class_color(value - 1), (len(pixels), 3)), atol=2)
        assert set(pixels[:, 3].tolist()) <= {114, 115}
    assert {tuple(color) for color in drawn[ignored == 1][:, :3].tolist()} == set(HATCH)
    assert (drawn[ignored == 1][:, 3] == 255).all()


def test_the_error_map_knows_found_and_another_class_and_of_one_class_more(opened: Browser,
                                                                          masks: tuple[np.ndarray, ...]):
    ignored, truth, predicted = masks
    counts = ignored == 0
    colors = {"hit": (0, 114, 178), "extra": (213, 94, 0), "missing": (240, 228, 66), "wrong": (204, 121, 167)}

    def assert_shown(expected: dict[str, np.ndarray]) -> None:
        drawn = tile(opened, FIRST)
        for name, where in expected.items():
            found = (np.abs(drawn[..., :3].astype(int) - colors[name]).max(-1) <= 2) & (drawn[..., 3] > 0)
            np.testing.assert_array_equal(found & counts, where & counts, err_msg=name)

    choose(opened, "view", "errors")
    there, said = truth > 0, predicted > 0
    assert_shown({"hit": there & (truth == predicted), "wrong": there & said & (truth != predicted),
                  "missing": there & ~said})
    k = int(np.bincount(truth[counts].ravel())[1:].argmax())  # the class of the most pixels
    choose(opened, "class", str(k))
    there, said = truth == k + 1, predicted == k + 1
    assert_shown({"hit": there & said, "extra": said & ~there, "missing": there & ~said})


def test_legends_say_what_can_be_seen(opened: Browser):
    shown = f"""return [...{STANFORD}.querySelectorAll(".legend:not([hidden]) span")]
        .filter(part => part.checkVisibility()).map(part => part.textContent)"""
    assert opened.run(shown) == ["sky", "tree", "road", "grass", "water", "building", "mountain", "foreground",
                                 "ignored, not counted"]
    choose(opened, "view", "errors")
    assert opened.run(shown) == ["found", "another class", "ignored, not counted"]
    choose(opened, "class", "0")
    assert opened.run(shown) == ["found", "found, but not there", "there, but not found", "ignored, not counted"]


def test_legend_and_masks_have_the_same_colours(opened: Browser):
    colors = opened.run(f"""return [...{STANFORD}.querySelectorAll('.legend[data-view=masks] i:not(.ignored)')]
        .map(swatch => getComputedStyle(swatch).backgroundColor)""")
    assert [ImageColor.getrgb(color) for color in colors] == [class_color(k) for k in range(8)]


def test_a_model_without_a_seed_is_shown_without_one(opened: Browser):
    caption = f"""const tiles = [...{STANFORD}.querySelectorAll(".tile")];
        tiles.find(tile => tile.textContent.startsWith(arguments[0])).querySelector("button").click();
        return document.querySelector("#viewer figcaption").textContent"""
    assert "seed" not in opened.run(caption, "frequency")
    opened.press("Escape")
    assert "seed 1234" in opened.run(caption, "unet ce")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows_the_screen(opened: Browser, everything: Path, width: int):
    opened.screen(width, 844)
    opened.open(everything)
    opened.run("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert opened.run("return document.documentElement.scrollWidth <= innerWidth")


def test_confusion_follows_the_variant(opened: Browser):
    first = f"return {STANFORD}.querySelector('.matrix[data-kind=pixels] tbody td').textContent"
    before = opened.run(first)
    choice = f"{STANFORD}.querySelector('.confusion-variant')"
    opened.run(f"{choice}.value = 'frequency'; {choice}.dispatchEvent(new Event('change'))")
    assert opened.run(first) != before
    assert opened.run(f"return {STANFORD}.querySelectorAll('.matrix[data-kind=pixels] thead th').length") == 1 + 8
