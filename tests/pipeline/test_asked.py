"""What DVC was asked for, compared with the stages that DVC itself would run."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seglib.pipeline import watchdog
from seglib.pipeline.asked import Request
from seglib.pipeline.workspace import TrainingFiles
from tests.conftest import ROOT
from tests.stages.conftest import write_params

# A package that DVC uses raises this warning.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")

LIVE = [TrainingFiles(dataset, f"munet-{loss}-{seed}")
        for dataset in ("pets", "shapes") for loss in ("bce", "bce_dice") for seed in (1, 2)]


def asked(*command: str) -> list[TrainingFiles]:
    return Request(command=command, started=0.0).trainings(LIVE)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """DVC's own view of the pipeline with two datasets, two losses and two seeds."""
    from dvc.repo import Repo
    from ruamel.yaml import YAML

    folder = tmp_path_factory.mktemp("pipeline")
    raw = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    raw["run"] |= {"datasets": ["shapes", "pets"], "models": ["munet"], "losses": ["bce", "bce_dice"], "seeds": [1, 2]}
    write_params(raw, folder)
    for name in ("dvc.yaml", "resolve/dvc.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    with pytest.MonkeyPatch.context() as patch, Repo(str(folder)) as repo:
        patch.chdir(folder)
        yield repo


def planned(repo: Any, targets: list[str], *, single_item: bool = False, **options: bool) -> list[TrainingFiles]:
    """The trainings among the stages that DVC runs for these targets."""
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    stages = collect_stages(repo, targets or ["dvc.yaml"], glob=options.pop("glob", False))
    if not single_item:
        stages = plan_repro(get_active_graph(repo.index.graph), stages, **options)
    names = {stage.addressing.removeprefix("train@") for stage in stages if stage.addressing.startswith("train@")}
    return [files for files in LIVE if f"{files.dataset}-{files.name}" in names]


TARGETS = [
    [], ["dvc.yaml"], ["train"], ["train@shapes-munet-bce-1"], ["dvc.yaml:train@pets-munet-bce_dice-2"], ["evaluate"],
    ["evaluate@shapes-munet-bce_dice-1", "train@pets-munet-bce-2"], ["compare@pets"], ["dvc.yaml:compare"], ["report"],
    ["predict@shapes"], ["prepare@shapes"], ["fetch"], ["resolve/dvc.yaml"], ["resolve/dvc.yaml:resolve"]]


@pytest.mark.parametrize("targets", TARGETS, ids=" ".join)
@pytest.mark.parametrize(("option", "meaning"), [
    ("", {}), ("--single-item", {"single_item": True}), ("--downstream", {"downstream": True}),
    ("--pipeline", {"pipeline": True})])
def test_what_is_asked_for_is_what_dvc_plans(pipeline: Any, targets: list[str], option: str, meaning: dict[str, bool]):
    command = ["dvc", "repro", *option.split(), *targets]
    assert asked(*command) == planned(pipeline, targets, **meaning)


@pytest.mark.parametrize("pattern", ["train@shapes*", "*bce_dice*", "compare@p*", "dvc.yaml:train@*-1", "prepare*"])
def test_patterns_are_read_as_dvc_reads_them(pipeline: Any, pattern: str):
    assert asked("dvc", "repro", "--glob", pattern) == planned(pipeline, [pattern], glob=True)


ONE = [TrainingFiles("shapes", "munet-bce-1")]
TARGET = "train@shapes-munet-bce-1"


@pytest.mark.parametrize(("command", "expected"), [
    ("/x/bin/python /x/bin/dvc repro", LIVE), ("python -X utf8 -m dvc repro -q", LIVE), ("dvc repro -P", LIVE),
    ("dvc --cd . --wait-for-lock repro -v -f", LIVE), (f"dvc repro -k {TARGET}", ONE),
    (f"dvc exp run -S train.together=1 -S train.lr=0.1 {TARGET}", ONE), ("dvc exp run --temp -n name", LIVE),
    (f"dvc experiments run --name {TARGET} -C seglib/new.py", LIVE), (f"dvc exp run -m {TARGET} {TARGET}", ONE),
    ("python /x/bin/seglib study shapes --sample", LIVE), ("python -m seglib.cli study pets -S a=1", LIVE),
    ("seglib bridge shapes-2024 default", LIVE), ("seglib reproduce pets --sample", LIVE),
    ("dvc repro -i", []), ("dvc exp run --run-all", []), ("dvc exp exec-run --infofile x", []), ("dvc queue start", []),
    ("python -m celery -A dvc_task worker", []), ("dvc repro --no-such-option", []), ("dvc", []), ("", []),
    ("seglib everything", []), ("pytest tests", []), ("dvc repro runs/shapes", [])])
def test_command_lines(command: str, expected: list[TrainingFiles], capfd: pytest.CaptureFixture):
    assert asked(*command.split()) == expected
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(("command", "expected"), [
    ("dvc repro -f", True), ("dvc exp run --force --temp", True), ("dvc repro", False), ("seglib study shapes", False),
    ("dvc queue start", False)])
def test_what_is_forced_is_done_again(command: str, expected: bool):
    assert Request(command=command.split(), started=0.0).repeats is expected


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who runs a stage")
def test_the_request_of_a_stage_is_its_dvcs(tmp_path: Path):
    """A shell stands between DVC and its stage."""
    program = tmp_path / "dvc"
    program.write_text("import os, subprocess, sys\n"
                       "code = 'from seglib.pipeline.asked import Request; print(Request.of_this_stage())'\n"
                       "subprocess.run(['/bin/sh', '-c', f'{sys.executable} -c \"{code}\"; true'],\n"
                       "               env=os.environ | {'DVC_STAGE': 'train'})\n")
    before = time.time()
    said = subprocess.run([sys.executable, str(program), "repro", "-s", "name with spaces"], capture_output=True,
                          text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}).stdout
    found = eval(said, {"Request": Request})
    assert list(found.command) == [sys.executable, str(program), "repro", "-s", "name with spaces"]
    assert before - 1 <= found.started <= time.time() + 1


def test_a_stage_that_was_started_by_hand_was_not_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(watchdog.NAME, raising=False)
    assert Request.of_this_stage() is None
