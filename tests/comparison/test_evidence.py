"""Intervals, pairs and ranks of a made-up study whose answer is known."""

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seglib.comparison import evidence
from seglib.comparison.evidence import Evidence
from seglib.comparison.tables import training_scores
from seglib.comparison.variants import load
from seglib.metrics.cases import Cases
from seglib.metrics.inference import MASKS, SEEDS_AND_PICTURES, WEIGHTS, Blocks
from seglib.metrics.pairwise import compare_with_zero
from seglib.metrics.scores import BY_NAME, HEADLINE, PAIRED, SCORES
from seglib.metrics.scores.score import Score, mean_score
from tests.comparison.conftest import BAD, GOOD, MARGIN, SAME, Compared, with_columns, with_seeds
from tests.comparison.synthetic import (
    history_of,
    logits_of,
    objects,
    spoiled,
    write_dataset,
    write_predictors,
    write_variant,
)

ROUNDING = 1e-9
PAIRED_NAMES = [score.name for score in PAIRED]
WITHOUT_LIMIT = [score.name for score in SCORES if math.isinf(score.highest)]


@pytest.fixture(scope="module")
def scores(made_up: Compared) -> pd.DataFrame:
    return made_up.evidence.score_table()


@pytest.fixture(scope="module")
def pairs(made_up: Compared) -> pd.DataFrame:
    return made_up.evidence.pair_table()


def row(table: pd.DataFrame, **where: str) -> pd.Series:
    found = table[np.logical_and.reduce([table[key] == value for key, value in where.items()])]
    assert len(found) == 1, where
    return found.iloc[0]


def ranks(ranking: pd.DataFrame) -> dict[str, tuple[int, int]]:
    return {one.variant: (one.rank_low, one.rank_high) for one in ranking.itertuples()}


def test_scores_are_means_over_the_trainings_own(compared: Compared, scores: pd.DataFrame):
    by_training = training_scores(compared.variants, compared.info.classes)
    whole = by_training[(by_training["class"] == "") & by_training["training"].str.startswith("munet-alias-")]
    for split, pictures in (("test", 26), ("val", 6)):
        for name in BY_NAME:
            found = row(scores, variant=GOOD, split=split, score=name)
            values = whole.loc[(whole["split"] == split) & (whole["score"] == name), "value"]
            assert len(values) in (0, 3)
            expected = [values.mean(), values.std(ddof=1), values.min(), values.max()]
            assert found[["mean", "sd", "min", "max"]].tolist() == pytest.approx(expected, nan_ok=True)
            assert found["seeds"] == 3 and found["images"] == pictures


def test_n_counts_pictures_or_objects(compared: Compared, scores: pd.DataFrame):
    objects = compared.variant(GOOD).results[0].objects.query("split == 'test'")
    edges = np.quantile(objects["area"], [1 / 3, 2 / 3])
    for name, n in (("iou_dataset", 26), ("pixel_ap", 26), ("missed", len(objects)),
                    ("missed_large", (objects["area"] >= edges[1]).sum())):
        assert row(scores, variant=GOOD, split="test", score=name)["n"] == n


def test_every_score_has_an_interval_that_holds_it(scores: pd.DataFrame):
    there = scores.dropna(subset="mean")
    assert set(there["score"]) >= {*PAIRED_NAMES, "hd95_image_mean", "pixel_ap", "specks", "completeness_small"}
    assert (there["low"] <= there["mean"] + ROUNDING).all() and (there["mean"] <= there["high"] + ROUNDING).all()
    assert scores[scores["mean"].isna()][["low", "high"]].isna().all(axis=None)
    assert set(scores["score"]) == set(BY_NAME)


def test_what_the_same_results_give_is_a_tie(pairs: pd.DataFrame):
    same = pairs[((pairs["a"] == GOOD) & (pairs["b"] == SAME)) | ((pairs["a"] == SAME) & (pairs["b"] == GOOD))]
    assert set(same["score"]) == set(PAIRED_NAMES)
    assert (same["difference"] == 0).all() and (same["p"] == 1).all() and (same["p_holm"] == 1).all()
    assert (same["verdict"] != "better").all()
    assert (same["effect"] == 0).all() and (same["won"] == 0.5).all()
    assert ((same["low"] <= 0) & (same["high"] >= 0)).all()


