"""What the page says of conventions: a table with places, and sentences only about orders that reverse."""

import re
from pathlib import Path
from typing import Any

import pytest

from seglib.report import tables
from seglib.report.builder import build
from seglib.report.conventions import conventions, reversals
from tests.report.synthetic import CONVENTIONS, Study, write

A, B, C = "munet mse_dice20", "munet mse_dice", "munet mse"
FORBIDDEN = re.compile(r"\b(better|best|rank|settled|equivalent|unknown)\b")


def row(headline: str, verdict: str, *, a: str = A, b: str = B, score: str = "iou", convention: str = "smp_micro"
        ) -> dict[str, Any]:
    return {"a": a, "b": b, "headline_verdict": headline, "verdict": verdict, "score": score, "convention": convention}


@pytest.fixture
def said(tmp_path: Path) -> Any:
    """The sentences of a comparison in which these orders reverse."""
    def make(*rows: dict[str, Any], **study: Any) -> str:
        comparison = tables.read(write(Study(pictures=3, **study), tmp_path, reversed_by=rows))
        return " ".join(sentence.striptags() for sentence in reversals(comparison))
    return make


def test_silence_where_no_order_reverses(said: Any):
    assert said() == ""


def test_a_decided_order_that_another_convention_reverses(said: Any):
    assert said(row("better", "better"), row("better", "unknown", score="dice")) == (
        f"By IoU over all pixels, {A} is better than {B} (0.810 against 0.790). Under other conventions, {B} is "
        f"better: IoU (smp micro) 0.730 against 0.710. Under other conventions, the mean of {B} is higher, but it is "
        "unknown which is better: Dice (smp micro) 0.730 against 0.710.")


def test_a_decided_order_whose_reverse_is_not_decided_is_not_called_contradicted(said: Any):
    text = said(row("better", "unknown"), row("better", "equivalent", convention="image_mean"))
    assert f"{A} is better than {B}" in text and "reverse" not in text
    assert "is higher, but the two are equivalent: IoU (image mean) 0.730 against 0.710." in text


@pytest.mark.parametrize("verdict", ["unknown", "equivalent"])
def test_an_order_that_is_not_decided_anyway_is_no_contradiction(said: Any, verdict: str):
    text = said(row(verdict, "unknown"))
    assert text == (f"1 pair changes places under another convention ({A} and {B}). Neither IoU over all pixels nor "
                    "that convention decides its order, so this is no contradiction.")
    assert "better" not in text


def test_an_order_that_only_another_convention_decides(said: Any):
    text = said(row("unknown", "better"))
    assert f"it is unknown whether {A} is better than {B} (0.810 against 0.790). Under other conv" in text


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_with_too_few_seeds_these_are_orders_of_means(said: Any, seeds: tuple[int, ...]):
    text = said(row("too few seeds", "too few seeds"), seeds=seeds)
    assert text == (f"By IoU over all pixels, the mean of {A} is above that of {B} (0.810 against 0.790). Under other "
                    f"conventions, the mean of {B} is higher: IoU (smp micro) 0.730 against 0.710. With fewer than 3 "
                    "seeds, this is only the order of these trainings' means; another seed could change it.")
    assert not FORBIDDEN.search(text)


def test_many_pairs_and_many_conventions_are_counted(said: Any):
    many = [row("better", "better", a=f"a{i}", score=score, convention=name)
            for i in range(6) for score, name in CONVENTIONS]
    text = said(*many)
    assert text.count("is better than") == 4 and "; 4 more conventions." in text
    assert text.endswith("The same is true of 2 other pairs: see tables/reversals.csv.")


def test_the_table_has_every_convention_and_the_places(tmp_path: Path):
    study = Study(pictures=3, frequency=True, baseline=True)
    found = conventions(tables.read(write(study, tmp_path)))
    assert [(group["title"], len(group["columns"])) for group in found["groups"]] == [("IoU", 4), ("Dice", 4)]
    places = {of["variant"]: [cell["place"] for cell in of["cells"]] for of in found["rows"]}
    assert places == {variant: [i + 1] * 8 for i, variant in enumerate(study.trained)} | {"frequency": [None] * 8}


@pytest.mark.parametrize("seeds", [(1,), (1, 2), (1, 2, 3)])
def test_the_page_shows_the_table_and_says_where_seeds_are_too_few(tmp_path: Path, seeds: tuple[int, ...]):
    write(Study(pictures=3, seeds=seeds), tmp_path / "comparisons")
    (tmp_path / "reports").mkdir()
    build(["shapes"], tmp_path / "comparisons", tmp_path / "reports")
    text = (tmp_path / "reports/index.html").read_text()
    section = text.partition('-conventions">The same')[2].partition("<h3")[0]
    assert "<p>By IoU" not in section and "no convention is given a class for background" in section
    assert ("too few seeds" in section) == (len(seeds) < 3)
    assert not FORBIDDEN.search(section)
