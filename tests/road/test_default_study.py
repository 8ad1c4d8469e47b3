"""The README's first command at full size: the default study, to scores that a person would call good."""

from pathlib import Path

import pytest

from seglib.files import read_json
from tests.road.clones import clone, make

pytestmark = [pytest.mark.road, pytest.mark.slow, pytest.mark.timeout(3000)]

BOUND = 0.70
"""Test IoU, dataset-wide. With less, a person does not recognise the objects in the masks."""


def test_the_default_study_ends_in_masks_that_a_person_recognises(tmp_path: Path):
    repository = clone(tmp_path / "default")
    assert f"report:     {repository}/reports/index.html" in make(repository, "repro")
    assert (repository / "reports/index.html").stat().st_size > 0
    best = max(of["iou"] for of in read_json(repository / "metrics.json")["shapes"].values())
    print(f"best test IoU of the default study: {best:.3f}")
    assert best >= BOUND
