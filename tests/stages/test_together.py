"""Trainings that run together: the first stage trains those that DVC was asked for, the others write their outputs."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from seglib.cores import physical_cores
from seglib.files import file_sha256, read_json, work_dir, write_json
from seglib.pipeline.workspace import TrainingFiles, live_trainings
from stages import train
from tests.conftest import ROOT

NAMES = ("munet-mse-1", "munet-mse-2", "munet-mse_dice-1", "munet-mse_dice-2")

# What DVC does with a stage: a shell runs its command.
DVC = """
import os, subprocess, sys
command = [sys.executable, "-u", "-m", "stages.train", "shapes", os.environ["TRAINING"]]
stage = subprocess.Popen(["/bin/sh", "-c", " ".join(command)], env=os.environ | {"DVC_STAGE": "train"})
sys.exit(stage.wait())
"""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what DVC was asked for"),
    pytest.mark.skipif(physical_cores() < 2, reason="one core trains one at a time")]

Start = Callable[..., subprocess.Popen]
Hashes = dict[str, list[str]]
Written = Callable[..., Hashes]


@pytest.fixture
def expected(copied: Path) -> Hashes:
    """The sha256 of the outputs that each training has alone. All traces of the trainings are removed."""
    found = {files.name: hashes(files) for files in live_trainings("shapes")}
    for folder in ("runs", "timings", ".work/tracking", ".work/checkpoints"):
        shutil.rmtree(folder, ignore_errors=True)
    return found


@pytest.fixture
def cores() -> Iterator[str]:
    """The temporary folder of the stages: other tests have other cores. Its path is short, because sockets lie there.
    """
    folder = tempfile.mkdtemp()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def start(copied: Path, tmp_path: Path, cores: str, groups: list[subprocess.Popen]) -> Start:
    """Starts a training's stage as `dvc repro` with some targets does; its output is text."""
    program = tmp_path / "dvc"
    program.write_text(DVC)

    def as_dvc(training: str, *words: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, str(program), *(words or ["repro"])], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TRAINING": training, "TMPDIR": cores})
        groups.append(process)
        return process

    return as_dvc


def hashes(files: TrainingFiles) -> list[str]:
    return [file_sha256(path) for path in (files.weights, files.history, files.snapshots, files.provenance)]


def change(name: str, **settings: object) -> None:
    path = TrainingFiles("shapes", name).train_config
    content = read_json(path)
    content["config"]["train"] |= settings
    write_json(path, content)


def said_by(process: subprocess.Popen) -> str:
    """All that a process that ends well prints."""
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    return said


def epochs(said: str) -> list[str]:
    """The titles of the lines that end an epoch, sorted."""
    return sorted(re.findall(r"^(.*) epoch \d+/\d+: ", said, re.MULTILINE))


@pytest.fixture
def written(copied: Path, capsys: pytest.CaptureFixture) -> Written:
    """Runs the stages of trainings here, which must be trained already; gives the sha256 of their outputs."""

    def run(*names: str) -> Hashes:
        for name in names:
            train.main("shapes", name)
            said = capsys.readouterr().out
            assert "already trained for" in said and not epochs(said)
        return {name: hashes(TrainingFiles("shapes", name)) for name in names}

    return run


def test_the_first_stage_trains_all_and_the_others_only_write(start: Start, expected: Hashes, written: Written):
    said = said_by(start(NAMES[0]))
    assert epochs(said) == sorted(f"shapes {name}" for name in NAMES for _ in range(2))
    assert "shapes: 4 of 4 trainings ended" in said
    assert list(Path("runs/shapes").iterdir()) == [Path("runs/shapes", NAMES[0])]
    assert {NAMES[0]: hashes(TrainingFiles("shapes", NAMES[0]))} | written(*NAMES[1:]) == expected
    assert all(read_json(files.timing)["peak_memory_mb"] > 0 for files in live_trainings("shapes"))
    assert not list(work_dir().glob("checkpoints/*/*"))


@pytest.mark.slow
@pytest.mark.parametrize("words", [
    ["repro", f"train@shapes-{NAMES[0]}"],
    pytest.param(["exp", "exec-run", "--infofile", "i"], marks=pytest.mark.slow)])
def test_what_dvc_was_not_asked_for_is_not_trained(start: Start, expected: Hashes, words: list[str]):
    said = said_by(start(NAMES[0], *words))
    assert epochs(said) == [f"shapes {NAMES[0]} (1 of 4)"] * 2


@pytest.mark.slow
def test_one_at_a_time_if_params_say_so(start: Start, expected: Hashes):
    write_json(Path("conf/machine.json"), {"code": None, "config": {"together": 1}})
    assert epochs(said_by(start(NAMES[0]))) == [f"shapes {NAMES[0]} (1 of 4)"] * 2


def workers(stage_of: subprocess.Popen) -> list[psutil.Process]:
    """The processes that train for a stage: children of its fork server."""
    descendants = psutil.Process(stage_of.pid).children(recursive=True)
    servers = [one.pid for one in descendants if "multiprocessing.forkserver" in " ".join(one.cmdline())]
    return [one for one in descendants if one.ppid() in servers]