@pytest.mark.parametrize("score", ["iou_dataset", "dice_dataset", "iou_image_mean", "boundary_iou_dataset"])
def test_a_clear_difference_is_found(pairs: pd.DataFrame, score: str):
    for label in (GOOD, SAME):
        found = row(pairs, a=label, b=BAD, score=score)
        assert found["verdict"] == "better" and found["low"] > 0 and found["p_holm"] < 0.05
        assert found["low"] <= found["difference"] <= found["high"]
        assert found["won"] > 0.9 and found["effect"] > 1
        assert found[["seeds_low", "seeds_high", "units_low", "units_high"]].isna().all()


@pytest.mark.parametrize("score", ["hole_share", "wrong_class"])
def test_where_less_is_better_the_lower_one_is_a(pairs: pd.DataFrame, score: str):
    assert BY_NAME[score].better == "lower"
    found = row(pairs, a=GOOD, b=BAD, score=score)
    assert found["verdict"] == "better" and found["high"] < 0
    assert found["effect"] < 0 and found["won"] > 0.5


def test_a_is_never_the_worse_one(pairs: pd.DataFrame):
    sign = pairs["score"].map({score.name: 1 if score.better == "higher" else -1 for score in BY_NAME.values()})
    assert (sign * pairs["difference"] >= 0).all()
    assert len(pairs) == 3 * len(PAIRED)


def test_ranks_are_as_wide_as_what_is_unknown(compared: Compared, scores: pd.DataFrame, pairs: pd.DataFrame):
    ranking = compared.evidence.ranking(scores, pairs)
    assert ranks(ranking) == {GOOD: (1, 2), SAME: (1, 2), BAD: (3, 3)}
    assert ranking["mean"].is_monotonic_decreasing
    assert ranking["failed"].isna().all()  # there is no floor
    unknown = compared.evidence.ranking(scores, pairs.assign(verdict="unknown"))
    assert set(ranks(unknown).values()) == {(1, 3)}


def test_one_seed_gives_intervals_over_pictures_alone(one_seed: Compared, scores: pd.DataFrame):
    found = one_seed.evidence.score_table().dropna(subset="mean")
    assert found["sd"].isna().all() and (found["seeds"] == 1).all()
    assert (found["low"] <= found["mean"] + ROUNDING).all() and (found["mean"] <= found["high"] + ROUNDING).all()
    both, alone = (row(table, variant=GOOD, split="test", score="iou_dataset") for table in (scores, found))
    assert both["high"] - both["low"] > alone["high"] - alone["low"] > 0  # seeds add to what is not known
    pairs = one_seed.evidence.pair_table()
    same = row(pairs, a=GOOD, b=SAME, score="iou_dataset")
    assert same["low"] < 0 < same["high"]  # nothing varied, which is no certainty
    apart = row(pairs, a=GOOD, b=BAD, score="iou_dataset")
    assert apart["low"] > 0 and apart["interval_of"] == WEIGHTS
    assert set(found["interval_of"]) == {WEIGHTS} and set(scores["interval_of"]) == {SEEDS_AND_PICTURES}


def test_one_variant_alone_has_a_rank_and_no_pair(compared: Compared):
    evidence = Evidence(compared.variants[:1], MARGIN)
    pairs = evidence.pair_table()
    assert pairs.empty and list(pairs) == list(compared.evidence.pair_table())
    assert evidence.ranking(evidence.score_table(), pairs)["rank_high"].tolist() == [1]


def test_class_intervals_hold_their_class_and_absent_classes_have_none(compared: Compared):
    found = compared.evidence.class_intervals(HEADLINE, compared.info.classes)
    there = compared.info.classes[:-1]
    assert set(found) == {(variant.label, name) for variant in compared.variants for name in there}
    for variant in compared.variants:
        for k, name in enumerate(there):
            low, high = found[variant.label, name]
            assert low <= np.mean([result.class_scores["test"]["iou_dataset"][k] for result in variant.results]) <= high


