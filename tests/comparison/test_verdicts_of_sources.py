"""Verdicts on claims of sources: only the source's own experiment decides them."""

import dataclasses
from typing import Any

import pytest

from seglib.comparison.agreement import Sources
from seglib.comparison.evidence import Evidence
from seglib.comparison.published import Reproduction
from seglib.comparison.verdicts import decide
from tests.comparison.conftest import MARGIN, Compared
from tests.comparison.test_claims import BAD, GOOD, claim
from tests.comparison.test_verdicts import DATA, SOURCES, N, S

EPOCHS = 5  # of the made-up trainings


def study_of(compared: Compared, **train: Any) -> Compared:
    """The made-up study, as if its trainings had these settings beside a constant rate."""
    variants = [dataclasses.replace(variant, config=variant.config | {
        "train": variant.config["train"] | {"schedule": "constant", "epochs": EPOCHS} | train})
        if variant.fit == "gradients" else variant for variant in compared.variants]
    return dataclasses.replace(compared, variants=variants, evidence=Evidence(variants, MARGIN))


def source(**recipe: Any) -> Sources:
    """Sources with one experiment, `mine`, that is the made-up study's."""
    parts = {"dataset": {"border": "ignore"}, "train": {"epochs": EPOCHS, "lr": 0.01},
             "models": {"munet": {"kind": "munet"}},
             "losses": {"good": {"terms": {"mse": 1, "dice": 20}}, "bad": {"terms": {"dice": 1}}}}
    entry = Reproduction.model_validate({"title": "t", "source": "s", "study": "shapes", "dataset": "shapes",
                                         "recipe": parts | recipe})
    return dataclasses.replace(SOURCES, entries={"mine": entry})


PART = {"score": "iou_dataset", "is": "higher", "a": GOOD, "b": BAD}


def of_source(compared: Compared, sources: Sources, **changes: Any) -> dict[str, Any]:
    whole = {"whose": "source", "published": "mine"} | changes
    return decide([claim(PART, **whole)], compared.evidence, sources)[0]


def test_the_sources_own_experiment_decides_its_claim(compared: Compared):
    assert of_source(study_of(compared, lr=0.01), source())["verdict"] == S


@pytest.mark.parametrize(("recipe", "difference"), [
    ({"train": {"epochs": 6}}, "train.epochs is 5, not 6"), ({"train": {"lr": 0.1}}, "train.lr is 0.01, not 0.1"),
    ({"train": {"flip": 0.5}}, "train.flip is 0.0, not 0.5"), ({"train": {"clip": 1}}, "train.clip is null, not 1"),
    ({"models": {"munet": {"kind": "unet"}}}, "models.munet.kind is munet, not unet"),
    ({"models": {"unet": {}}}, "the recipe has no munet good"),
    ({"losses": {"good": {"terms": {"mse": 1}}, "bad": {"terms": {"dice": 1}}}},
     "losses.good.terms is {dice: 20, mse: 1}, not {mse: 1}"),
    ({"dataset": {"border": "foreground"}}, "datasets.shapes.border is ignore, not foreground"),
    ({"dataset": {"image_size": 256}}, "datasets.shapes.image_size is 14, not 256")])
def test_another_experiment_does_not_and_the_difference_is_named(compared: Compared, recipe: dict[str, Any],
                                                                difference: str):
    found = of_source(study_of(compared, lr=0.01), source(**recipe))
    assert (found["verdict"], found["why"]) == (N, f"the source's experiment was not run: {difference}")
    assert decide([claim(PART)], compared.evidence, source(**recipe))[0]["verdict"] == S  # no claim names an experiment


@pytest.mark.parametrize(("data", "difference"), [
    ({"generated": True}, "generated data"), ({"classes": ["disk"]}, "other data (classes: 1, not 4)"),
    ({"image_size": [8, 14]}, "other data (height of a picture: 8, not 14)")])
def test_other_data_do_not_even_if_nothing_is_trained(compared: Compared, data: dict[str, Any], difference: str):
    sources = source()
    facts = {name: {"quantity": name, "value": value, "tolerance": 0, "definition": "d", "reason": "r"}
             for name, value in (("classes", 4), ("image_height", 14))}
    entry = Reproduction.model_validate(sources.entries["mine"].model_dump() | {"data": facts})
    sources = dataclasses.replace(sources, entries={"mine": entry}, data=dataclasses.replace(DATA, **data))
    balance = claim({"score": "class_imbalance", "is": "below", "than": 100}, whose="source", published="mine")
    for found in (of_source(study_of(compared, lr=0.01), sources), decide([balance], compared.evidence, sources)[0]):
        assert (found["verdict"], found["why"]) == (N, f"the source's experiment was not run: {difference}")
    same = dataclasses.replace(sources, data=DATA)
    assert decide([balance], compared.evidence, same)[0]["verdict"] == S


def test_a_claim_about_the_first_epochs_needs_no_whole_training(compared: Compared):
    longer = source(train={"epochs": 50})
    assert of_source(study_of(compared), longer)["verdict"] == N
    assert of_source(study_of(compared), longer, epochs=1)["verdict"] == S
    assert of_source(study_of(compared, schedule="cosine"), longer, epochs=1)["verdict"] == N
    assert of_source(study_of(compared), longer, epochs=10)["verdict"] == N  # they ended before


def test_an_experiment_that_is_not_there_is_named_with_the_claim(compared: Compared):
    with pytest.raises(ValueError, match="claims.yaml: x: published.yaml has no reproduction 'mien': .* 'mine'"):
        of_source(compared, source(), published="mien")
