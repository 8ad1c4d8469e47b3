"""Windows of iterations, rows of the history, and what follows from an epoch's score."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seglib.metrics.overlap import recorded
from seglib.training import history
from seglib.training.history import History
from seglib.training.selection import Selection


@given(steps=st.integers(1, 3000), log_every=st.integers(1, 500))
def test_windows_fill_an_epoch_and_are_equally_long(steps: int, log_every: int):
    ends = sorted(history.window_ends(steps, log_every))
    lengths = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    assert ends[-1] == steps and min(lengths) >= 1 and max(lengths) - min(lengths) <= 1
    if steps >= log_every:
        assert 2 / 3 * log_every - 1 < min(lengths) and max(lengths) < 3 / 2 * log_every + 1


@pytest.mark.parametrize(("steps", "log_every", "ends"), [
    (100, 50, {50, 100}), (3, 1, {1, 2, 3}), (7, 50, {7}), (147, 50, {49, 98, 147}), (10, 4, {5, 10})])
def test_where_windows_end(steps: int, log_every: int, ends: set[int]):
    assert history.window_ends(steps, log_every) == ends


def history_of(steps: int, val_steps: int = 2, log_every: int = 2) -> History:
    """The history of a training with two loss terms, one class and no gradient norms."""
    return History({"mse": 1.0, "dice": 2.0}, has_norms=False, scores=("iou",), classes=1, steps=steps,
                   val_steps=val_steps, log_every=log_every, device=torch.device("cpu"))


def test_rows_are_the_means_of_what_was_recorded():
    """An epoch has windows of two and three steps. Val has batches of four pictures and of one picture."""
    values, val_values = torch.rand(5, 2), torch.tensor([[1.0, 2.0], [6.0, 12.0]])
    found, counts = history_of(5), torch.tensor([[2, 1, 1, 6]])
    found.start_epoch()
    found.start_steps([0.1, 0.2, 0.3, 0.4, 0.5])
    for mse, dice in values:
        found.record({"mse": mse, "dice": dice}, counts, grad_norms_T=None)
        found.learnt()
    found.start_validation()
    for pictures, (mse, dice) in zip((4, 1), val_values, strict=True):
        found.record_validation({"mse": mse, "dice": dice}, 2 * counts)
        found.validated(pictures)
    found.end_validation()
    spans = [values[:2], values[2:], values, torch.tensor([[2.0, 4.0]])]
    assert [row["iteration"] for row in found.rows] == [2, 5, 5, 5]
    assert [row["lr"] for row in found.rows] == [0.2, 0.5, 0.5, 0.5]
    for row, span in zip(found.rows, spans, strict=True):
        mse, dice = span.double().mean(0).tolist()
        assert (row["mse"], row["dice"], row["loss"]) == pytest.approx((mse, dice, mse + 2 * dice))
    assert [row["iou_score"] for row in found.rows] == [None, None, 0.5, 0.5]


def test_the_file_is_what_pandas_would_write(tmp_path: Path):
    rows = [{"iteration": 1, "split": "train", "lr": 0.1 + 0.2, "loss": 1 / 3, "score": None, "norm": math.nan},
            {"iteration": 20, "split": "val", "lr": 0.0, "loss": 1e-12, "score": 123456.789012, "norm": math.inf}]
    history.write(tmp_path / "history.csv", rows)
    assert (tmp_path / "history.csv").read_text() == pd.DataFrame(rows).to_csv(index=False, float_format="%.9g")


def test_a_row_has_the_scores_that_are_asked_for(tmp_path: Path):
    counts_K4 = torch.tensor([[6, 2, 0, 8], [3, 0, 1, 12], [0, 5, 0, 11]])  # the third class is nowhere
    row = history.row({"mse": 2.0}, [0.5], iteration=3, epoch=1, split="val", span="epoch", lr=0.0,
                      scores=recorded("precision"), counts_K4=counts_K4)
    history.write(tmp_path / "history.csv", history.marked([row], 1))
    read, = pd.read_csv(tmp_path / "history.csv").to_dict("records")
    assert (read["loss"], read["kept"]) == (1.0, 1)
    assert read["precision_score"] == pytest.approx((6 / 8 + 3 / 3) / 2)
    assert read["iou_score"] == pytest.approx((6 / 8 + 3 / 4) / 2)
    assert read["dice_score"] == pytest.approx((12 / 14 + 6 / 7) / 2)
    assert read["pixel_accuracy_score"] == pytest.approx((14 / 16 + 15 / 16) / 2)


@pytest.mark.parametrize("best_by", ["iou", "dice", "loss", None])
def test_scores_that_every_history_has_are_there_once(best_by: str | None):
    assert recorded(best_by) == ("iou", "dice", "pixel_accuracy")


def test_the_kept_epoch_is_marked_in_the_rows_of_val():
    rows = [{"epoch": epoch, "split": split} for epoch in (1, 2) for split in ("train", "val")]
    assert [row["kept"] for row in history.marked(rows, 2)] == [None, 0, None, 1]


def val_row(epoch: int, *, iou: float = 0.0, loss: float = 0.0) -> dict[str, Any]:
    return {"epoch": epoch, "loss": loss, "iou_score": iou, "dice_score": 1 - iou}


@pytest.mark.parametrize(("by", "kept"), [("iou", 3), ("dice", 4), ("loss", 2)])
def test_the_best_epoch_by_any_score(by: str, kept: int):
    selection, network = Selection(by, keeps_best=True), nn.Linear(1, 1)
    for epoch, (iou, loss) in enumerate([(0.5, 0.9), (0.2, 0.1), (0.7, 0.4), (0.1, 0.5)], start=1):
        nn.init.constant_(network.weight, epoch)
        selection.see(val_row(epoch, iou=iou, loss=loss), network.state_dict)
    assert selection.epoch == selection.better_at == kept
    assert selection.weights(network.state_dict())["weight"].item() == kept


def test_of_equal_epochs_the_last_is_kept_but_none_is_better():
    selection, network = Selection("iou", keeps_best=True), nn.Linear(1, 1)
    for epoch, iou in enumerate([0.5, 0.5, 0.4], start=1):
        selection.see(val_row(epoch, iou=iou), network.state_dict)
    assert (selection.epoch, selection.better_at) == (2, 1)


def test_an_epoch_without_a_score_is_never_better():
    selection, network = Selection("iou", keeps_best=True), nn.Linear(1, 1)
    selection.see(val_row(1, iou=math.nan), network.state_dict)
    assert (selection.epoch, selection.better_at) == (1, 0)
    selection.see(val_row(2, iou=0.0), network.state_dict)
    selection.see(val_row(3, iou=math.nan), network.state_dict)
    assert (selection.epoch, selection.better_at) == (2, 2)
