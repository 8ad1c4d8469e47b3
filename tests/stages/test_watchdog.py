"""How stages end that do not end well: with whoever started them, one at a time, with a line that says what to do."""

import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seglib.files import file_sha256, read_json, work_dir, write_json
from seglib.pipeline.identity import state_key
from seglib.pipeline.locks import exclusive
from seglib.pipeline.workspace import TrainingFiles
from tests.conftest import ROOT
from tests.stages.conftest import small_disk

FILES = TrainingFiles("shapes", "munet-mse-1")
COMMAND = [sys.executable, "-u", "-m", "stages.train", "shapes", FILES.name]
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}

# What DVC does with a stage: a shell runs its command.
DVC = """
import os, subprocess, sys
shell, name, *command = sys.argv[1:]
stage = subprocess.Popen([shell, "-c", " ".join(command)], env=os.environ | ({"DVC_STAGE": name} if name else {}))
stage.wait()
"""


def train_longer(epochs: int) -> None:
    """Let the training take that many epochs."""
    content = read_json(FILES.train_config)
    content["config"]["train"]["epochs"] = epochs
    write_json(FILES.train_config, content)


@pytest.fixture
def start(copied: Path, groups: list[subprocess.Popen]) -> Callable[[str, str], subprocess.Popen]:
    """Starts the training as DVC does, in a shell: gives DVC's process."""

    def as_dvc(shell: str, name: str) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", DVC, shell, name, *COMMAND], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | ENVIRONMENT,
                                   start_new_session=True)
        groups.append(process)
        return process

    return as_dvc


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has lost its parent")
@pytest.mark.parametrize(("shell", "how"), [
    ("/bin/sh", signal.SIGKILL), ("/bin/bash", signal.SIGTERM),
    pytest.param("/bin/sh", signal.SIGTERM, marks=pytest.mark.slow),
    pytest.param("/bin/bash", signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_stage_ends_with_the_dvc_that_runs_it(start, shell: str, how: signal.Signals):
    train_longer(10_000)
    dvc = start(shell, "train@shapes-munet-mse-1")
    assert "epoch 1/10000" in dvc.stdout.readline()
    os.kill(dvc.pid, how)
    dvc.wait()
    said = dvc.communicate(timeout=60)[1]  # ends when the last process that could write there has ended
    assert "stopped by SIGTERM; run the same command to resume" in said
    assert not [path for path in work_dir().rglob(".*") if path.is_file()]  # nothing half written is left


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has lost its parent")
def test_a_stage_that_dvc_did_not_start_goes_on(start):
    """By hand, in a terminal that is closed."""
    shell = start("/bin/sh", "")
    assert "epoch 1/2" in shell.stdout.readline()
    os.kill(shell.pid, signal.SIGKILL)
    shell.wait()
    assert "epoch 2/2" in shell.stdout.read()


def test_a_second_training_of_a_variant_says_who_has_it_and_waits(copied: Path):
    before = file_sha256(FILES.weights)
    with exclusive(work_dir() / "checkpoints" / f"{state_key(FILES)}.lock", "trains it"):
        second = subprocess.Popen(COMMAND, env=os.environ | ENVIRONMENT, stdout=subprocess.PIPE, text=True)
        assert second.stdout.readline() == (
            f"waiting: process {os.getpid()} on {platform.node()} trains shapes {FILES.name} already\n")
    second.communicate()
    assert second.returncode == 0 and file_sha256(FILES.weights) == before


def test_the_lock_of_a_killed_process_is_free(copied: Path, capsys: pytest.CaptureFixture):
    code = ("import os, signal\nfrom pathlib import Path\nfrom seglib.pipeline.locks import exclusive\n"
            "with exclusive(Path('one.lock'), ''):\n    os.kill(os.getpid(), signal.SIGKILL)")
    assert subprocess.run([sys.executable, "-c", code], env=os.environ | ENVIRONMENT).returncode == -signal.SIGKILL
    with exclusive(Path("one.lock"), "has it"):
        assert "waiting" not in capsys.readouterr().out
    assert not Path("one.holder").exists()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """One that holds less than a checkpoint."""
    with small_disk(tmp_path / "disk", "300k") as folder:
        yield folder


def stage_on(disk: Path) -> subprocess.CompletedProcess:
    """The training, with `.work/checkpoints/` on the disk."""
    shutil.rmtree(work_dir() / "checkpoints", ignore_errors=True)
    (work_dir() / "checkpoints").symlink_to(disk)
    done = subprocess.run(COMMAND, env=os.environ | ENVIRONMENT, capture_output=True, text=True)
    (work_dir() / "checkpoints").unlink()
    return done


def test_a_full_disk_is_said_and_the_training_goes_on_when_it_is_not(copied: Path, disk: Path):
    before, outputs = file_sha256(FILES.weights), sorted(FILES.weights.parent.iterdir())
    done = stage_on(disk)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: [Errno 28] No space left on device: '" in done.stderr and "last.pt'; free some space" in done.stderr
    assert file_sha256(FILES.weights) == before and sorted(FILES.weights.parent.iterdir()) == outputs
    subprocess.run(["mount", "-o", "remount,size=10m", disk], check=True)
    assert stage_on(disk).returncode == 0
    assert file_sha256(FILES.weights) == before


@pytest.mark.slow
def test_a_disk_that_is_read_only_is_said(copied: Path, disk: Path):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    done = stage_on(disk)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: [Errno 30] Read-only file system: '" in done.stderr and "work where you may write" in done.stderr
