"""The documentation names files that exist."""

import re

from tests.conftest import ROOT


def test_the_tests_that_the_page_on_reliability_names_exist():
    named = re.findall(r"`((?:\w+/)*test_\w+\.py)`", (ROOT / "docs/reliability.md").read_text())
    assert len(named) > 10
    assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []
