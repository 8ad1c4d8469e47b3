"""The sentences at the top of the page: what they say, and that they say no more than the tables do."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglib.report import tables, views
from seglib.report.answer import answer, would_show
from tests.report.synthetic import Study, write


@pytest.fixture
def compared(tmp_path: Path) -> Any:
    """The comparison of a made-up study. `pairs` changes columns of its pairs."""
    def make(pairs: dict[str, Any] | None = None, **study: Any) -> tables.Comparison:
        return tables.read(write(Study(pictures=3, **study), tmp_path, pairs=pairs))
    return make


def text(sentences: list[Any]) -> str:
    return " ".join(sentence.striptags() for sentence in sentences)


def test_an_unknown_lead_names_what_would_show_a_difference(compared: Any):
    said = text(answer(compared()))
    assert said.startswith("munet mse_dice20 has the highest mean test IoU, 0.850 (95 % interval 0.840 to 0.860 for "
                           "other seeds and other pictures).")
    assert "Whether it is better than the next, munet mse_dice, is unknown: +0.030 (-0.012 to +0.072)." in \
        said.replace("−", "-")
    assert ("Detecting a difference of 0.01 in 4 of 5 studies takes 5 to 31 seeds or at least 1,900 test pictures."
            ) in said
    assert "Holm p" not in said and "With 3 seeds" in said


def test_a_lead_over_all(compared: Any):
    said = text(answer(compared(pairs={"verdict": "better", "p_holm": 0.0002})))
    assert said.startswith("munet mse_dice20 segments best: test IoU 0.850")
    assert "It is better than the next, munet mse_dice: +0.030" in said and "Holm p < 0.001" in said


def test_a_lead_over_the_next_alone(compared: Any):
    said = text(answer(compared(pairs={"verdict": lambda pairs: np.where(pairs["b"] == "munet dice", "unknown",
                                                                         "better")})))
    assert said.startswith("munet mse_dice20 has the highest mean")
    assert "better than the next, munet mse_dice:" in said
    assert "Whether it is better than munet dice is unknown." in said


def test_equivalent_variants_are_called_so_without_a_p(compared: Any):
    said = text(answer(compared(pairs={"verdict": "equivalent"})))
    assert said.startswith("munet mse_dice20 has the highest mean") and "Holm p" not in said
    assert "The next, munet mse_dice, is equivalent to it: they differ by less than 0.01; +0.030" in said
    assert "It is equivalent to munet mse and munet dice." in said


def test_nothing_is_known(compared: Any):
    said = text(answer(compared(decided=False)))
    assert "Whether it is better than munet mse or munet dice is unknown." in said
    assert "+0.030" in said


def test_many_unknown_pairs_are_counted(compared: Any):
    said = text(answer(compared(decided=False, models=("a", "b", "c"))))
    assert "Whether it is better than any of the other 10 variants is unknown." in said


def test_one_variant_and_one_seed(compared: Any):
    said = text(answer(compared(losses=("mse",), seeds=(1,))))
    assert "nothing but the baselines to compare it with" in said
    assert "0.850 (95 % interval 0.840 to 0.860 for these weights, other pictures)" in said
    assert re.search(r"There are too few seeds to say how much it varies: 0\.\d{3}\. Verdicts need at least 3", said)


def test_nothing_to_rank(compared: Any):
    assert text(answer(compared(absent=Study.classes))).endswith("nothing can be ranked.")


@pytest.mark.parametrize(("seeds", "pictures", "said"), [
    ((5, 31), (900, 1900), "5 to 31 seeds or 900 to 1,900 test pictures"),
    ((5, None), (None, None), "at least 5 seeds"),
    ((None, None), (900, 900), "900 test pictures"), ((None, None), (None, None), "")])
def test_what_would_show_a_difference(compared: Any, seeds: tuple, pictures: tuple, said: str):
    comparison = compared()
    pair = dict(zip(("seeds_low", "seeds_high", "units_low", "units_high"), (*seeds, *pictures), strict=True))
    expected = f"Detecting a difference of 0.01 in 4 of 5 studies takes {said}." if said else ""
    assert would_show(pair | {"verdict": "unknown"}, comparison) == expected
    assert would_show(pair | {"verdict": "better"}, comparison) == ""


def test_dice_by_other_names(compared: Any):
    said = text(views.dice_names(compared())["sentences"])
    assert "score 0.620 to 0.870" in said and "Pixel accuracy, 0.985 here, is not Dice" in said


def test_names_are_escaped_in_sentences(compared: Any):
    comparison = compared(models=("<b>",), losses=("mse",), seeds=(1,))
    assert "<em>&lt;b&gt; mse</em>" in " ".join(answer(comparison))


def test_a_baseline_has_a_row_without_a_rank_and_what_equals_it_is_said(built: Any):
    text, _ = built(Study(losses=("mse", "dice"), frequency=True, baseline=True))
    assert ("<em>munet dice</em> predicts the same masks as the baseline <em>frequency</em> on 100 % of the test "
            "pictures.") in text
    assert "The last rows are baselines, which never look at a picture: frequency. They are not ranked" in text
    assert "the next, frequency" not in text and "better than frequency" not in text


def test_groups_of_pictures_are_counted_as_groups(compared: Any):
    comparison = compared()
    grouped = dataclasses.replace(comparison, summary=comparison.summary | {"units": {"test": 7, "val": 3}})
    pair = {"verdict": "unknown", "seeds_low": None, "seeds_high": None, "units_low": 12, "units_high": 20}
    assert would_show(pair, grouped) == "Detecting a difference of 0.01 in 4 of 5 studies takes 12 to 20 test groups."


def test_seeds_that_failed_are_counted_and_their_mean_is_not_trusted(compared: Any):
    said = text(answer(compared(failed={"munet mse": 2, "munet dice": 3})))
    assert ("2 of 3 seeds of munet mse failed: their test IoU is not above 0.031, that of the best baseline, "
            "frequency. The mean of 0.790 combines failed and successful trainings: look at each seed.") in said
    assert "All 3 seeds of munet dice failed: their test IoU is not above 0.031" in said
    assert said.count("combines failed and successful trainings") == 1


def test_a_best_variant_of_which_a_seed_failed_is_never_called_so_without_that(compared: Any):
    better = {"verdict": "better", "p_holm": 0.0002}
    said = text(answer(compared(pairs=better, failed={"munet mse_dice20": 1})))
    assert said.startswith("munet mse_dice20 segments best, though 1 of its 3 seeds failed: test IoU 0.850 (")
    assert "1 of 3 seeds of munet mse_dice20 failed: its test IoU is not above" in said
    said = text(answer(compared(pairs=better, failed={"munet dice": 1}, dataset="other")))
    assert said.startswith("munet mse_dice20 segments best: test IoU")


def test_many_variants_of_which_seeds_failed_are_counted(compared: Any):
    failed = {f"{model} {loss}": 1 for model in ("a", "b") for loss in Study.losses[:3]}
    said = text(answer(compared(models=("a", "b"), failed=failed, floor={"score": 0.25, "baseline": None})))
    assert ("6 of 24 trainings failed: their test IoU is not above 0.25 (compare.failed_below). They belong to "
            "6 variants; see the table of scores.") in said


@pytest.mark.parametrize("floor", [{"score": 0.031, "baseline": "frequency"}, None])
def test_nothing_is_said_of_failures_if_no_seed_failed(compared: Any, floor: dict[str, Any] | None):
    assert "fail" not in text(answer(compared(floor=floor)))


def test_the_only_seed_of_an_only_variant_failed(compared: Any):
    said = text(answer(compared(losses=("mse",), seeds=(1,), failed={"munet mse": 1})))
    assert "The only seed of munet mse failed: its test IoU is not above 0.031" in said and "mixes" not in said


def test_an_interval_says_what_it_is_about(compared: Any):
    """That of a predictor in which nothing is random, and of several seeds."""
    said = text(answer(compared(losses=("mse",), frequency=True)))
    assert "for other seeds and other pictures" in said
    assert views.scopes(compared(losses=("mse",), frequency=True, dataset="both")).striptags() == (
        "other seeds and other pictures (munet mse); these masks, other pictures (frequency)")
    assert views.scopes(compared(seeds=(1,), dataset="one")) == "these weights, other pictures"


def test_dice_scores_that_agree_are_not_said_to_depend_on_their_definition(compared: Any):
    comparison = compared()
    agree = comparison.findings | {"dice_names": {"variant": "a", "lowest": 0.0, "highest": 0.0004,
                                                  "pixel_accuracy": None}}
    assert views.dice_names(dataclasses.replace(comparison, findings=agree))["sentences"] == []
