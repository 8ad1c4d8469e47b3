"""published.yaml: what the repository holds, what a file may hold, and each verdict from results of known values."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seglib import params, resolve
from seglib.comparison import agreement, published
from seglib.comparison.agreement import Sources, judge
from seglib.comparison.published import Reproduction
from seglib.comparison.published_values import TRAINED, Data, zero_output_mse
from seglib.comparison.variants import Result, Variant
from seglib.configs import NEUTRAL, PrepareConfig
from seglib.tools import studies
from tests.comparison.synthetic import epochs_of, history_of
from tests.conftest import ROOT

ENTRIES = published.load(ROOT / "published.yaml")
TRAIN = {"schedule": "constant", "epochs": 6, "batch_size": 4, "pictures_per_epoch": None, "augment": None,
         "lr": 1e-4}
DATA = Data(pictures={"train": 90, "val": 10, "test": 20}, image_size=[8, 8], classes=["disk", "star"],
            label_values=[100.0, 200.0], class_pixels=[64, 32], valid_pixels=640, generated=False)
PREPARE = PrepareConfig(kind="shapes", options={"source": "purdue"}, image_size=None, resize="stretch",
                        val_fraction=0.1, max_rejected=0.05, allow=[])
COMMON = {"definition": "what it is", "reason": "rounding"}


def entry(figure: dict[str, Any], **changes: Any) -> Reproduction:
    """A reproduction with one figure, of munet and mse, and two counts."""
    counts = {"train": {"quantity": "train_pictures", "value": 100, "tolerance": 0, **COMMON},
              "test": {"quantity": "test_pictures", "value": 20, "tolerance": 0, **COMMON}}
    recipe = {"train": {"epochs": 6, "lr": 1e-4, "pictures_per_epoch": None, "flip": 0},
              "models": {"munet": {"depth": 16}, "unet": {}}, "losses": {"mse": {"terms": {"mse": 1}}}}
    content = {"title": "t", "source": "s", "study": "shapes", "dataset": "shapes", "data": counts, "recipe": recipe,
               "figures": {"one": {"model": "munet", "loss": "mse", "tolerance": 0.2, **COMMON, **figure}}}
    return Reproduction.model_validate(content | changes)


def variant(*ends: float, model: str = "munet", train: dict[str, Any] | None = None, **config: Any) -> Variant:
    """A variant whose seeds' running means are 9, 5 and, at iteration 30, `ends`; its val losses are 4, 2 and `ends`.
    """
    results = [Result(files=None, seed=seed, cases={}, objects=None, weights_sha256=None,
                      history=_history(end)) for seed, end in enumerate(ends)]
    whole = {"model": {"kind": "munet", "depth": 16}, "loss": {"terms": {"mse": 1}}, "train": TRAIN | (train or {})}
    return Variant(label=f"{model} mse", names=[(model, "mse")], config=whole | config, results=results,
                   fit="gradients")


def _history(end: float) -> pd.DataFrame:
    windows = history_of(np.array([9.0, 5.0, end])).query("span == 'window'")
    return pd.concat([windows, epochs_of([9, 5, end], [4, 2, end], val_iou=[0.1, 0.4, 0.3])], ignore_index=True)


def sources(one: Reproduction, **changes: Any) -> Sources:
    return Sources(**{"entries": {"mine": one}, "dataset": "shapes", "data": DATA, "prepare": PREPARE} | changes)


RUNNING = {"quantity": "running_loss", "values": {30: 1.0}}
FIGURE = {**RUNNING, "model": "munet", "loss": "mse", "tolerance": 1, **COMMON}


def verdict(figure: dict[str, Any], *variants: Variant, data: Data = DATA, prepare: PrepareConfig = PREPARE,
            **changes: Any) -> dict[str, Any]:
    """The row of the one figure."""
    (found,) = judge(sources(entry(figure, **changes), data=data, prepare=prepare), variants or [variant(1.1, 0.9)])
    return found["rows"][-1]


@pytest.mark.parametrize(("ends", "expected"), [
    ((1.0, 1.0), "agrees"), ((1.2,), "agrees"), ((0.8,), "agrees"), ((1.21,), "differs"), ((0.79,), "differs"),
    ((0.5, 1.5), "agrees"), ((1.0, 2.0), "differs")])
def test_a_mean_within_the_tolerance_agrees(ends: tuple[float, ...], expected: str):
    row = verdict(RUNNING, variant(*ends))
    assert (row["verdict"], row["because"]) == (expected, None)
    assert math.isclose(row["ours"], np.mean(ends)) and row["published"] == 1.0 and row["seeds"] == len(ends)
    assert (row["low"] is None) == (len(set(ends)) == 1)  # equal seeds do not say how far others are


@pytest.mark.parametrize(("row", "because"), [
    (verdict(RUNNING | {"not_comparable": "no scale is stated"}), "no scale is stated"),
    (verdict(RUNNING, data=dataclasses.replace(DATA, generated=True)), "generated data"),
    (verdict(RUNNING, data=dataclasses.replace(DATA, pictures={"train": 9, "val": 1, "test": 20})),
     "other data (training and validation pictures: 10, not 100)"),
    (verdict(RUNNING, variant(1.0), figures={
        "first": FIGURE, "one": FIGURE | {"model": "unet"}}), "not run: unet mse"),
    (verdict(RUNNING, variant(1.0, train={"lr": 1e-3})), "train.lr is 0.001, not 0.0001"),
    (verdict(RUNNING, variant(1.0, train={"augment": NEUTRAL.content() | {"flip": 0.5}})), "train.flip is 0.5, not 0"),
    (verdict(RUNNING, variant(1.0, train={"epochs": 2, "schedule": "one_cycle"})), "train.epochs is 2, not 6"),
    (verdict(RUNNING, variant(1.0)), None),
    (verdict(RUNNING | {"values": {40: 1.0}}), "the training ended at iteration 30"),
    (verdict(RUNNING | {"values": {15: 1.0}}), "the results at hand have no such value"),
    (verdict({"quantity": "val_loss", "values": {4: 1.0}}), "the training ended at epoch 3"),
    (verdict(RUNNING | {"values": {40: 1.0}}, variant(1.0, train={"epochs": 1, "pictures_per_epoch": 120})),
     "the training ended at iteration 30"),
    (verdict(RUNNING | {"values": {40: 1.0}}, variant(1.0, train={"epochs": 1, "lr": 1e-3})),
     "train.lr is 0.001, not 0.0001"),
    (verdict(RUNNING | {"values": {20: 1.0}}, variant(1.0, train={"pictures_per_epoch": 7})),
     "train.pictures_per_epoch is 7, not null")])
def test_what_cannot_be_compared_says_why(row: dict[str, Any], because: str | None):
    assert row["because"] == because
    assert (row["verdict"] == "not comparable") == (because is not None)


def test_another_model_loss_or_dataset_is_named():
    deep = dataclasses.replace(variant(1.0), config=variant(1.0).config | {"model": {"kind": "munet", "depth": 4}})
    assert verdict(RUNNING, deep)["because"] == "models.munet.depth is 4, not 16"
    other = dataclasses.replace(variant(1.0), config=variant(1.0).config | {"loss": {"terms": {"mse": 2}}})
    assert verdict(RUNNING, other)["because"] == "losses.mse.terms is {mse: 2}, not {mse: 1}"
    recipe = entry(RUNNING).recipe.model_dump() | {"dataset": {"source": "purdue", "resize": "pad"}}
    assert verdict(RUNNING, recipe=recipe)["because"] == "datasets.shapes.resize is stretch, not pad"


@pytest.mark.parametrize(("quantity", "value", "because"), [
    ("image_height", 9, "height of a picture: 8, not 9"), ("image_width", 9, "width of a picture: 8, not 9"),
    ("classes", 3, "classes: 2, not 3"), ("pictures", 1200, "pictures: 120, not 1,200"),
    ("test_pictures", 21, "test pictures: 20, not 21"), ("image_height", 8, None), ("zero_output_mse", 1, None)])
def test_data_of_another_structure_are_comparable_with_nothing(quantity: str, value: float, because: str | None):
    """Another mean loss of zeros is a result, and no other structure."""
    one = entry(RUNNING, data={"fact": {"quantity": quantity, "value": value, "tolerance": 0, **COMMON}})
    (found,) = judge(sources(one), [variant(1.0)])
    reasons = {row["because"] for row in found["rows"]}
    assert reasons == {because if because is None else f"other data ({because})"}
    assert ({row["verdict"] for row in found["rows"]} == {"not comparable"}) == (because is not None)


@pytest.mark.parametrize(("train", "when", "comparable"), [
    ({"epochs": 1}, 30, True), ({"epochs": 1, "pictures_per_epoch": 120}, 30, True),
    ({"epochs": 1, "pictures_per_epoch": 119}, 30, False), ({"epochs": 6, "pictures_per_epoch": 80}, 20, True),
    ({"epochs": 1, "schedule": "cosine"}, 20, False)])
def test_a_figure_early_in_training_needs_no_whole_training(train: dict[str, Any], when: int, comparable: bool):
    row = verdict({"quantity": "running_loss", "values": {when: 1.0}}, variant(1.0, train=train))
    assert (row["verdict"] != "not comparable") == comparable, row


@pytest.mark.parametrize(("quantity", "values", "share_of", "ours"), [
    ("running_loss", {20: 5.0}, None, 5.0), ("running_loss", {10: 9.0}, None, 9.0), ("train_loss", {2: 5.0}, None, 5.0),
    ("val_loss", {1: 4.0}, None, 4.0), ("val_loss", {1: 4.0, 3: 1.0}, 1, 0.25), ("best_val_iou", {1: 0.1}, None, 0.1),
    ("best_val_iou", {3: 0.4}, None, 0.4), ("running_loss_of_zero_output", {30: 1 / 1500}, None, 1 / 1500)])
def test_each_quantity_of_a_training(quantity: str, values: dict[int, float], share_of: int | None, ours: float):
    row = verdict({"quantity": quantity, "values": values, "share_of": share_of, "tolerance": 0}, variant(1.0, 1.0))
    assert math.isclose(row["ours"], ours) and row["verdict"] == "agrees"


def test_a_window_may_end_a_little_beside_the_published_iteration():
    of = TRAINED["running_loss"].of
    result = variant(1.0).results[0]
    result = dataclasses.replace(result, history=result.history.assign(iteration=result.history["iteration"] * 50 - 1))
    assert of(result, 500, DATA) == 9.0 and math.isnan(of(result, 510, DATA))


def test_the_loss_of_zeros_is_that_of_an_array_of_zeros():
    random = np.random.default_rng(0)
    planes_KHW = random.random((2, 80, 8)) < [[[0.1]], [[0.05]]]
    data = dataclasses.replace(DATA, class_pixels=planes_KHW.sum((1, 2)).tolist(), valid_pixels=640)
    targets_KHW = planes_KHW * np.reshape(data.label_values, (2, 1, 1))
    assert math.isclose(zero_output_mse(data), np.mean((np.zeros_like(targets_KHW) - targets_KHW) ** 2))


def test_rows_about_data():
    loss = {"quantity": "zero_output_mse", "value": 1500, "tolerance": 0, **COMMON}
    size = {"quantity": "image_width", "value": 9, "tolerance": 0, **COMMON}
    one = entry(RUNNING, data={"loss": loss, "size": size})
    rows = agreement.data_rows(one, DATA, because=None)
    assert [(row["quantity"], row["ours"], row["verdict"]) for row in rows] == [
        ("MSE of an output of zeros", 1500, "agrees"), ("width of a picture", 8, "differs")]
    assert {row["because"] for row in agreement.data_rows(one, DATA, because="a sample")} == {"a sample"}


def test_the_difference_of_two_models():
    row = verdict(RUNNING | {"model": "unet", "minus": "munet", "values": {30: 0.5}}, variant(1.0, 2.0),
                  variant(2.0, 2.2, 1.8, model="unet"))
    assert math.isclose(row["ours"], 0.5) and row["verdict"] == "agrees" and row["seeds"] == 2
    assert row["of"] == "unet, mse − munet, mse"


def test_only_reproductions_of_this_dataset_with_a_variant_at_hand_are_shown():
    assert judge(sources(entry(RUNNING), dataset="pets"), [variant(1.0)]) == []
    assert judge(sources(entry(RUNNING)), [variant(1.0, model="other")]) == []
    assert judge(sources(entry(RUNNING, figures={})), [variant(1.0)]) == []


# The repository's own file.

@pytest.mark.parametrize("name", ENTRIES)
def test_a_recipe_is_what_its_study_resolves_to(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    one = ENTRIES[name]
    settings = studies.settings(studies.changes_of(one.study))
    trainings = resolve.resolve(settings)
    assert settings.run.datasets == [one.dataset]
    assert {training.model for training in trainings} <= set(one.recipe.models)
    assert {training.loss for training in trainings} <= set(one.recipe.losses)
    assert one.variants() <= {(training.model, training.loss) for training in trainings}
    dataset = settings.datasets[one.dataset].model_dump()
    assert {key: dataset[key] for key in one.recipe.dataset} == one.recipe.dataset
    for training in trainings:
        config = training.train.content()
        train = config["train"] | (config["train"]["augment"] or NEUTRAL.content())
        wanted = one.recipe.train_of(training.model)
        assert {key: train[key] for key in wanted} == wanted, training.name
        model = {key: value for key, value in one.recipe.models[training.model].items() if key != "train"}
        assert {key: config["model"][key] for key in model} == model
        assert {"kind", *config["model"]} == set(model), "an argument is missing"
        loss = one.recipe.losses[training.loss]
        assert {key: config["loss"][key] for key in loss} == loss


def test_every_figure_that_the_sources_print_is_there():
    """As many as were counted in the sources, and a few of them by hand."""
    stanford, shapes = ENTRIES["stanford"].figures, ENTRIES["shapes-2024"].figures
    losses = [figure for figure in stanford.values() if figure.quantity in ("train_loss", "val_loss")]
    assert all("scale" in figure.not_comparable or "288×224" in figure.not_comparable for figure in losses)
    raw = [figure for figure in losses if figure.share_of is None]
    assert sum(len(figure.points()) for figure in raw) == 34
    assert stanford["free-val"].points()[192] == 15.460 and stanford["unet-train"].points()[16] == 11.648
    assert math.isclose(stanford["free-train-share"].points()[80], 5.691 / 7.177)
    assert shapes["mse"].points() == {500: 450, 15000: 350} and shapes["mse"].tolerance == 20
    assert shapes["mse-dice20"].points() == {500: 465, 15000: 377}
    assert ENTRIES["pets"].figures["resnet-dice"].value == 0.9116


@pytest.mark.parametrize(("old", "new", "message"), [
    ("quantity: running_loss\n", "quantity: runing_loss\n",
     "shapes-2024.figures.mse: no quantity or score is called 'runing_loss', did you mean 'running_loss'"),
    ("loss: dice_flat\n", "loss: dice_flatt\n",
     "shapes-2024: dice-flattened: the recipe has no loss 'dice_flatt', did you mean 'dice_flat'"),
    ("minus: unet_bilinear", "minus: unet_bilinar",
     "pets: loss-gap: the recipe has no minus 'unet_bilinar', did you mean 'unet_bilinear'"),
    ("model: munet_dlstudio\n", "model: munet_dlstudo\n", "the recipe has no model 'munet_dlstudo', did you mean"),
    ("quantity: zero_output_mse", "quantity: zero_mse", "data.zero_output_mse: no quantity of data is called"),
    ("momentum: 0.9", "momentun: 0.9", "recipe.train: no key of train is called 'momentun', did you mean 'momentum'"),
    ("tolerance: 15\n", "tolerance: -15\n", "shapes-2024.data.zero_output_mse.tolerance: expected at least 0"),
    ("      tolerance: 15\n", "", "shapes-2024.data.zero_output_mse.tolerance: this key is missing"),
    ("share_of: 65", "share_of: 66", "share_of is one of the moments in values"),
    ("dataset: pets", "datset: pets", "pets: unknown key 'datset': did you mean 'dataset'"),
    ("\npets:", "\nstanford:", "published.yaml is not YAML: .*duplicate key")])
def test_a_mistake_is_one_line_that_names_the_entry(tmp_path: Path, old: str, new: str, message: str):
    text = (ROOT / "published.yaml").read_text()
    assert old in text
    (tmp_path / "published.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match="published.yaml") as error:
        published.load(tmp_path / "published.yaml")
    assert any(re.search(message, line) for line in str(error.value).splitlines()), error.value


def test_the_names_of_a_recipe_are_those_of_params():
    settings = params.load(ROOT / "params.yaml")
    for one in ENTRIES.values():
        assert one.study in settings.studies and one.dataset in settings.datasets
        assert set(one.recipe.models) <= set(settings.models) and set(one.recipe.losses) <= set(settings.losses)