@pytest.mark.parametrize("how", ["SIGKILL to the stage", *(pytest.param(how, marks=pytest.mark.slow) for how in (
    "SIGKILL to dvc", "SIGTERM to the stage", "Ctrl-C"))])
def test_no_process_outlives_a_killed_stage(start: Start, how: str, expected: Hashes):
    for name in NAMES[:2]:
        change(name, epochs=10_000)
    dvc = start(NAMES[0])
    while " epoch 2/" not in dvc.stdout.readline():
        pass
    started = psutil.Process(dvc.pid).children(recursive=True)
    stage = next(one for one in started if "stages.train" in one.cmdline() and "sh" not in one.name())
    assert len(workers(dvc)) == 2
    match how:
        case "SIGKILL to the stage":
            stage.kill()
        case "SIGKILL to dvc":
            psutil.Process(dvc.pid).kill()
        case "SIGTERM to the stage":
            stage.terminate()
        case "Ctrl-C":
            os.killpg(dvc.pid, signal.SIGINT)
    gone, alive = psutil.wait_procs(started, timeout=60)
    assert not alive
    assert not [path for path in work_dir().rglob(".*") if path.is_file()]
    assert list(work_dir().glob("checkpoints/*/last.pt"))


@pytest.mark.slow
def test_a_group_that_was_killed_goes_on_to_the_same_bytes(start: Start, expected: Hashes, written: Written):
    dvc = start(NAMES[0])
    while " epoch 1/2" not in dvc.stdout.readline():
        pass
    stage = next(one for one in psutil.Process(dvc.pid).children(recursive=True) if "stages.train" in one.cmdline())
    stage.kill()
    dvc.communicate()
    said = said_by(start(NAMES[0]))
    assert "goes on after epoch 1, the last that an earlier run ended" in said or "already trained" in said
    assert {NAMES[0]: hashes(TrainingFiles("shapes", NAMES[0]))} | written(*NAMES[1:]) == expected


@pytest.mark.slow
def test_two_stages_with_the_same_group_train_nothing_twice(start: Start, expected: Hashes, written: Written):
    both = [start(NAMES[0]), start(NAMES[2])]
    said = "".join(said_by(process) for process in both)
    assert epochs(said) == sorted(f"shapes {name}" for name in NAMES for _ in range(2))
    rest = (NAMES[1], NAMES[3])
    found = {name: hashes(TrainingFiles("shapes", name)) for name in (NAMES[0], NAMES[2])}
    assert found | written(*rest) == expected


@pytest.mark.slow
def test_one_that_diverges_leaves_the_others_alone(start: Start, expected: Hashes, written: Written):
    change(NAMES[1], lr=1e30)
    said = said_by(start(NAMES[0]))
    assert f"shapes {NAMES[1]} failed: the train loss is nan" in said and "its own stage will say more" in said
    rest = NAMES[2:]
    own = start(NAMES[1])
    errors = own.communicate()[1]
    assert own.returncode == 1 and "error: the train loss is nan" in errors and "no weights were kept" in errors
    found = {NAMES[0]: hashes(TrainingFiles("shapes", NAMES[0]))} | written(*rest)
    assert found == {name: expected[name] for name in found}


@pytest.mark.slow
def test_one_whose_process_is_killed_leaves_the_others_alone(start: Start, expected: Hashes, written: Written):
    change(NAMES[1], epochs=10_000)
    dvc = start(NAMES[0])
    line = ""
    while f"{NAMES[1]} epoch 1/" not in line:
        line = dvc.stdout.readline()
    deadline = time.monotonic() + 60
    while "3 of 4 trainings ended" not in (line := dvc.stdout.readline()) and time.monotonic() < deadline:
        pass
    victim, = workers(dvc)
    victim.kill()
    said = said_by(dvc)
    assert f"shapes {NAMES[1]} failed: its process was ended from outside" in said
    rest = NAMES[2:]
    found = {NAMES[0]: hashes(TrainingFiles("shapes", NAMES[0]))} | written(*rest)
    assert found == {name: expected[name] for name in found}


@pytest.mark.slow
def test_a_second_run_trains_what_is_new_and_not_what_was_finished(start: Start, expected: Hashes, written: Written):
    said_by(start(NAMES[0]))
    written(*NAMES[1:])
    change(NAMES[0], epochs=3)
    assert epochs(said_by(start(NAMES[0]))) == [f"shapes {NAMES[0]} (4 of 4)"] * 3


@pytest.mark.slow
def test_a_forced_run_trains_all_again_once(start: Start, expected: Hashes, written: Written):
    said_by(start(NAMES[0]))
    written(*NAMES[1:])
    shutil.rmtree(TrainingFiles("shapes", NAMES[0]).trained)
    said = said_by(start(NAMES[0], "repro", "--force"))
    assert epochs(said) == sorted(f"shapes {name}" for name in NAMES for _ in range(2))
    assert hashes(TrainingFiles("shapes", NAMES[0])) == expected[NAMES[0]]
