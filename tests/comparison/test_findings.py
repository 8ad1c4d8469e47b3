"""Which variant leads and how sure that is, from the tables of real evidence; and the result in one line."""

import dataclasses
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seglib.comparison.evidence import Evidence
from seglib.comparison.findings import answer, conclusion, dice_names
from seglib.comparison.tables import seed_table
from tests.comparison.conftest import BAD, GOOD, MARGIN, SAME, Compared, with_seeds


def answer_of(study: Compared, **pairs: Any) -> dict[str, Any]:
    """The answer of a study, with some columns of its pairs replaced."""
    scores, table = study.evidence.score_table(), study.evidence.pair_table()
    table = table.assign(**pairs)
    seedless = [variant.label for variant in study.variants if variant.seeds is None]
    return answer(study.evidence.ranking(scores, table), table, seed_table(study.variants), seedless=seedless)


def test_the_lead_is_over_the_next_and_says_over_whom_it_is_unknown(made_up: Compared):
    found = answer_of(made_up)
    assert (found["variants"], found["compared"], found["most_seeds"]) == (3, 3, 3)
    assert found["first"]["variant"] == found["lead"]["variant"] == GOOD
    assert found["lead"]["next"] == SAME and found["lead"]["unknown"] == [SAME]  # SAME has the same results
    assert found["lead"]["equivalent"] == []
    assert found["too_few_seeds"] == found["seeds_of_too_few"] == [] and not found["all_too_few"]
    np.testing.assert_allclose(found["first"]["by_seed"], made_up.variant(GOOD).scores_S("test", "iou_dataset"))


def test_a_lead_on_another_score_decides_nothing(made_up: Compared):
    found = answer_of(made_up, verdict=lambda pairs: np.where(pairs["score"] == "iou_dataset", "unknown", "better"))
    assert found["lead"]["unknown"] == [SAME, BAD]


def test_only_variants_with_enough_seeds_are_compared(mixed: Compared):
    few = answer_of(with_seeds(mixed, 1, "convnet ce"))
    assert few["too_few_seeds"] == ["convnet ce"] and few["seeds_of_too_few"] == [1] and not few["all_too_few"]
    assert (few["variants"], few["compared"], few["lead"]["next"]) == (3, 2, "frequency")
    assert few["first"]["variant"] == "unet ce" and len(few["first"]["by_seed"]) == 4
    none = answer_of(with_seeds(mixed, 2, "convnet ce", "unet ce"))
    assert none["lead"] is None and none["all_too_few"] and none["seeds_of_too_few"] == [2]


def test_without_a_score_there_is_no_answer():
    ranking = pd.DataFrame([{"variant": "a", "mean": np.nan, "seeds": 3, "enough_seeds": True}])
    seeds = pd.DataFrame({"variant": ["a"], "split": "test", "seed": [1], "iou_dataset": np.nan})
    found = answer(ranking, pd.DataFrame(columns=["a", "b", "score", "verdict"]), seeds, seedless=[])
    assert found["first"] is found["lead"] is None and found["variants"] == 0
    assert conclusion(found, 0.95) == "no test picture holds any class, so no variant has a score"


def test_the_conclusion_calls_a_variant_best_only_if_it_is_better_than_every_other(made_up: Compared):
    score = r"IoU 0\.\d+ \(95% interval 0\.\d+ to 0\.\d+\)"
    assert re.fullmatch(rf"best on test: {GOOD}, {score}", conclusion(answer_of(made_up, verdict="better"), 0.95))
    assert re.fullmatch(rf"highest mean on test: {GOOD}, {score}", conclusion(
        answer_of(made_up, verdict=lambda pairs: np.where(pairs["b"] == BAD, "equivalent", "better")), 0.95))


def test_the_conclusion_calls_no_variant_best_with_too_few_seeds(one_seed: Compared, two_seeds: Compared,
                                                                 mixed: Compared):
    for study, few in ((one_seed, 1), (two_seeds, 2)):
        seeds = study.variant(GOOD).scores_S("test", "iou_dataset")
        listed = ", ".join(f"{score:.3f}" for score in seeds)
        assert conclusion(answer_of(study), 0.95) == (
            f"too few seeds ({few}) to call a variant best; highest mean test IoU: {GOOD}, {seeds.mean():.3f} "
            f"(seeds {listed})")
    assert " on test: unet ce, IoU " in conclusion(answer_of(mixed), 0.95)
    said = conclusion(answer_of(with_seeds(mixed, 1, "convnet ce")), 0.95)
    assert said.startswith("too few seeds (1) to call a variant best; highest mean test IoU: unet ce, 0.")
    assert len(said.partition("(seeds ")[2].split(", ")) == 4


def test_the_conclusion_of_a_model_without_seeds_lists_none(mixed: Compared):
    variants = [mixed.variant("frequency"), *with_seeds(mixed, 1, "convnet ce").variants[1:2]]
    study = dataclasses.replace(mixed, variants=variants, evidence=Evidence(variants, MARGIN))
    assert re.fullmatch(r"too few seeds \(1\) to call a variant best; highest mean test IoU: frequency, 0\.\d{3}",
                        conclusion(answer_of(study), 0.95))


@pytest.mark.parametrize(("values", "lowest", "highest"), [
    ([0.8, 0.6, 0.7], 0.6, 0.8), ([0.8, np.nan, np.nan], None, None)])
def test_dice_scores_of_one_variant_lie_between_two_values(values: list[float], lowest: float | None,
                                                          highest: float | None):
    table = pd.DataFrame({"variant": ["a", "a", "a", "a", "b"], "value": [*values, 0.99, 0.1],
                          "definition": ["x", "y", "z", "pixel_accuracy", "x"]})
    assert dice_names(table, "a") == {"variant": "a", "lowest": lowest, "highest": highest, "pixel_accuracy": 0.99}
    assert dice_names(table, "b")["pixel_accuracy"] is None
