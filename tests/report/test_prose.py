"""Sentences from tables: what they say, and that they say no more than the tables do."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from seglib.report import falling_loss, prose, seen, tables
from seglib.report.answer import answer, to_settle
from seglib.report.tables import Comparison
from tests.report.synthetic import Study, write


@pytest.fixture
def compared(tmp_path: Path) -> Any:
    return lambda **study: tables.read(write(Study(pictures=3, **study), tmp_path))


def text(sentences: list[Any]) -> str:
    return " ".join(sentence.striptags() for sentence in sentences)


def with_table(comparison: Comparison, name: str, table: pd.DataFrame) -> Comparison:
    return dataclasses.replace(comparison, **{name: table})


def with_pairs(comparison: Comparison, **columns: Any) -> Comparison:
    return with_table(comparison, "pairs", comparison.pairs.assign(**columns))


def test_an_open_lead_names_what_would_settle_it(compared: Any):
    said = text(answer(compared()))
    assert said.startswith("munet mse_dice20 has the highest mean test IoU, 0.850 (95 % interval 0.840 to 0.860).")
    assert "Its lead over the next, munet mse_dice, is not settled: +0.030" in said
    assert "Holm p = 0.240" in said and "About 1,900 test pictures or 7 seeds would settle it." in said
    assert "Nor is" not in said and "With 3 seeds" in said


def test_a_settled_lead(compared: Any):
    said = text(answer(with_pairs(compared(), settled=True, p_holm=0.0002)))
    assert said.startswith("munet mse_dice20 segments best: test IoU 0.850")
    assert "Its lead over the next, munet mse_dice, is settled: +0.030" in said and "Holm p < 0.001" in said


def test_a_lead_over_the_next_alone(compared: Any):
    comparison = compared()
    far = (comparison.pairs["b"] == "munet dice")
    said = text(answer(with_pairs(comparison, settled=~far)))
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
    assert "nothing to compare it with" in said
    assert re.search(r"Too few seeds to say how much it varies: 0\.\d{3} \(at least 3 are needed\)\.", said)


def test_nothing_to_rank(compared: Any):
    assert text(answer(compared(absent=Study.classes))).endswith("nothing can be ranked.")


@pytest.mark.parametrize(("images", "seeds", "said"), [
    (1900, 7, "About 1,900 test pictures or 7 seeds would settle it."),
    (-1, 7, "About 7 seeds would settle it; more pictures alone would not."),
    (1900, -1, "About 1,900 test pictures would settle it; more seeds alone would not."),
    (1900, 2, "About 1,900 test pictures would settle it."),  # 3 seeds were trained
    (300, 2, "One such comparison would likely be settled with what is there; among so many it is not."),
    (-1, -1, "Neither more pictures nor more seeds alone would settle it."),
    (-1, None, "More pictures alone would not settle it."),
    (1900, None, "About 1,900 test pictures would settle it."), (None, None, "")])
def test_what_would_settle_it(compared: Any, images: int | None, seeds: int | None, said: str):
    comparison = compared()
    pair = {"enough_seeds": True, "images_needed": images, "seeds_needed": seeds}
    assert to_settle(pair | {"settled": False}, comparison) == said
    assert to_settle(pair | {"settled": True}, comparison) == ""


def test_the_scale_follows_gradients_and_the_sweep(compared: Any):
    comparison = compared()
    said = text(prose.dice_scaling(comparison))
    assert "k = 3 at first, 1.5 in the middle and 0.5 at the end" in said
    assert "the stronger one throughout was Dice in munet mse_dice20." in said
    assert "munet, test IoU: MSE alone: 0.790" in said and "Of the mixtures, k = 20 has the highest mean." in said
    assert "Settled: it is better than MSE alone and better than Dice alone." in said
    assert "Not settled: its difference to k = 1." in said
    assert [row["pulls"]["first"] for row in prose.gradients(comparison)] == ["Dice", "MSE"]


def test_one_scale_is_no_sweep(compared: Any):
    said = text(prose.dice_scaling(compared(losses=("mse", "mse_dice", "dice"))))
    assert "did not run MSE + k·Dice with more than one k on any model (it ran k = 1)" in said


def test_a_sweep_at_each_scale_of_targets_is_told_apart(compared: Any):
    comparison = compared(losses=("mse_dice20", "mse_dice", "mse_dice400", "mse"))
    configs = comparison.summary["configs"]
    label = {f"{variant} label": config | {"train": config["train"] | {"targets": "label"}}
             for variant, config in configs.items()}
    renamed = {name: pd.concat([table, table.assign(variant=table["variant"] + " label")])
               for name, table in (("scores", comparison.scores), ("gradients", comparison.gradients))}
    both = dataclasses.replace(comparison, summary=comparison.summary | {"configs": configs | label}, **renamed)
    said = text(prose.dice_scaling(both))
    assert said.count("Scaling Dice matters through the gradients") == 1
    for targets in ("unit", "label"):
        assert f"On the output layer of networks with targets: {targets} both terms" in said
        assert f"munet (targets: {targets}), test IoU: MSE alone" in said


def test_nothing_is_said_of_dice_where_there_is_none(compared: Any):
    assert prose.dice_scaling(compared(losses=("ce_weighted",), frequency=True)) == []


def test_no_mixture_has_no_gradients_to_compare(compared: Any):
    said = text(prose.dice_scaling(compared(losses=("mse", "dice"))))
    assert "did not train MSE and Dice together" in said and "more than one k on any model, so" in said


def test_a_vanished_gradient_divides_nothing(compared: Any):
    comparison = compared()
    table = comparison.gradients.assign(last=0.0)
    assert "at the end" not in text(prose.dice_scaling(with_table(comparison, "gradients", table)))


def test_variation_of_losses_models_and_seeds(compared: Any):
    said = text(prose.variation(compared(models=("munet", "unet"))))
    assert "between losses on one model" in said and "between models with one loss" in said
    assert "between seeds of one variant" in said and "A standard deviation from 3 seeds is itself rough." in said


def test_variation_says_what_was_not_run(compared: Any):
    said = text(prose.variation(compared(seeds=(1,))))
    assert "did not run several models with one loss" in said and "Seeds were not varied" in said
    assert "times that between seeds" not in said


def test_pictures_tell_losses_apart_only_where_intervals_are(compared: Any):
    comparison = compared()
    said = text(seen.seen_sentences(comparison))
    assert "munet dice: " in said and "worst boundaries (0.712)" in said
    wide = comparison.scores.assign(low=-9.0, high=9.0)
    said = text(seen.seen_sentences(with_table(comparison, "scores", wide)))
    assert said == ("On munet the losses are not told apart by holes, specks, completeness, wrong classes, missed "
                    "small objects, missed covered objects or boundaries.")


def test_pictures_tell_models_of_one_loss_apart(compared: Any):
    comparison = compared(models=("unet", "convnet"), losses=("ce_weighted",), frequency=True)
    said = text(seen.seen_sentences(comparison))
    assert "convnet ce_weighted: " in said and "frequency" not in said
    wide = comparison.scores.assign(low=-9.0, high=9.0)
    said = text(seen.seen_sentences(with_table(comparison, "scores", wide)))
    assert said.startswith("With ce_weighted the models are not told apart by holes, specks")


def test_pictures_of_one_loss(compared: Any):
    assert "nothing to tell apart" in text(seen.seen_sentences(compared(losses=("mse",))))


def test_a_lower_loss_with_a_lower_score(compared: Any):
    said = text(falling_loss.falling_loss(compared()))
    assert "By the raw loss, munet dice ends lower than munet mse_dice20" in said and "0.760 against 0.850" in said


def test_no_such_pair_is_said_to_be_none(compared: Any):
    comparison = compared(losses=("mse", "dice"))
    assert text(falling_loss.falling_loss(with_pairs(comparison, settled=True))).count("it did not occur here") >= 1


def test_loss_and_score_that_fall_together(compared: Any):
    comparison = compared(losses=("mse",), seeds=(1,))
    curves = pd.DataFrame({"variant": "munet mse", "seed": 1, "curve": "val epoch", "iteration": [1, 2, 3, 4],
                           "loss": [4.0, 3, 2, 5], "iou_score": [0.5, 0.6, 0.4, 0.3], "normalised": 0.0})
    said = text(falling_loss.falling_loss(with_table(comparison, "curves", curves)))
    assert "of 2 steps" in said and "the val IoU fell too in 1." in said


def test_dice_by_other_names(compared: Any):
    said = text(prose.dice_names(compared()))
    assert "score 0.620 to 0.870" in said and "Pixel accuracy, 0.985 here, is not Dice" in said


def test_names_are_escaped_in_sentences(compared: Any):
    comparison = compared(models=("<b>",), losses=("mse",), seeds=(1,))
    assert "<em>&lt;b&gt; mse</em>" in " ".join(answer(comparison))
