"""dvc.yaml and resolve/dvc.yaml: what depends on what."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.conftest import ROOT

FIRST: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "resolve/dvc.yaml")["stages"]
STAGES: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]


def dependencies(stage: str) -> list[str]:
    return STAGES[stage].get("do", STAGES[stage])["deps"]


def listed() -> list[str]:
    dvc = Path(sys.executable).with_name("dvc")
    return subprocess.run([dvc, "stage", "list", "--name-only"], cwd=ROOT, check=True, capture_output=True,
                          text=True).stdout.split()


def test_one_stage_always_runs_and_has_a_lock_of_its_own():
    assert FIRST.keys() == {"resolve"} and FIRST["resolve"]["always_changed"]
    assert not any(stage.get("always_changed") for stage in STAGES.values())


def test_every_stage_depends_on_a_file_of_its_own_in_conf_and_on_no_code():
    for stage in STAGES:
        own, *others = dependencies(stage)
        assert own.startswith("conf/") and own.endswith(f"{stage}.json")
        places = ("conf/", "data/", "runs/", "results/", "comparisons", "claims.yaml", "published.yaml")
        assert all(dependency.startswith(places) for dependency in others)


def test_the_committed_lock_has_the_stages_that_exist_and_no_others():
    locked = YAML(typ="safe", pure=True).load(ROOT / "dvc.lock")["stages"]
    assert sorted(locked) == sorted(listed())
    assert YAML(typ="safe", pure=True).load(ROOT / "resolve/dvc.lock")["stages"].keys() == {"resolve"}


def test_test_pictures_are_read_by_no_training():
    readers = {name for name in STAGES if any(dep.endswith("/test") for dep in dependencies(name))}
    assert readers == {"evaluate", "predict", "compare"}


def test_a_predictor_that_no_loss_trains_runs_once_per_dataset_however_many_trainings_there_are():
    names = listed()
    assert sum(name.startswith("train@") for name in names) == 15
    assert [name for name in names if name.startswith("predict")] == ["predict@shapes"]
