"""Near-duplicates: copies of real pictures are found, other pictures are not, and every pair a plain loop finds is."""

import io
import itertools
import random
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from seglib.datasets.duplicates import MOST_BITS, NearDuplicates, perceptual_hash
from tests.conftest import shared


@pytest.fixture(scope="module")
def photographs() -> dict[str, Image.Image]:
    found = {}
    for path in sorted((shared("mirror") / "images.cocodataset.org").rglob("*.jpg"))[:40]:
        with Image.open(path) as image:
            found[path.stem] = image.convert("RGB")
    return found


def compressed(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60)
    return Image.open(file).convert("RGB")


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG": compressed,
    "smaller": lambda image: image.resize((round(image.width * 0.8), round(image.height * 0.8))),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_photographs_are_found_and_no_others(photographs: dict[str, Image.Image], change: str):
    near = NearDuplicates()
    for name, image in photographs.items():
        near.add("train", name, perceptual_hash(np.asarray(image)))
        near.add("test", f"{name} again", perceptual_hash(np.asarray(CHANGES[change](image))))
    assert near.pairs() == [(name, "train", f"{name} again", "test") for name in photographs]


def test_pairs_are_those_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("seglib.datasets.duplicates.BLOCK", 50)
    drawn, near, all_of = random.Random(0), NearDuplicates(), []
    for number in range(120):
        near_to = all_of[-1][2] if number % 3 else drawn.getrandbits(64)
        bits = near_to ^ sum(1 << place for place in drawn.sample(range(64), drawn.randint(0, MOST_BITS + 2)))
        all_of.append((drawn.choice(["train", "val", "test"]), str(number), bits))
        near.add(*all_of[-1])
    expected = {frozenset([(a, i), (b, j)]) for (a, i, x), (b, j, y) in itertools.combinations(all_of, 2)
                if a != b and (x ^ y).bit_count() <= MOST_BITS}
    found = near.pairs()
    assert {frozenset([(a, i), (b, j)]) for i, a, j, b in found} == expected and len(found) == len(expected) > 10


def test_flat_pictures_look_like_nothing():
    near = NearDuplicates()
    random_HWC = np.random.default_rng(0).integers(99, 102, (50, 60, 3), np.uint8)
    for split, image_HWC in (("train", np.zeros((50, 60, 3), np.uint8)), ("test", np.zeros((50, 60, 3), np.uint8)),
                             ("val", random_HWC)):
        bits = perceptual_hash(image_HWC)
        assert bits is None
        near.add(split, "flat", bits)
    assert near.pairs() == []


def test_pictures_of_one_split_are_no_pair():
    near = NearDuplicates()
    near.add("train", "a", 5)
    near.add("train", "b", 5)
    assert near.pairs() == []
