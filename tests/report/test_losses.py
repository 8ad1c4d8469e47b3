"""What the page says of classes that a picture lacks, and where it says nothing."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup

from seglib.report import tables
from seglib.report.losses import absent_classes
from seglib.report.tables import Comparison
from tests.report.synthetic import Study, write


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    study = Study(losses=("mse", "mse_dice", "mse_dice400", "dice"), models=("munet", "unet"))
    return tables.read(write(study, tmp_path_factory.mktemp("losses")))


def said(comparison: Comparison, **changed: Any) -> str:
    summary = comparison.summary | {"absent": comparison.summary["absent"] | changed}
    return Markup(" ").join(absent_classes(dataclasses.replace(comparison, summary=summary))).striptags()


def of(cost: float, floor: float | None, teaches: bool, *, term: str = "dice") -> dict[str, Any]:
    return {"costs": {term: cost}, "floor": floor, "teaches": teaches}


def test_dice_is_told_with_its_floors_and_what_it_does_not_teach(comparison: Comparison):
    assert said(comparison) == (
        "A class that a picture lacks costs 1 in dice there, whatever is predicted, and gives no gradient. In 70 % "
        "of the pairs of a val picture and a class (875 of 1,250), the picture lacks the class. So the val loss "
        "cannot fall below 0.7 with munet mse_dice, unet mse_dice, munet dice and unet dice; 280 with munet "
        "mse_dice400 and unet mse_dice400. No term of the loss of munet dice and unet dice teaches the network to "
        "leave a class out of a picture.")


def test_nothing_is_said_if_no_loss_has_such_a_term_or_every_picture_holds_every_class(comparison: Comparison):
    assert said(comparison, variants={}) == "" and said(comparison, lacking=0) == ""


def test_no_floor_is_told_that_there_is_none_of(comparison: Comparison):
    """Of an overfit training, which validated on other pictures; of a term that costs nothing there."""
    for none in (of(1.0, None, True), of(0.0, 0.0, True, term="boundary")):
        text = said(comparison, variants={"munet dice": none})
        assert text.startswith("A class that a picture lacks costs ") and "cannot fall" not in text
        assert "leave a class out" not in text
    assert "costs 0 in boundary there" in text


def test_only_losses_that_do_not_teach_it_are_named(comparison: Comparison):
    text = said(comparison, variants={"munet dice": of(1.0, 0.7, False), "munet mse_dice": of(1.0, 0.7, True)})
    assert "No term of the loss of munet dice teaches" in text
    assert "leave a class out" not in said(comparison, variants={"munet mse_dice": of(1.0, 0.7, True)})


def test_it_stands_above_the_loss_curves(page: Path):
    text = page.read_text()
    assert text.count("whatever is predicted, and gives no gradient") == 2  # once a dataset
    assert text.index("whatever is predicted, and gives no gradient") < text.index("Loss against iterations")
