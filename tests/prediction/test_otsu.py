"""Otsu's threshold against a brute force over all thresholds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib import prediction
from seglib.configs import ModelConfig
from seglib.prediction.otsu import threshold


def between(grey: np.ndarray, level: float) -> float:
    """The variance between the pixels below the level and the others."""
    low, high = grey[grey < level], grey[grey >= level]
    if not (low.size and high.size):
        return 0.0
    return low.size * high.size * (low.mean() - high.mean()) ** 2


@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_separates_better(seed: int):
    random = np.random.default_rng(seed)
    grey = np.concatenate([random.normal(60, 15, 500), random.normal(170, 20, 200)]).clip(0, 255).round()
    best = max(between(grey, level) for level in range(256))
    assert between(grey, threshold(grey)) == pytest.approx(best)


@pytest.mark.parametrize("grey", [0.0, 7.0, 255.0])
def test_an_even_picture_has_no_bright_pixel(grey: float):
    assert threshold(np.full(10, grey)) > grey


@pytest.mark.parametrize("bright", [True, False])
def test_bright_or_dark_pixels_have_the_class(prepared_shapes: Path, bright: bool):
    """A picture of a dark and a bright half."""
    predictor = prediction.build(ModelConfig(kind="otsu", arguments={"bright": bright}), prepared_shapes)
    picture = Image.new("RGB", (64, 64), (20, 30, 10))
    picture.paste((200, 210, 190), (32, 0, 64, 64))
    planes_KHW = predictor.predict(picture)
    assert (planes_KHW[:, :, 32:] == bright).all() and (planes_KHW[:, :, :32] != bright).all()
