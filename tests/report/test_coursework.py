"""The answers to the coursework's questions: what the sentences say, and on which pages they stand."""

from pathlib import Path
from typing import Any

import pytest

from seglib.report import tables
from seglib.report.coursework import coursework, dice_scale
from tests.report.synthetic import Study, write


@pytest.fixture
def asked(tmp_path: Path) -> Any:
    """What the section says of a made-up study: all sentences under the name of their question.

    `pairs` changes columns of its pairs.
    """
    def make(pairs: dict[str, Any] | None = None, **study: Any) -> dict[str, Any]:
        dataset = study.pop("dataset", f"shapes{len(list(tmp_path.iterdir()))}")
        found = coursework(tables.read(write(Study(pictures=3, dataset=dataset, **study), tmp_path, pairs=pairs)))
        return {question: " ".join(sentence.striptags() for sentence in found[question])
                for question in ("dice_scale", "variation", "seen", "falling_loss")}
    return make


def test_the_scale_follows_gradients_and_the_sweep(asked: Any):
    said = asked()["dice_scale"]
    assert "k = 3 at first, 1.5 in the middle and 0.5 at the end" in said
    assert "The stronger term throughout, by more than a factor of 2, was Dice in munet mse_dice20." in said
    assert "munet, test IoU: MSE alone: 0.790" in said and "k = 20 has the highest mean of the mixtures." in said
    assert "It is better than MSE alone and better than Dice alone." in said
    assert "Whether it is better than k = 1 is unknown." in said


def test_one_scale_is_no_sweep(asked: Any):
    said = asked(losses=("mse", "mse_dice", "dice"))["dice_scale"]
    assert "did not run MSE + k·Dice with more than one k on any model (it ran k = 1)" in said


def test_a_sweep_at_each_scale_of_targets_is_told_apart(asked: Any):
    said = asked(models=("munet", "munet_label"), losses=("mse_dice20", "mse_dice", "mse_dice400", "mse"))["dice_scale"]
    assert said.count("Scaling Dice matters through the gradients") == 1
    for targets in ("unit", "label"):
        assert f"On the output layer of networks with targets: {targets}, the gradients of both terms" in said


def test_sweeps_of_one_model_say_in_what_they_differ():
    points = [{"k": k, "mean": 0.5, "low": 0.4, "high": 0.6} for k in (1, 40)]
    sweeps = [{"model": model, "settings": {"targets": "unit"} | options, "points": points, "highest": points[0],
               "against": []} for model, options in (("a", {"dice_reduction": "image"}),
                                                     ("a", {"dice_reduction": "batch"}), ("b", {}))]
    first, second, third = dice_scale({"equal": [], "sweeps": sweeps, "ran": [1, 40]})[1:]
    assert first.striptags().startswith("a (dice_reduction: image), test IoU")
    assert second.striptags().startswith("a (dice_reduction: batch), test IoU") and "targets" not in first + second
    assert third.striptags().startswith("b, test IoU")


def test_nothing_is_said_of_dice_if_there_is_none(asked: Any):
    assert asked(losses=("ce_weighted",), frequency=True)["dice_scale"] == ""


def test_no_mixture_has_no_gradients_to_compare(asked: Any):
    said = asked(losses=("mse", "dice"))["dice_scale"]
    assert "did not train MSE and Dice together" in said and "more than one k on any model, so" in said


def test_variation_of_losses_models_and_seeds(asked: Any):
    said = asked(models=("munet", "unet"))["variation"]
    assert "between losses on one model" in said and "between models with one loss" in said
    assert "between seeds of one variant" in said and "A standard deviation from 3 seeds is itself rough." in said
    assert "The completeness of munet mse_dice20 is 0.900 in small objects against 0.820 in large objects" in said


def test_variation_says_what_was_not_run(asked: Any):
    said = asked(seeds=(1,))["variation"]
    assert "did not run several models with one loss" in said and "Seeds were not varied" in said
    assert "seeds alone" not in said and "Completeness" not in said


def test_the_spread_of_losses_is_without_that_of_seeds(asked: Any):
    said = asked()["variation"]
    assert "Without the variation between seeds, the standard deviation between losses on one model is 0.03" in said
    assert "Seeds alone would explain" not in said and "unknown" not in said