def test_a_split_without_any_class_has_no_scores(tmp_path: Path):
    """A small val split may hold none of the classes."""
    random = np.random.default_rng(5)
    truth = {"val": objects(random, 3, present=0), "test": objects(random, 5)}
    with contextlib.chdir(tmp_path):
        info = write_dataset(truth)
        logits = {split: logits_of(random, spoiled(random, planes, 0.1)) for split, planes in truth.items()}
        write_variant("munet-mse-1", logits, history=history_of(np.array([2.0, 1])), terms={"mse": 1}, train={})
        write_predictors({})
        evidence = Evidence(load("shapes", info), MARGIN)
    scores = evidence.score_table()
    assert scores[scores["split"] == "val"][["mean", "low", "high"]].isna().all(axis=None)
    test = row(scores, split="test", score="pixel_ap")
    assert test["low"] < test["mean"] < test["high"]


def test_a_score_of_some_classes_has_the_interval_of_these(compared: Compared):
    """COCO's label values lie in none of DLStudio's bands but the last: `displayed` is that class's alone."""
    variant, displayed = compared.variants[0], []
    for result in variant.results:
        cases = result.cases["test"]
        shown = np.where(np.arange(4) == 1, np.floor(cases["tp"] / 2), np.nan)
        displayed.append(shown[:, 1].sum() / cases["tp"][:, 1].sum())
        variant = dataclasses.replace(variant, results=[*variant.results[1:], with_columns(result, displayed=shown)])
    found = row(Evidence([variant], MARGIN).score_table(), split="test", score="displayed")
    assert found["mean"] == pytest.approx(np.mean(displayed))
    assert found["low"] < found["mean"] < found["high"]


def test_an_interval_stays_within_what_the_score_can_be(compared: Compared):
    table = compared.evidence.score_table().set_index(["score"])
    shares = table.drop(index=WITHOUT_LIMIT)
    assert (table["low"].dropna() >= 0).all() and (shares["high"].dropna() <= 1).all()
    assert (table.loc["hd95_image_mean", "high"] > 1).any()


def test_variants_of_different_numbers_of_seeds_are_compared(mixed: Compared):
    evidence = mixed.evidence
    scores, pairs = evidence.score_table(), evidence.pair_table()
    seeds = {label: row(scores, variant=label, split="test", score="iou_dataset")["seeds"] for label in
             ("unet ce", "convnet ce", "frequency")}
    assert seeds == {"unet ce": 4, "convnet ce": 3, "frequency": 1}
    there = scores.dropna(subset=["mean", "low"])
    assert (there["low"] <= there["mean"] + ROUNDING).all() and (there["mean"] <= there["high"] + ROUNDING).all()
    without = set(scores.loc[scores["mean"].notna() & scores["low"].isna(), "score"]) - {*WITHOUT_LIMIT}
    of_one_picture = {score.name for score in SCORES for variant in mixed.variants for split in ("test", "val")
                      if (blocks := evidence.blocks(variant, score.name, split)).informed == 1
                      and np.isfinite(blocks.mean)}
    assert without == of_one_picture != set()
    assert math.isnan(row(scores, variant="frequency", split="test", score="iou_dataset")["sd"])
    headline = pairs[pairs["score"] == "iou_dataset"]
    assert sorted(zip(headline["a"], headline["b"], strict=True)) == [
        ("convnet ce", "frequency"), ("unet ce", "convnet ce"), ("unet ce", "frequency")]
    assert (headline["verdict"] == "better").all() and set(headline["interval_of"]) == {SEEDS_AND_PICTURES}
    assert set(scores.loc[scores["variant"] == "frequency", "interval_of"]) == {MASKS}
    assert list(ranks(evidence.ranking(scores, pairs)).values()) == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_seeds_decide_and_rank_nothing(request: pytest.FixtureRequest, count: int):
    evidence = request.getfixturevalue({1: "one_seed", 2: "two_seeds"}[count]).evidence
    scores, pairs = evidence.score_table(), evidence.pair_table()
    assert set(pairs["verdict"]) == {"too few seeds"}
    assert pairs[["p", "p_holm", "p_equivalent", "seeds_low", "units_low"]].isna().all(axis=None)
    is_bounded = pairs["score"].map(lambda name: BY_NAME[name].highest) < np.inf  # else equal seeds have no interval
    assert pairs.loc[is_bounded, ["difference", "low", "high"]].notna().all(axis=None)
    ranking = evidence.ranking(scores, pairs)
    assert ranking[["rank_low", "rank_high"]].isna().all(axis=None) and not ranking["enough_seeds"].any()
    assert ranking["mean"].is_monotonic_decreasing and set(ranking["seeds"]) == {count}


