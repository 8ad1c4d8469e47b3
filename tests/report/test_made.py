"""Where the results were made: the table, and the sentences at the top of the page."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglib.report import made, tables
from seglib.report.builder import build
from tests.report.synthetic import Study, write

MSE, DICE = "munet mse", "munet dice"
STUDY = Study(losses=("mse", "dice"), frequency=True, baseline=True, pictures=3)


@pytest.fixture
def compared(tmp_path: Path) -> Any:
    """The comparison of a made-up study with some columns of its table of provenance replaced."""
    def make(study: Study = STUDY, **provenance: Any) -> tables.Comparison:
        return tables.read(write(study, tmp_path / "comparisons", provenance=provenance))
    return make


def said(comparison: tables.Comparison) -> list[str]:
    return [sentence.striptags() for sentence in made.differences(comparison)]


def test_one_way_is_one_row_and_no_sentence(compared: Any):
    comparison = compared()
    assert made.ways(comparison) == [{
        "device": "cpu", "gpu": None, "precision": "fp32", "threads": 4, "torch": "2.12.0", "numpy": "2.10",
        "pillow": "12.1.0", "seglib": "0.1", "trainings": "all", "evaluations": "all"}]
    assert said(comparison) == []
    assert dict(made.fingerprints(comparison))[MSE] == {"training": ["01234567"], "evaluation": ["01234567"]}


def test_variants_that_differ_have_a_row_each_and_a_sentence(compared: Any):
    comparison = compared(torch=lambda table: np.where(table["variant"] == DICE, "2.13.0", "2.12.0"))
    assert [(way["torch"], way["trainings"], way["evaluations"]) for way in made.ways(comparison)] == [
        ("2.12.0", MSE, f"{MSE}, frequency"), ("2.13.0", DICE, DICE)]
    assert said(comparison) == [
        "The variants were trained and evaluated with different versions of torch (2.12.0: munet mse; 2.13.0: munet "
        "dice), so a difference between them may come from that."]


def test_seeds_that_differ_are_named(compared: Any):
    comparison = compared(precision=lambda table: np.where(
        (table["seed"] == 1234).fillna(False) & (table["step"] == "training"), "bf16", "fp32"))
    assert [(way["precision"], way["trainings"], way["evaluations"]) for way in made.ways(comparison)] == [
        ("bf16", "munet mse (seed 1234), munet dice (seed 1234)", "–"),
        ("fp32", "munet mse (seeds 1235 and 1236), munet dice (seeds 1235 and 1236)", "all")]
    assert said(comparison) == [
        "The seeds of munet mse and munet dice were made in different ways (precision of training bf16: seed 1234; "
        "fp32: seeds 1235 and 1236), so their spread is not that of seeds alone."]


def test_many_variants_are_counted(compared: Any):
    comparison = compared(Study(models=("a", "b", "c"), losses=("mse", "dice"), pictures=3),
                          torch=lambda table: np.where(table["variant"] == "a mse", "2.13.0", "2.12.0"))
    assert "(2.12.0: 5 variants; 2.13.0: a mse)" in said(comparison)[0]


def test_the_page_shows_the_ways_and_the_sentences(compared: Any, tmp_path: Path):
    compared(device="cuda", gpu=lambda table: np.where(table["variant"] == DICE, "<GPU B>", "GPU A"))
    (tmp_path / "reports").mkdir()
    build(["shapes"], tmp_path / "comparisons", tmp_path / "reports")
    page = (tmp_path / "reports/index.html").read_text()
    top, _, rest = page.partition("<main>")
    assert "on different devices (&lt;GPU B&gt;: <em>munet dice</em>; GPU A: <em>munet mse</em>)" in top
    _, _, section = rest.partition(">Where the results were made</h3>")
    assert "<td>GPU A</td><td>fp32</td>" in section and "<td>&lt;GPU B&gt;</td>" in section
    assert "<code>01234567</code>" in section


def test_the_page_does_not_name_the_machine_that_made_it(built: Any):
    text, _ = built(STUDY)
    origin = text.partition('<section id="origin">')[2]
    assert "See <a" not in text.partition("<main>")[0]  # nothing differs
    assert "git revision" in origin and "torch" not in origin and "Python" not in origin and "cores" not in origin
