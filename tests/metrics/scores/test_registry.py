"""What the list of scores promises to tables, page, claims and MLflow."""

import itertools
import json

import pytest

from seglib.metrics.scores import BY_NAME, HEADLINE, PAIRED, SCORES
from seglib.metrics.scores.score import AGGREGATIONS, OBJECTS, PAIRS, PICTURES, TABLES, Facts

PLAIN = Facts(resized=False, exclusive=False)


def test_names_are_unique_and_headings_say_which_scores_share_a_column_head():
    assert len(BY_NAME) == len(SCORES)
    for heading, scores in itertools.groupby(SCORES, key=lambda score: score.heading):
        shared = {(score.base, score.group, score.unit, score.better, score.formula) for score in scores}
        assert len(shared) == 1, heading
    assert len({score.heading for score in SCORES}) == len(list(itertools.groupby(SCORES, lambda s: s.heading)))


def test_a_name_is_made_of_base_and_aggregation_or_group():
    told = {name: (BY_NAME[name].base, BY_NAME[name].aggregation, BY_NAME[name].group) for name in (
        "iou_own_image_mean", "hd95_image_mean", "specks", "missed_small", "completeness_5_objects")}
    assert told == {
        "iou_own_image_mean": ("iou_own", "image_mean", None), "hd95_image_mean": ("hd95", "image_mean", None),
        "specks": ("specks", None, None), "missed_small": ("missed", None, ("size", "small")),
        "completeness_5_objects": ("completeness", None, ("objects", "5 or more"))}
    assert BY_NAME["iou_dataset"].title == "IoU, all pixels" and BY_NAME["missed_small"].title == "missed, small"


def test_every_score_is_fit_for_the_page():
    for score in SCORES:
        assert set(score.tables) <= set(TABLES) and score.aggregation in {None, *AGGREGATIONS}
        assert score.better in ("higher", "lower") and score.formula and score.highest >= 1
        assert score.empty and score.n_of in (PICTURES, PAIRS, OBJECTS)
        json.dumps(score.described(PLAIN))
    assert HEADLINE is PAIRED[0] and HEADLINE.better == "higher"
    assert all(BY_NAME[score.base].group is None for score in SCORES if score.group)  # the score of all objects


@pytest.mark.parametrize(("facts", "tables"), [
    (PLAIN, {"iou_dataset": ["main", "class"], "iou_own_dataset": [], "overall_accuracy": [],
             "missed_covered": ["seen"]}),
    (Facts(resized=True, exclusive=True), {"iou_dataset": ["main", "size", "class"], "iou_own_dataset": ["size"],
                                           "overall_accuracy": ["rest"], "missed_covered": []})])
def test_a_score_is_shown_for_the_datasets_about_which_it_says_something(facts: Facts, tables: dict[str, list[str]]):
    assert {name: BY_NAME[name].described(facts)["tables"] for name in tables} == tables
