"""`seglib reproduce` at sample size, to its table; and the notebook that runs it."""

import json
from pathlib import Path

import pytest
from markupsafe import escape

from seglib.comparison import published
from seglib.files import read_json
from tests.conftest import ROOT, shared
from tests.road.clones import clone, run
from tests.road.test_studies import background_tarball

pytestmark = [pytest.mark.road, pytest.mark.timeout(3000)]

HEADING = "ours (95 % interval)"  # of a column of the table
ENTRIES = published.load(ROOT / "published.yaml")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("reproducing") / "workshop")


def check(repository: Path, name: str, because: str, *options: str) -> str:
    """Reproduce an entry; every row of its table says why it is not comparable. Returns the table."""
    output = run(repository, "seglib", "reproduce", name, "--sample", *options)
    entry = ENTRIES[name]
    folder = repository / "studies" / entry.study
    tables = read_json(folder / "comparisons" / entry.dataset / "tables/published.json")
    rows, = (one["rows"] for one in tables if one["name"] == name)
    assert len(rows) == len(entry.data) + sum(len(figure.points()) for figure in entry.figures.values())
    assert {row["verdict"] for row in rows} == {"not comparable"}
    stated = {figure.not_comparable for figure in entry.figures.values()}
    assert all(row["because"] in stated or row["because"].startswith(because) for row in rows)
    table = output[output.rindex(HEADING):]
    assert table.count("not comparable:") == len(rows)
    assert escape(entry.title) in (folder / "reports/index.html").read_text()
    return table


def test_shapes(repository: Path):
    check(repository, "shapes-2024", "generated data")


@pytest.mark.slow
def test_shapes_with_aspp(repository: Path):
    """Twice: the second time nothing is left to train."""
    table = check(repository, "shapes-aspp-2025", "generated data")
    again = run(repository, "seglib", "reproduce", "shapes-aspp-2025", "--sample")
    assert "stages.train" not in again and again[again.rindex(HEADING):] == table


@pytest.mark.slow
def test_pets(repository: Path):
    check(repository, "pets", "other data (", "--mirror", str(shared("mirror")))


@pytest.mark.slow
def test_stanford(repository: Path, tmp_path: Path):
    tarball = tmp_path / "iccv09Data.tar.gz"
    tarball.write_bytes(background_tarball(24))
    check(repository, "stanford", "other data (pictures: 24, not 715)", "--data", str(tarball))


@pytest.mark.slow
def test_the_notebook(repository: Path, tmp_path: Path):
    """Run its cells in order with Python alone, at sample size, in an existing clone."""
    cells = json.loads((ROOT / "docs/reproduce.ipynb").read_text())["cells"]
    parts = []
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        parts.append("".join(cell["source"]))
        if "parameters" in cell["metadata"].get("tags", []):
            parts.append(f"SAMPLE, CLONE = True, {str(repository)!r}")
    (tmp_path / "cells.py").write_text("\n".join(parts))
    output = run(repository, "python", str(tmp_path / "cells.py"))
    assert "exit status: 0" in output
    assert output.rindex("not comparable") > output.index("exit status: 0")
