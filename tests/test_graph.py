"""dvc.yaml: what depends on what, so that an edit repeats what it must and no more."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from seglib.pipeline import identity
from tests.conftest import ROOT

STAGES: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
ALWAYS_RUN = "resolve"  # it has no code among its dependencies


# Where files are, and what leaves records for MLflow: no byte of an output comes from these.
BOOKKEEPING = set((ROOT / "seglib" / "pipeline").glob("*.py"))
# What a stage needs for the line that it prints, and for no output: a new score evaluates nothing.
SCORES = {ROOT / "seglib/metrics/cases.py", *(ROOT / "seglib/metrics/scores").glob("*.py")}
PRINTED = {"evaluate": SCORES, "predict": SCORES}


def dependencies(stage: str) -> list[str]:
    return STAGES[stage].get("do", STAGES[stage]).get("deps", [])


def code(stage: str) -> set[str]:
    return {dep for dep in dependencies(stage) if dep.startswith(("seglib", "stages"))}


def test_one_stage_always_runs():
    assert {name for name, stage in STAGES.items() if stage.get("always_changed")} == {ALWAYS_RUN}


@pytest.mark.parametrize("stage", sorted(STAGES.keys() - {ALWAYS_RUN}))
def test_every_code_dependency_exists(stage: str):
    for dep in code(stage):
        assert (ROOT / dep).exists(), dep
    assert f"stages/{stage}.py" in code(stage)


def imported_by(file: Path) -> Iterator[Path]:
    """seglib's modules, and packages by their __init__.py, that a source file imports, in its functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.startswith("seglib."):
                module = ROOT / name.replace(".", "/")
                yield from filter(Path.exists, (module.with_suffix(".py"), module / "__init__.py"))


@pytest.mark.parametrize("stage", sorted(STAGES.keys() - {ALWAYS_RUN}))
def test_what_a_stage_imports_is_among_its_dependencies(stage: str):
    rooms = [ROOT / dep for dep in code(stage)]
    seen, waiting = BOOKKEEPING | PRINTED.get(stage, set()), [ROOT / f"stages/{stage}.py"]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        only_says_what_it_is = file.name == "__init__.py" and len(ast.parse(file.read_text()).body) == 1
        assert only_says_what_it_is or any(dep == file or dep in file.parents for dep in rooms), file
        waiting += imported_by(file)


def test_the_identity_covers_the_rooms_that_train_runs():
    rooms = {dep.removeprefix("seglib/") for dep in code("train") if dep.startswith("seglib/")}
    assert rooms == set(identity.TRAINING_ROOMS)
    assert {path.name for path in identity.source_files()} >= {"munet.py", "loop.py", "boundary.py", "store.py"}


def test_the_committed_lock_has_the_stages_that_exist_and_no_others():
    locked = YAML(typ="safe", pure=True).load((ROOT / "dvc.lock").read_text())["stages"]
    dvc = Path(sys.executable).with_name("dvc")
    listed = subprocess.run([dvc, "stage", "list", "--name-only"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert sorted(locked) == sorted(listed.stdout.split())


def test_a_plot_never_retrains_a_network():
    for stage in ("fetch", "train", "evaluate"):
        assert not any("figures" in dep or "report" in dep for dep in code(stage))


def test_test_pictures_are_read_by_no_training():
    readers = {name for name in STAGES if any(dep.endswith("/test") for dep in dependencies(name))}
    assert readers == {"evaluate", "predict", "compare"}


def test_a_predictor_that_no_loss_trains_runs_once_per_dataset_however_many_trainings_there_are():
    dvc = Path(sys.executable).with_name("dvc")
    listed = subprocess.run([dvc, "stage", "list", "--name-only"], cwd=ROOT, check=True, capture_output=True,
                            text=True).stdout.split()
    assert sum(name.startswith("train@") for name in listed) == 9
    assert [name for name in listed if name.startswith("predict")] == ["predict@shapes"]


def test_the_identity_follows_its_parts():
    first = identity.identity(b"conf", b"data", "cpu")
    assert len(first) == 64 and first == identity.identity(b"conf", b"data", "cpu")
    assert len({first, identity.identity(b"conf2", b"data", "cpu"), identity.identity(b"conf", b"data2", "cpu"),
                identity.identity(b"conf", b"data", "cuda"), identity.identity(b"confd", b"ata", "cpu")}) == 5
