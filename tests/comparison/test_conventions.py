"""The places of variants under conventions, and the pairs whose means change places, on counts with a known order.

In `COUNTS`, `large` finds the class of large objects and `even` the one of small objects. Over all pixels, each class
has the same weight, so `even` is ahead. Where counts of classes are added up, the large class decides, and `large` is.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from seglib.comparison.conventions import convention_table, reversal_table
from seglib.comparison.evidence import Evidence
from seglib.comparison.variants import Variant
from seglib.metrics.conventions import CONVENTIONS
from seglib.metrics.scores import HEADLINE
from tests.comparison.conftest import BAD, GOOD, MARGIN, SAME, Compared, with_columns, with_seeds

FOUND = {"large": (0.9, 0.4), "even": (0.8, 0.8)}  # the share of the pixels of the large and of the small class
PIXELS = (1000, 10)


def counted(study: Compared, label: str, found: tuple[float, float], noise: float) -> Variant:
    """The variant with other counts: of two classes of its four, in each picture, and with noise between seeds."""
    variant, results = study.variant(label), []
    for seed, result in enumerate(variant.results):
        random, shape = np.random.default_rng(seed), result.cases["test"]["tp"].shape
        columns = {name: np.zeros(shape) for name in ("tp", "fp", "fn", "tn")}
        for k, (share, pixels) in enumerate(zip(found, PIXELS, strict=True)):
            columns["tp"][:, k] = pixels * np.clip(share + noise * random.normal(size=shape[0]), 0, 1)
            columns["fn"][:, k] = pixels - columns["tp"][:, k]
        results.append(with_columns(result, **columns))
    return dataclasses.replace(variant, results=results)


def study_of(compared: Compared, *, noise: float = 0.01, seeds: int = 3) -> Compared:
    study = with_seeds(compared, seeds)
    variants = [counted(study, GOOD, FOUND["even"], noise), counted(study, BAD, FOUND["large"], noise)]
    return dataclasses.replace(study, variants=variants, evidence=Evidence(variants, MARGIN))


def reversals(study: Compared) -> pd.DataFrame:
    return reversal_table(study.evidence, study.evidence.pair_table())


def test_a_convention_under_which_large_classes_decide_reverses_the_order(compared: Compared):
    found = reversals(study_of(compared))
    assert set(zip(found["score"], found["convention"], strict=True)) == {
        (score, f"smp_{reduction}") for score in ("iou", "dice") for reduction in ("micro", "micro_imagewise")}
    assert (found["a"] == GOOD).all() and (found["b"] == BAD).all()
    assert (found["headline_verdict"] == "better").all() and (found["verdict"] == "better").all()
    assert found["headline_a"].to_numpy() == pytest.approx(0.8, abs=0.01)
    assert found["headline_b"].to_numpy() == pytest.approx(0.65, abs=0.01)
    micro = found[found["convention"] == "smp_micro"].set_index("score").loc["iou"]
    large, even = ((PIXELS[0] * a + PIXELS[1] * b) / sum(PIXELS) for a, b in (FOUND["large"], FOUND["even"]))
    assert (micro["mean_a"], micro["mean_b"]) == pytest.approx((even, large), abs=0.01)
    assert micro["low"] < large - even < micro["high"] and micro["low"] > 0


def test_orders_that_chance_could_make_are_unknown(compared: Compared):
    found = reversals(study_of(compared, noise=1.5))
    assert len(found) and set(found["verdict"]) == {"unknown"}


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_too_few_seeds_no_order_is_decided(compared: Compared, seeds: int):
    found = reversals(study_of(compared, seeds=seeds))
    assert len(found) == 4
    assert set(found["verdict"]) == set(found["headline_verdict"]) == {"too few seeds"}


def test_where_no_order_reverses_the_table_is_empty(compared: Compared):
    assert reversals(compared).empty  # a good network, its twin, and a bad one
    assert list(reversals(compared).columns)[:2] == ["a", "b"]


def test_places_are_those_of_the_means_and_equal_means_share_one(compared: Compared):
    table = convention_table(compared.variants).set_index(["convention", "score", "variant"]).sort_index()
    for name, convention in CONVENTIONS.items():
        for base in convention.scores:
            assert table.loc[name, base]["place"].to_dict() == {GOOD: 1, SAME: 1, BAD: 3}
    scores = compared.evidence.score_table().set_index(["score", "split", "variant"]).sort_index()
    for aggregation in ("dataset", "image_mean"):
        for base in ("iou", "dice"):
            expected = scores.loc[f"{base}_{aggregation}", "test"]["mean"]
            pd.testing.assert_series_equal(table.loc[aggregation, base]["mean"], expected, check_names=False)


def test_a_baseline_has_values_and_no_place_and_reverses_nothing(compared: Compared):
    study = study_of(compared)
    variants = [study.variants[0], dataclasses.replace(study.variants[1], baseline=True)]
    table = convention_table(variants)
    assert table.loc[table["variant"] == BAD, "place"].isna().all() and table["mean"].notna().all()
    assert (table.loc[table["variant"] == GOOD, "place"] == 1).all()
    assert reversals(dataclasses.replace(study, variants=variants, evidence=Evidence(variants, MARGIN))).empty


def test_the_places_of_one_variant_do_not_depend_on_others_that_are_worse(compared: Compared):
    alone = convention_table([compared.variant(GOOD)])
    assert (alone["place"] == 1).all() and len(alone) == sum(len(one.scores) for one in CONVENTIONS.values())


def test_without_any_class_there_is_no_place(compared: Compared):
    empty = np.zeros(compared.variants[0].cases_S("test")[0]["tp"].shape)
    variants = [dataclasses.replace(variant, results=[
        with_columns(result, tp=empty, fp=empty, fn=empty) for result in variant.results])
        for variant in compared.variants]
    table = convention_table(variants).set_index(["convention", "score"])
    assert table.loc[("dataset", "iou"), ["mean", "place"]].isna().all(axis=None)
    study = dataclasses.replace(compared, variants=variants, evidence=Evidence(variants, MARGIN))
    assert reversals(study).empty and np.isnan(study.evidence.blocks(variants[0], HEADLINE.name).mean)
