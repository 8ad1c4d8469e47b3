"""What is told of trainings: every point of their curves, and where each ended."""

import pandas as pd
import pytest

from seglib.comparison import curves
from tests.comparison.conftest import BAD, EPOCHS, GOOD, SAME, Compared
from tests.comparison.synthetic import epochs_of
from tests.comparison.test_quantities import result_of


def test_curves_keep_every_point_and_span_0_to_1(compared: Compared):
    found = curves.curve_table(compared.variants)
    assert len(found) == sum(len(result.history) for variant in compared.variants for result in variant.results)
    windows = found[found["curve"] == "train window"]
    assert windows.groupby(["variant", "seed"])["normalised"].agg(["min", "max"]).to_numpy().tolist() == [[0, 1]] * 9
    zigzag = windows[(windows["variant"] == BAD) & (windows["seed"] == 1)]
    assert zigzag["normalised"].tolist() == pytest.approx([1, 0.0075, 1, 0, 1])
    assert zigzag["dice"].tolist() == zigzag["loss"].tolist() and zigzag["mse"].isna().all()


def test_gradients_are_first_median_and_last(compared: Compared):
    found = curves.gradient_table(compared.variants).set_index(["variant", "term"])
    assert found.loc[(GOOD, "mse")].tolist() == pytest.approx([1, 6, 6, 6])
    assert found.loc[(GOOD, "dice")].tolist() == pytest.approx([20, 0.2, 0.2, 0.2])  # 0.1, 0.2 and 0.3
    assert (SAME, "dice") not in found.index


def test_a_variant_that_was_not_trained_has_no_curves(mixed: Compared):
    found = curves.curve_table(mixed.variants)
    assert set(found["variant"]) == set(curves.gradient_table(mixed.variants)["variant"]) == {"unet ce", "convnet ce"}
    assert set(found[found["variant"] == "unet ce"]["seed"]) == {1, 2, 3, 4}
    nothing = curves.curve_table([mixed.variant("frequency")])
    assert nothing.empty and set(nothing) <= set(found)


def test_a_constant_loss_is_no_division_by_nothing():
    assert curves._normalised(pd.Series([2.0, 2, 2])).tolist() == [0, 0, 0]


def test_trainings_say_where_they_ended(mixed: Compared):
    found = curves.training_table(mixed.variants).set_index(["variant", "seed"])
    assert sorted(found.index) == [*(("convnet ce", seed) for seed in (1, 2, 3)),
                                   *(("unet ce", seed) for seed in (1, 2, 3, 4))]
    row = found.loc["unet ce", 3]
    assert (row["epochs"], row["trained"], row["kept"], row["kept_by"]) == (9, EPOCHS, 4, "iou")
    assert (row["val_iou"], row["val_dice"], row["lowest_val_loss_epoch"]) == (0.6, 0.6, 3)
    assert row["score_gap"] == pytest.approx(3 / 4 - 0.58) and row["val_loss_rise"] == pytest.approx(1.53 / 1.03 - 1)


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_the_epoch_kept_is_the_one_that_the_history_names(kept: int):
    history = epochs_of([3, 2, 1], [1, 2, 3], kept=kept, val_iou=[0.9, 0.1, 0.2])
    assert curves.kept_epoch(result_of(history)) == kept
