"""dvc.yaml: what depends on what, so that an edit repeats what it must and no more."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from seglib import identity
from tests.conftest import ROOT

STAGES: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]


def code(stage: str) -> set[str]:
    body = STAGES[stage].get("do", STAGES[stage])
    return {dep for dep in body["deps"] if dep.startswith(("seglib", "stages"))}


@pytest.mark.parametrize("stage", STAGES)
def test_every_code_dependency_exists(stage: str):
    for dep in code(stage):
        assert (ROOT / dep).exists(), dep
    assert f"stages/{stage}.py" in code(stage)


def test_the_identity_covers_the_rooms_that_train_runs():
    rooms = {dep.removeprefix("seglib/") for dep in code("train") if dep.startswith("seglib/")}
    assert rooms == set(identity.TRAINING_ROOMS)
    assert {path.name for path in identity.source_files()} >= {"munet.py", "loop.py", "boundary.py", "store.py"}


def test_a_plot_never_retrains_a_network():
    for stage in ("fetch", "train", "evaluate"):
        assert not any("figures" in dep or "report" in dep for dep in code(stage))


def test_test_pictures_are_read_by_evaluate_and_compare_alone():
    readers = {name for name, stage in STAGES.items()
               if any(dep.endswith("/test") for dep in stage.get("do", stage)["deps"])}
    assert readers == {"evaluate", "compare"}


def test_the_identity_follows_its_parts():
    first = identity.identity(b"conf", b"data", "cpu")
    assert len(first) == 64 and first == identity.identity(b"conf", b"data", "cpu")
    assert len({first, identity.identity(b"conf2", b"data", "cpu"), identity.identity(b"conf", b"data2", "cpu"),
                identity.identity(b"conf", b"data", "cuda"), identity.identity(b"confd", b"ata", "cpu")}) == 5
