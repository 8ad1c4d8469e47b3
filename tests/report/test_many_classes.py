"""The page's drawing of masks with more classes than fit into one number, in headless Chromium."""

from pathlib import Path

import numpy as np
import pytest

from seglib import tasks
from seglib.comparison.gallery import run_lengths
from seglib.figures.pictures import class_color
from seglib.report.scripts import packed_runs
from tests.report.browser import Browser

TASK, SIDE, CLASSES = tasks.get("multilabel"), 16, 80
DRAW = """const form = arguments[0], pixels = form.width * form.height * Masks.words(form);
    const mask = Masks.unpack(arguments[1], pixels);
    const image = arguments[2] ? Masks.errors(mask, Masks.unpack(arguments[2], pixels), form, arguments[3])
      : Masks.overlay(mask, form, arguments[3]);
    return [...image.data]"""


@pytest.fixture
def opened(session: Browser, everything: Path) -> Browser:
    session.open(everything)
    yield session
    assert session.console() == []


@pytest.fixture
def planes() -> np.ndarray:
    """Of the true and the predicted mask, (2, K, H, W): rectangles that overlap, of classes in each of the words."""
    random, planes = np.random.default_rng(0), np.zeros((2, CLASSES, SIDE, SIDE), bool)
    for of in planes:
        for k in (0, 3, 30, 31, 40, 61, 62, 79):
            y, x = random.integers(0, SIDE - 6, 2)
            of[k, y:y + 6, x:x + 6] = True
    return planes


def drawn(browser: Browser, classes: list[int], planes: np.ndarray, chosen: int | None = None, *, errors: bool = False
          ) -> np.ndarray:
    """What the page draws of some of the classes: the true mask, or how the predicted one differs. uint8 (H, W, 4)."""
    form = {"width": SIDE, "height": SIDE, "exclusive": False, "classes": [str(k) for k in classes],
            "colors": ["#{:02x}{:02x}{:02x}".format(*class_color(k)) for k in classes]}
    truth, predicted = (packed_runs(run_lengths(TASK.shown_values(mask, TASK.ignored(mask))))
                        for mask in map(TASK.pack, planes[:, classes]))
    packed = (predicted, truth) if errors else (truth, None)
    return np.array(browser.run(DRAW, form, *packed, chosen)).reshape(SIDE, SIDE, 4)


@pytest.mark.parametrize("errors", [False, True])
def test_many_classes_are_drawn_as_the_few_of_them_that_are_there(opened: Browser, planes: np.ndarray, errors: bool):
    there = np.flatnonzero(planes.any((0, 2, 3))).tolist()
    assert len(there) < 31 < CLASSES
    whole = drawn(opened, list(range(CLASSES)), planes, errors=errors)
    assert len(np.unique(whole.reshape(-1, 4), axis=0)) > 3
    np.testing.assert_array_equal(whole, drawn(opened, there, planes, errors=errors))
    for k in there:
        np.testing.assert_array_equal(drawn(opened, list(range(CLASSES)), planes, k, errors=errors),
                                      drawn(opened, [k], planes, 0, errors=errors))
