"""The sentences at the top of the page: what they say, and that they say no more than the tables do."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from seglib.report import tables, views
from seglib.report.answer import answer, to_settle
from tests.report.synthetic import Study, write


@pytest.fixture
def compared(tmp_path: Path) -> Any:
    """The comparison of a made-up study. `pairs` changes columns of its pairs."""
    def make(pairs: dict[str, Any] | None = None, **study: Any) -> tables.Comparison:
        return tables.read(write(Study(pictures=3, **study), tmp_path, pairs=pairs))
    return make


def text(sentences: list[Any]) -> str:
    return " ".join(sentence.striptags() for sentence in sentences)


def test_an_open_lead_names_what_would_settle_it(compared: Any):
    said = text(answer(compared()))
    assert said.startswith("munet mse_dice20 has the highest mean test IoU, 0.850 (95 % interval 0.840 to 0.860).")
    assert "Its lead over the next, munet mse_dice, is not settled: +0.030" in said
    assert "Holm p = 0.240" in said and "About 1,900 test pictures or 7 seeds would settle it." in said
    assert "Nor is" not in said and "With 3 seeds" in said


def test_a_settled_lead(compared: Any):
    said = text(answer(compared(pairs={"settled": True, "p_holm": 0.0002})))
    assert said.startswith("munet mse_dice20 segments best: test IoU 0.850")
    assert "Its lead over the next, munet mse_dice, is settled: +0.030" in said and "Holm p < 0.001" in said


def test_a_lead_over_the_next_alone(compared: Any):
    said = text(answer(compared(pairs={"settled": lambda pairs: pairs["b"] != "munet dice"})))
    assert said.startswith("munet mse_dice20 has the highest mean")
    assert "munet mse_dice, is settled" in said and "That over munet dice is not." in said


def test_nothing_is_settled(compared: Any):
    said = text(answer(compared(settled=False)))
    assert "Nor is its lead over munet mse or munet dice." in said
    assert "+0.030" in said


def test_many_ties_are_counted(compared: Any):
    said = text(answer(compared(settled=False, models=("a", "b", "c"))))
    assert "Nor is its lead over any of the other 10 variants." in said


def test_one_variant_and_one_seed(compared: Any):
    said = text(answer(compared(losses=("mse",), seeds=(1,))))
    assert "nothing but the baselines to compare it with" in said
    assert re.search(r"Too few seeds to say how much it varies: 0\.\d{3} \(at least 3 are needed\)\.", said)


def test_nothing_to_rank(compared: Any):
    assert text(answer(compared(absent=Study.classes))).endswith("nothing can be ranked.")


@pytest.mark.parametrize(("images", "seeds", "said"), [
    (1900, 7, "About 1,900 test pictures or 7 seeds would settle it."),
    (-1, 7, "About 7 seeds would settle it; more pictures alone would not."),
    (1900, -1, "About 1,900 test pictures would settle it; more seeds alone would not."),
    (1900, 2, "About 1,900 test pictures would settle it."),  # 3 seeds were trained
    (300, 2, "Alone, this comparison would likely be settled with these pictures and seeds; among so many it is not."),
    (-1, -1, "Neither more pictures nor more seeds alone would settle it."),
    (-1, None, "More pictures alone would not settle it."),
    (1900, None, "About 1,900 test pictures would settle it."), (None, None, "")])
def test_what_would_settle_it(compared: Any, images: int | None, seeds: int | None, said: str):
    comparison = compared()
    pair = {"enough_seeds": True, "images_needed": images, "seeds_needed": seeds}
    assert to_settle(pair | {"settled": False}, comparison) == said
    assert to_settle(pair | {"settled": True}, comparison) == ""


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
    assert "The last rows are baselines, which never look at a picture: frequency. They have no rank" in text
    assert "frequency is settled" not in text and "over frequency" not in text


def test_groups_of_pictures_are_counted_as_groups(compared: Any):
    comparison = compared()
    grouped = dataclasses.replace(comparison, summary=comparison.summary | {"units": {"test": 7, "val": 3}})
    pair = comparison.pairs.iloc[0].to_dict() | {"settled": False, "enough_seeds": True, "seeds_needed": -1.0}
    assert to_settle(pair | {"images_needed": 12.0}, grouped) == (
        "About 12 test groups would settle it; more seeds alone would not.")
    said = to_settle(pair | {"images_needed": -1.0}, grouped)
    assert said == "Neither more groups nor more seeds alone would settle it."
