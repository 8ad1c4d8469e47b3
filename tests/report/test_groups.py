"""What the page says of pictures that come in groups."""

from pathlib import Path

import pytest

from seglib.files import read_json, write_json
from seglib.report.builder import build
from tests.report.synthetic import Study, write


@pytest.mark.parametrize(("groups", "said"), [
    (None, "test pictures, 3 seeds.</p>"),
    (12, "test pictures in 12 groups, 3 seeds. Intervals take the groups as samples."),
    (1, "test pictures in 1 group, 3 seeds. Intervals take the groups as samples; those of fewer than 10 groups "
        "are rough.")])
def test_the_page_says_over_what_its_intervals_are(tmp_path: Path, groups: int | None, said: str):
    path = write(Study(pictures=1), tmp_path / "comparisons") / "tables/summary.json"
    if groups:
        write_json(path, read_json(path) | {"units": {"test": groups, "val": 1}})
    (tmp_path / "reports").mkdir()
    build(["shapes"], tmp_path / "comparisons", tmp_path / "reports")
    assert said in " ".join((tmp_path / "reports/index.html").read_text().split())
