"""The training stage: what it keeps and goes on from, models that only count, turns on the cores."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from seglib.files import file_sha256, read_json, write_json
from seglib.pipeline import code, training_run
from seglib.pipeline.fingerprint import Fingerprinter
from seglib.pipeline.identity import state_key
from seglib.pipeline.locks import wait_for_cores
from seglib.pipeline.workspace import TrainingFiles
from seglib.training.device import prepare_process
from seglib.training.loop import Trainer
from stages import train
from tests.conftest import ROOT


def test_what_a_killed_checkpoint_left_stops_nothing(copied: Path):
    folder = copied / ".work/checkpoints" / state_key(TrainingFiles("shapes", "munet-mse-1"))
    folder.mkdir(parents=True)
    (folder / ".last.pt.half").write_bytes(b"half")
    train.main("shapes", "munet-mse-1")
    assert not folder.exists()


def train_with(files: TrainingFiles, **settings: Any) -> list[str]:
    """Train with other settings than `resolve` wrote; the sha256 of each output."""
    content = read_json(files.train_config)
    content["config"]["train"] |= settings
    write_json(files.train_config, content)
    train.main(files.dataset, files.name)
    return [file_sha256(path) for path in (files.weights, files.history, files.snapshots)]


def test_more_epochs_extend_a_finished_training(copied: Path, capsys: pytest.CaptureFixture):
    """Where the schedule allows it, what is kept of a finished training is the beginning of a longer one."""
    files = TrainingFiles("shapes", "munet-mse-1")
    whole = train_with(files, schedule="constant", epochs=3)
    shutil.rmtree(".work/checkpoints")
    assert train_with(files, epochs=2) != whole
    assert "can be extended by a higher train.epochs" in capsys.readouterr().out
    assert train_with(files, epochs=3) == whole
    assert "extends a training that was finished with epoch 2" in capsys.readouterr().out
    kept, = Path(".work/checkpoints").glob("*/last.pt")
    assert kept.parent.name != read_json(files.timing)["identity"]
    train_with(files, schedule="one_cycle")
    assert [*Path(".work/checkpoints").glob("*/last.pt")] == [kept]


def test_a_training_that_was_asked_to_overfit_says_whether_it_could(copied: Path, capsys: pytest.CaptureFixture):
    files = TrainingFiles("shapes", "munet-mse-1")
    train_with(files, overfit=3)
    best = pd.read_csv(files.history).query("split == 'val'")["iou_score"].max()
    assert f"overfit: no, IoU {best:.3f} on the 3 pictures" in capsys.readouterr().out


@pytest.mark.slow
def test_trainings_take_turns_on_the_cores(copied: Path):
    """A training whose cores are taken waits, says so, and ends in the same bytes."""
    files = TrainingFiles("shapes", "munet-mse-1")
    before = file_sha256(files.weights)
    prepare_process(None)  # all cores
    with wait_for_cores(torch.device("cpu")):
        waiting = subprocess.Popen([sys.executable, "-u", "-m", "stages.train", "shapes", files.name],
                                   env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)
        assert "waiting for this machine's cores" in waiting.stdout.readline()
    waiting.communicate()
    assert waiting.returncode == 0
    assert file_sha256(files.weights) == before


def test_no_state_of_code_that_was_edited_while_a_training_waited_is_kept(copied: Path, tmp_path: Path,
                                                                          monkeypatch: pytest.MonkeyPatch):
    """Models are imported when the cores are free, which may be long after the code was first looked at."""
    tree = tmp_path / "tree"
    for package in ("seglib", "stages"):
        shutil.copytree(ROOT / package, tree / package)
    monkeypatch.setattr(code, "Fingerprinter", functools.partial(Fingerprinter, tree))

    def edited(*arguments: Any, **options: Any) -> Trainer:
        with (tree / "seglib/models/munet.py").open("a") as file:
            file.write("\nWIDTH = 7\n")
        return Trainer(*arguments, **options)

    monkeypatch.setattr(training_run, "Trainer", edited)
    with pytest.raises(ValueError, match=r"^the code was edited while it ran \(seglib.models.munet\)"):
        train.main("shapes", "munet-mse-1")
    assert not list(Path(".work/checkpoints").rglob("*.pt"))