def test_a_spread_that_no_pair_decides_is_not_given(asked: Any):
    said = asked(decided=False)["variation"]
    assert "It is unknown whether the spread between losses on one model is larger than seeds alone would give." in said
    assert "Without the part" not in said and "Completeness" not in said


def test_a_spread_as_small_as_that_of_seeds_is_explained_by_them(asked: Any):
    said = asked(decided=False, gap=0.0)["variation"]
    assert "Seeds alone would explain the spread between losses on one model." in said
    assert "Without the part" not in said and "unknown" not in said


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_a_spread_of_too_few_seeds_is_only_described(asked: Any, seeds: tuple[int, ...]):
    said = asked(seeds=seeds)["variation"]
    assert "0.039 between losses on one model" in said and "eeds alone" not in said and "unknown" not in said


def test_pictures_tell_losses_apart(asked: Any):
    assert asked()["seen"] == ("munet mse_dice20 is better than munet dice on completeness (0.762 against 0.672) and "
                               "boundary IoU (0.802 against 0.712).")


def test_pictures_of_unknown_pairs_name_no_loss(asked: Any):
    said = asked(decided=False)["seen"]
    assert said == "It is unknown whether the losses on munet differ on completeness or boundary IoU."


def test_pictures_of_equivalent_losses_are_called_so(asked: Any):
    said = asked(pairs={"verdict": "equivalent"})["seen"]
    assert said == "The losses on munet are equivalent on completeness and boundary IoU."


def test_a_variant_of_which_seeds_failed_does_not_win_by_drawing_nothing(asked: Any):
    said = asked(failed={"munet dice": 1})["seen"]
    assert said.startswith("Seeds of munet dice failed, so it is not compared on holes, specks, completeness, "
                           "wrong classes, missed small objects or missed covered objects: a mask of nothing or of "
                           "everything can win these. ")
    assert "failed" not in asked(dataset="sound")["seen"]


def test_pictures_tell_models_of_one_loss_apart(asked: Any):
    said = asked(models=("unet", "resnet", "convnet"), losses=("ce_weighted",), frequency=True)["seen"]
    assert said.startswith("unet ce_weighted is better than convnet ce_weighted on completeness")
    assert "frequency" not in said


def test_pictures_of_one_loss(asked: Any):
    assert "nothing to tell apart" in asked(losses=("mse",))["seen"]


def test_a_lower_loss_with_a_lower_score(asked: Any):
    said = asked()["falling_loss"]
    assert "By the raw loss, munet dice ends lower than munet mse_dice20" in said and \
        "but munet mse_dice20 is better: test IoU 0.850 against 0.760." in said
    known = "No pair is known in which the better variant ends with a higher value of the min-max normalised loss."
    assert known in said


def test_no_loss_is_held_against_a_score_that_is_unknown(asked: Any):
    said = asked(decided=False)["falling_loss"]
    assert "No trained variant is known to be better than another" in said
    assert "ends lower" not in said and "end higher" not in said


def test_loss_and_score_that_fall_together(asked: Any):
    assert "of 5 steps" in (said := asked(losses=("mse",), seeds=(1,))["falling_loss"])
    assert "the val IoU fell too in none." in said


def test_the_section_is_drawn_only_for_datasets_that_the_coursework_studied(built: Any):
    text, _ = built(Study())
    for part in ('id="d1-course"', 'href="#d1-course"', "What explains the variations?"):
        assert part in text


def test_a_users_own_dataset_has_no_such_section(built: Any):
    text, _ = built(Study(coursework=False, displayed=True))
    for part in ("d1-course", "What explains the variations?", "DLStudio’s code"):
        assert part not in text
    assert "segment" in text and 'href="#d1-data"' in text


@pytest.mark.parametrize("displayed", [True, False])
def test_display_bands_have_a_table_if_a_variant_has_label_values(built: Any, displayed: bool):
    text, _ = built(Study(displayed=displayed))
    assert ("What would DLStudio’s code display?" in text) == displayed
    assert text.count("how displayed is counted.") == displayed
