"""What summary.json says of the widths at outlines and of classes that a picture lacks."""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglib import tasks
from seglib.comparison.summary import facts_of, summary
from seglib.comparison.variants import Variant
from seglib.configs import CompareConfig
from seglib.datasets.store import Split
from tests.comparison.conftest import BAD, GOOD, MARGIN, Compared
from tests.conftest import prepare_config

PREPARED = Path("data/prepared/shapes")
COSTS = {"good": {"dice": 1.0}, "alias": {"dice": 1.0}, "same": {}, "bad": {"dice": 1.0}}


def told(study: Compared, costs: Mapping[str, Mapping[str, float]], *, band: int | None = None,
         variants: list[Variant] | None = None) -> dict[str, Any]:
    config = CompareConfig(pictures=1, gallery=1, margin=MARGIN, failed_below=None, tolerance=1, boundary_band=band,
                           absent_costs=costs, coursework=False, generated=True,
                           prepare=prepare_config({"kind": "shapes"}))
    with contextlib.chdir(study.folder):
        return summary("shapes", study.info, variants or study.variants, facts=facts_of(PREPARED, study.info),
                       sizes=[1.0, 2.0], config=config, floor=None, prepared=PREPARED, snapshots={}, confidence=0.95)


@pytest.mark.parametrize(("band", "said"), [(None, {"pixels": 1, "share": 0.02}), (3, {"pixels": 3, "share": None})])
def test_the_band_is_that_of_the_pictures_unless_it_is_given(made_up: Compared, band: int | None, said: dict):
    assert told(made_up, COSTS, band=band)["boundary_band"] == said


def test_what_classes_that_a_picture_lacks_cost(made_up: Compared):
    masks = Split.open(made_up.folder / PREPARED, "val").masks
    there = [[plane.any() for plane in tasks.get("multilabel").unpack(mask, 4)] for mask in masks]
    lacking = sum(not one for of in there for one in of)
    assert 0 < lacking < 24
    found = told(made_up, COSTS)["absent"]
    assert (found["pairs"], found["lacking"]) == (24, lacking)
    assert found["variants"] == {
        GOOD: {"costs": {"dice": 1.0}, "teaches": True, "floor": pytest.approx(20 * lacking / 24)},
        BAD: {"costs": {"dice": 1.0}, "teaches": False, "floor": pytest.approx(lacking / 24)}}


def test_losses_without_such_terms_are_not_told_of(made_up: Compared):
    assert told(made_up, dict.fromkeys(COSTS, {}))["absent"]["variants"] == {}


def test_a_training_that_validated_on_other_pictures_has_no_floor(made_up: Compared):
    bad = made_up.variant(BAD)
    asked = dataclasses.replace(bad, config=bad.config | {"train": bad.config["train"] | {"overfit": 8}})
    found = told(made_up, COSTS, variants=[asked])["absent"]["variants"]
    assert found == {BAD: {"costs": {"dice": 1.0}, "teaches": False, "floor": None}}


def test_where_classes_exclude_each_other_every_loss_teaches_them(mixed: Compared):
    found = told(mixed, {"ce": {"ce": 1.0}})["absent"]
    assert found["variants"] and all(of["teaches"] for of in found["variants"].values())
    masks = np.asarray(Split.open(mixed.folder / PREPARED, "val").masks)
    assert found["lacking"] == sum(k not in mask[:, 1:] for mask in masks for k in range(4))