def test_three_seeds_are_enough(compared: Compared, scores: pd.DataFrame, pairs: pd.DataFrame):
    assert "too few seeds" not in set(pairs["verdict"])
    assert compared.evidence.ranking(scores, pairs)["enough_seeds"].all()
    same = row(pairs, a=GOOD, b=SAME, score="iou_dataset")
    assert same["verdict"] == "unknown"


def test_a_variant_with_too_few_seeds_is_compared_with_none(mixed: Compared):
    """The others are decided and ranked among themselves; the one without seeds needs none."""
    evidence = with_seeds(mixed, 2, "convnet ce").evidence
    pairs = evidence.pair_table()
    headline = pairs[pairs["score"] == "iou_dataset"]
    assert {(pair.a, pair.b): pair.verdict for pair in headline.itertuples()} == {
        ("unet ce", "frequency"): "better", ("unet ce", "convnet ce"): "too few seeds",
        ("convnet ce", "frequency"): "too few seeds"}
    ranking = evidence.ranking(evidence.score_table(), pairs).set_index("variant")
    assert ranking.loc[["unet ce", "frequency"], "rank_high"].tolist() == [1, 2]
    assert pd.isna(ranking.loc["convnet ce", "rank_high"])


def test_one_of_several_with_enough_seeds_has_no_rank(mixed: Compared):
    evidence = with_seeds(mixed, 1, "convnet ce", "unet ce").evidence
    ranking = evidence.ranking(evidence.score_table(), evidence.pair_table()).set_index("variant")
    assert ranking["enough_seeds"].to_dict() == {"unet ce": False, "convnet ce": False, "frequency": True}
    assert ranking[["rank_low", "rank_high"]].isna().all(axis=None)


def test_a_score_that_one_variant_lacks_is_compared_among_the_others(compared: Compared):
    """What finds nothing has no holes: the others' pairs stay, and Holm's correction is for as many as there are."""
    silent = compared.variant(BAD)
    results = [with_columns(result, hole_pixels=np.zeros((26, 4)), extent_pixels=np.zeros((26, 4)))
               for result in silent.results]
    variants = [compared.variant(GOOD), compared.variant(SAME), dataclasses.replace(silent, results=results)]
    pairs = Evidence(variants, MARGIN).pair_table()
    holes = pairs[pairs["score"] == "hole_share"]
    assert len(holes) == 1 and set(holes[["a", "b"]].to_numpy().ravel()) == {GOOD, SAME}
    assert len(pairs[pairs["score"] == "iou_dataset"]) == 3


def test_scores_at_own_size_have_intervals_of_their_own(mixed: Compared):
    """Twice and three times as large: the same scores but for rounding at the ignored column, which is not ignored."""
    scores = mixed.evidence.score_table()
    for label in ("unet ce", "convnet ce"):
        own, network = (row(scores, variant=label, split="test", score=name)
                        for name in ("iou_own_dataset", "iou_dataset"))
        assert own["low"] < own["mean"] < own["high"]
        assert own["mean"] != network["mean"] and own["mean"] == pytest.approx(network["mean"], abs=0.1)


class MedianIou(Score):
    """The median of the pictures' IoU: no ratio of sums, so it draws by itself."""

    def by_class(self, cases: Cases) -> np.ndarray:
        return self._medians_K(HEADLINE.by_picture(cases), cases.present())

    @staticmethod
    def _medians_K(iou_NK: np.ndarray, present_K: np.ndarray) -> np.ndarray:
        return np.array([np.nanmedian(iou_N) if is_there else np.nan
                         for iou_N, is_there in zip(iou_NK.T, present_K, strict=True)])

    def blocks(self, cases_S: Sequence[Cases], has_seeds: bool) -> Blocks:
        replicates_SR = np.empty((len(cases_S), 60))
        for cases, scores_R in zip(cases_S, replicates_SR, strict=True):
            iou_NK, random = HEADLINE.by_picture(cases), np.random.default_rng(0)
            for r in range(60):
                chosen = random.integers(cases.units, size=cases.units)
                scores_R[r] = mean_score(self._medians_K(iou_NK[chosen], cases.present()))
        scores_S = np.array([mean_score(self.by_class(cases)) for cases in cases_S])
        return Blocks.from_replicates(scores_S, replicates_SR, cases_S[0].units, has_seeds)


