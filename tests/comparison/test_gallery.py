"""What the page draws from: masks as run lengths, and which pictures are chosen."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from sklearn.metrics import jaccard_score

from seglib import tasks
from seglib.comparison.gallery import PLACES, _middle_seed, _thirds, run_lengths, write_gallery
from seglib.comparison.tables import pick_pictures, rank_pictures
from seglib.comparison.variants import Result, Variant
from seglib.datasets.store import Split
from seglib.files import read_json
from tests.comparison.conftest import BAD, GOOD, Compared, with_columns
from tests.comparison.synthetic import SIDE

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)
MASKS = st.sampled_from([np.uint8, np.uint16, np.uint32]).flatmap(lambda dtype: hnp.arrays(
    dtype, SHAPES, elements=st.sampled_from([0, 1, 2, np.iinfo(dtype).max])))


def decoded(runs: list[int], shape: tuple[int, ...]) -> np.ndarray:
    return np.repeat(runs[::2], runs[1::2]).reshape(shape)


@given(MASKS)
def test_run_lengths_are_the_mask_and_as_few_as_can_be(mask: np.ndarray):
    runs = run_lengths(mask)
    np.testing.assert_array_equal(decoded(runs, mask.shape), mask)
    assert all(length > 0 for length in runs[1::2])
    assert all(left != right for left, right in zip(runs[::2], runs[2::2], strict=False))
    assert all(type(number) is int for number in runs)


def test_run_lengths_by_hand():
    assert run_lengths(np.array([[0, 0, 1], [1, 1, 0]], np.uint8)) == [0, 2, 1, 3, 0, 1]
    assert run_lengths(np.zeros((2, 3), np.uint8)) == [0, 6]


@given(st.integers(0, 60), st.integers(3, 50))
def test_thirds_are_apart_and_no_more_than_asked(pictures: int, count: int):
    chosen = _thirds(np.arange(pictures), count)
    numbers = [i for _, i in chosen]
    assert len(set(numbers)) == len(numbers) <= count
    assert len(chosen) >= min(pictures, count) - 2
    assert [place for place, _ in chosen] == sorted((place for place, _ in chosen), key=PLACES.index)
    if pictures >= 3:
        by_place = {name: [i for place, i in chosen if place == name] for name in PLACES}
        assert len({len(part) for part in by_place.values()}) == 1
        assert by_place["best"][0] == 0 and by_place["worst"][-1] == pictures - 1
        middle = by_place["median"]
        assert abs(np.mean(middle) - (pictures - 1) / 2) <= 0.5


@pytest.fixture
def written(compared: Compared, tmp_path: Path) -> Path:
    (tmp_path / "gallery").mkdir()
    write_gallery(compared.variants, compared.info, Split.open(Path("data/prepared/shapes"), "test"), count=9,
                  out=tmp_path / "gallery")
    return tmp_path / "gallery"


def test_the_gallery_is_what_was_predicted(compared: Compared, written: Path):
    found, test = read_json(written / "gallery.json"), Split.open(Path("data/prepared/shapes"), "test")
    ids = test.index()["id"].tolist()
    assert found["classes"] == compared.info.classes and len(found["colors"]) == 4
    shape = (found["height"], found["width"])
    assert [entry["place"] for entry in found["pictures"]] == ["best"] * 3 + ["median"] * 3 + ["worst"] * 3
    for entry in found["pictures"]:
        i = ids.index(entry["id"])
        np.testing.assert_array_equal(np.asarray(Image.open(written / entry["file"])), test.images[i])
        np.testing.assert_array_equal(decoded(entry["truth"], shape), test.masks[i])
        truth = tasks.get("multilabel").unpack(np.asarray(test.masks[i]), 4)
        assert entry["classes"] == [name for name, plane in zip(found["classes"], truth, strict=True) if plane.any()]
        assert set(entry["variants"]) == set(found["seed_shown"])
        for variant in compared.variants:
            seed = found["seed_shown"][variant.label]
            mask = np.load(f"results/shapes/munet-{variant.names[0][1]}-{seed}/evaluated/predictions.npy")[i]
            shown = entry["variants"][variant.label]
            np.testing.assert_array_equal(decoded(shown["runs"], shape), mask)
            predicted = tasks.get("multilabel").unpack(mask, 4)
            by_class = [jaccard_score(t.ravel(), p.ravel()) for t, p in zip(truth, predicted, strict=True)
                        if t.any() or p.any()]
            assert shown["iou"] == pytest.approx(np.mean(by_class), abs=5e-5)
            assert shown["classes"] == [
                f"{name} {jaccard_score(t.ravel(), p.ravel()):.2f}" if t.any() else
                f"{name}: not there, {p.sum()} pixel{'s' if p.sum() > 1 else ''} predicted"
                for name, t, p in zip(found["classes"], truth, predicted, strict=True) if t.any() or p.any()]
            assert set(shown["brief"]) <= set(shown["classes"]) and len(shown["brief"]) <= 4


def test_pictures_come_from_best_to_worst(compared: Compared, written: Path):
    scores = [entry["score"] for entry in read_json(written / "gallery.json")["pictures"]]
    assert scores == sorted(scores, reverse=True)
    ranked, means = rank_pictures(compared.variants)
    assert sorted(ranked) == np.flatnonzero(~np.isnan(means)).tolist()
    assert (np.diff(means[ranked]) <= 0).all()
    assert pick_pictures(compared.variants, 3) == [ranked[0], ranked[round((len(ranked) - 1) / 2)], ranked[-1]]


def test_the_seed_shown_is_the_middle_one_of_two_the_lower(compared: Compared, two_seeds: Compared, written: Path):
    def by_score(variant: Variant) -> list[Result]:
        return sorted(variant.results, key=lambda result: np.nanmean(result.class_scores["test"]["iou_dataset"]))
    seeds = read_json(written / "gallery.json")["seed_shown"]
    for label in (GOOD, BAD):
        assert seeds[label] == by_score(compared.variant(label))[1].seed
        assert _middle_seed(two_seeds.variant(label)) is by_score(two_seeds.variant(label))[0]


def test_a_picture_with_nothing_to_score_is_not_ranked(compared: Compared):
    """Nothing is there and nothing was found: no result has an IoU for it."""
    variant = compared.variants[0]
    result = variant.results[0]
    counts = {name: result.cases["test"][name].copy() for name in ("tp", "fp", "fn")}
    for column in counts.values():
        column[3] = 0
    ranked, means = rank_pictures([dataclasses.replace(variant, results=[with_columns(result, **counts)])])
    assert 3 not in ranked and np.isnan(means[3]) and len(ranked) == 25


def test_exclusive_classes_are_shown_by_their_numbers_and_what_is_ignored_by_itself(mixed: Compared, tmp_path: Path):
    test = Split.open(Path("data/prepared/shapes"), "test")
    write_gallery(mixed.variants, mixed.info, test, count=6, out=tmp_path)
    found, ids = read_json(tmp_path / "gallery.json"), test.index()["id"].tolist()
    assert found["exclusive"] is True
    assert found["seed_shown"]["frequency"] is None and found["seed_shown"]["unet ce"] in (1, 2, 3)
    for entry in found["pictures"]:
        i = ids.index(entry["id"])
        truth, ignored = test.masks[i], np.arange(SIDE)[None] == np.zeros((SIDE, 1))
        np.testing.assert_array_equal(decoded(entry["ignored"], truth.shape), ignored)
        np.testing.assert_array_equal(decoded(entry["truth"], truth.shape), np.where(ignored, 0, truth.astype(int) + 1))
        assert entry["classes"] == [found["classes"][k] for k in np.unique(truth[:, 1:])]
        predicted = np.load("results/shapes/predictors/frequency/predictions.npy")[i].astype(int)
        np.testing.assert_array_equal(decoded(entry["variants"]["frequency"]["runs"], truth.shape),
                                      np.where(ignored, 0, predicted + 1))


def test_where_nothing_is_ignored_nothing_is_said_of_it(written: Path):
    assert {entry["ignored"] for entry in read_json(written / "gallery.json")["pictures"]} == {None}
