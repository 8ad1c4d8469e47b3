"""What can be held against a published figure: numbers about data, and numbers about one training.

A value is NaN for a result that has none, such as a training that ended before the iteration in question.

Shapes: K classes.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from seglib.comparison.variants import Result
from seglib.datasets.store import Contents, DatasetInfo

NEAR = 0.01  # of an iteration's number: how far away a window may end


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """What is known of a dataset, prepared or only checked.

    class_pixels, valid_pixels: of the train split.
    """

    pictures: dict[str, int]  # by split
    image_size: Sequence[int]  # (H, W) that networks see
    classes: Sequence[str]
    label_values: Sequence[float]
    class_pixels: Sequence[int]
    valid_pixels: int
    generated: bool

    @classmethod
    def of_prepared(cls, info: DatasetInfo, contents: Contents, *, generated: bool) -> Self:
        return cls(pictures=contents.counts, image_size=info.image_size, classes=info.classes,
                   label_values=info.label_values, class_pixels=info.class_pixels, valid_pixels=info.valid_pixels,
                   generated=generated)

    def shares_K(self) -> np.ndarray:
        """The share of the valid training pixels that each class covers."""
        return np.asarray(self.class_pixels) / max(self.valid_pixels, 1)


def zero_output_mse(data: Data) -> float:
    """The mean squared error of an output of zeros against label-valued targets, as a mean over pixels and classes."""
    return float((data.shares_K() * np.square(data.label_values)).mean())


STRUCTURE: dict[str, Callable[[Data], int]] = {  # data that differ in one of these are other data
    "pictures": lambda data: sum(data.pictures.values()),
    "train_pictures": lambda data: data.pictures["train"] + data.pictures.get("val", 0),
    "test_pictures": lambda data: data.pictures["test"],
    "image_height": lambda data: data.image_size[0], "image_width": lambda data: data.image_size[1],
    "classes": lambda data: len(data.classes)}

DATA: dict[str, Callable[[Data], float]] = {**STRUCTURE, "zero_output_mse": zero_output_mse}

DATA_TITLES = {
    "pictures": "pictures", "train_pictures": "training and validation pictures", "test_pictures": "test pictures",
    "image_height": "height of a picture", "image_width": "width of a picture", "classes": "classes",
    "zero_output_mse": "MSE of an output of zeros"}


def _running_loss(result: Result, when: int, _: Data) -> float:
    """The mean loss of the window that ends at iteration `when`, or within 1 % of it.

    An epoch rarely has a multiple of `log_every` iterations, so a window seldom ends exactly there.
    """
    windows = result.history[(result.history["split"] == "train") & (result.history["span"] == "window")]
    away = (windows["iteration"] - when).abs()
    return float(windows.loc[away.idxmin(), "loss"]) if len(windows) and away.min() <= NEAR * when else float("nan")


def _epoch_loss(split: str) -> Callable[[Result, int, Data], float]:
    def quantity(result: Result, when: int, _: Data) -> float:
        epochs = result.epochs(split)
        return _first(epochs.loc[epochs["epoch"] == when, "loss"])
    return quantity


def _best_val(score: str) -> Callable[[Result, int, Data], float]:
    def quantity(result: Result, when: int, _: Data) -> float:
        val = result.epochs("val")
        if val["epoch"].max() < when:
            return float("nan")
        return float(val.loc[val["epoch"] <= when, f"{score}_score"].max())
    return quantity


def _first(values: Sequence[float]) -> float:
    return float(values.iloc[0]) if len(values) else float("nan")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """A number about a training at a moment."""

    of: Callable[[Result, int, Data], float]
    counted_in: str  # what a moment is: "iteration" or "epoch"
    title: str


TRAINED = {
    "running_loss": Trained(of=_running_loss, counted_in="iteration",
                            title="running mean of the training loss at iteration {}"),
    "running_loss_of_zero_output": Trained(
        of=lambda result, when, data: _running_loss(result, when, data) / zero_output_mse(data),
        counted_in="iteration", title="running mean of the training loss at iteration {}, over that of zeros"),
    "train_loss": Trained(of=_epoch_loss("train"), counted_in="epoch", title="training loss of epoch {}"),
    "val_loss": Trained(of=_epoch_loss("val"), counted_in="epoch", title="validation loss of epoch {}"),
    **{f"best_val_{score}": Trained(of=_best_val(score), counted_in="epoch",
                                    title=f"best val {title} by epoch {{}}")
       for score, title in (("iou", "IoU"), ("dice", "Dice"), ("pixel_accuracy", "pixel accuracy"))}}