def test_a_new_kind_of_score_needs_no_more_than_its_entry(compared: Compared, monkeypatch: pytest.MonkeyPatch):
    score = MedianIou(base="median_iou", heading="median IoU", formula="the median over pictures", empty="left out",
                      tables=("rest",))
    monkeypatch.setattr(evidence, "SCORES", (*SCORES, score))
    monkeypatch.setitem(BY_NAME, score.name, score)
    results = [dataclasses.replace(result) for result in compared.variants[0].results]  # no cached scores
    good = [dataclasses.replace(compared.variants[0], results=results)]
    found = row(Evidence(good, MARGIN).score_table(), split="test", score="median_iou")
    medians = [np.nanmedian(HEADLINE.by_picture(result.cases["test"])[:, :3], axis=0).mean()
               for result in good[0].results]
    assert found["mean"] == pytest.approx(np.mean(medians)) and found["n"] == 26
    assert found["low"] < found["mean"] < found["high"]


def test_two_scores_of_one_variant_are_paired_over_its_seeds(compared: Compared):
    """Each seed's own difference, with Student's t if nothing varies between pictures."""
    variant, names = compared.variant(BAD), ("recall_dataset", "precision_dataset")
    found = compared.evidence.tested(*((variant, name) for name in names)).interval
    first_S, second_S = (variant.scores_S("test", name) for name in names)
    assert found.value == pytest.approx((first_S - second_S).mean())
    assert found.of == SEEDS_AND_PICTURES
    same = compared.evidence.tested((variant, names[0]), (variant, names[0])).interval
    assert same.value == same.variance == 0  # as two variants, these would have the variance of their seeds


def test_shared_seeds_cancel_in_a_difference_of_one_variant():
    """All of the variance between seeds is shared here, so that none is left in the difference."""
    random = np.random.default_rng(4)
    seeds_S1, units_U = random.normal(0, 0.1, (4, 1)), random.normal(0, 0.05, 100)
    a, b = (Blocks(scores_S=(level + seeds_S1)[:, 0], units=100, informed=np.array(100),
                   deviations_SX=np.tile((part * units_U - (part * units_U).mean()) / 100, (4, 1)))
            for level, part in ((0.7, 1.0), (0.5, 0.5)))
    pair, = compare_with_zero([a.minus(b)], margin=0.01)
    assert pair.difference.value == pytest.approx(0.2) and pair.verdict == "better"
    low, high = pair.difference.interval()
    assert high - low < 0.02


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_difference_of_one_variant_needs_seeds_like_any_other(seeds: int):
    blocks = Blocks(scores_S=np.full(seeds, 0.3), deviations_SX=np.full((seeds, 50), 1e-4), units=50,
                    informed=np.array(50))
    pair, = compare_with_zero([blocks], margin=0.01)
    assert pair.verdict == "too few seeds"
    assert compare_with_zero([], margin=0.01) == []


def test_equal_groups_are_seldom_told_apart():
    """Ten differences that are truly 0, of three seeds: in how many studies is any of them called other than 0."""
    random, found = np.random.default_rng(5), []
    for _ in range(400):
        units_DU = random.normal(0, 0.01, (10, 100))
        blocks = [Blocks(scores_S=random.normal(0, 0.02, 3) + units_U.mean(), units=100, informed=np.array(100),
                         deviations_SX=np.tile((units_U - units_U.mean()) / 100, (3, 1))) for units_U in units_DU]
        found.append(any(pair.verdict == "better" for pair in compare_with_zero(blocks, margin=0.001)))
    assert np.mean(found) < 0.07


def test_groups_of_objects_are_compared_within_a_kind_and_a_variant(compared: Compared):
    found = compared.evidence.group_pair_table()
    assert set(found["variant"]) == {GOOD, SAME, BAD} and (found["difference"] >= 0).all()
    assert found.groupby("variant")["by"].value_counts().loc[GOOD].to_dict() == {"size": 3, "objects": 3, "overlap": 1}
    scores = compared.evidence.score_table().query("split == 'test'").set_index(["variant", "score"])["mean"]
    for one in found[found["by"] != "objects"].itertuples():
        expected = scores[one.variant, f"completeness_{one.a}"] - scores[one.variant, f"completeness_{one.b}"]
        assert one.difference == pytest.approx(expected)
    assert set(found["verdict"]) <= {"better", "equivalent", "unknown"}
