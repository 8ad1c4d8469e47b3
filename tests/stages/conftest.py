"""A small repository in which every stage has run, to look at or to change."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from seglib.pipeline.workspace import TrainingFiles, live_trainings
from stages import compare, evaluate, fetch, predict, prepare, report, resolve, train
from tests.conftest import ROOT, missing


def write_params(raw: dict[str, Any], folder: Path) -> None:
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(raw, file)


def run_every_stage(folder: Path, dataset: str) -> None:
    """In a repository that has no more than its params.yaml."""
    for name in ("claims.yaml", "published.yaml"):
        shutil.copyfile(ROOT / name, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        resolve.main()
        fetch.main(dataset)
        prepare.main(dataset)
        for files in live_trainings(dataset):
            train.main(dataset, files.name)
            evaluate.main(dataset, files.name)
        predict.main(dataset)
        compare.main(dataset)
        report.main()


def enter(repository: Path, patch: pytest.MonkeyPatch) -> None:
    """As DVC enters it, with MLflow's store in the repository."""
    patch.chdir(repository)
    patch.setenv("DVC_ROOT", str(repository))
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)


def scores_of(files: TrainingFiles, split: str, class_name: str = "") -> dict[str, float]:
    """The scores of one training by their names, from the table that compare wrote; of the mean over classes."""
    table = pd.read_csv(f"comparisons/{files.dataset}/tables/training_scores.csv", keep_default_na=False)
    chosen = table[(table["training"] == files.name) & (table["split"] == split) & (table["class"] == class_name)]
    return chosen.set_index("score")["value"].to_dict()


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size ("300k", "16m") at a new folder; skips if mounting one is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        missing("mounting a small file system is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def groups() -> Iterator[list[subprocess.Popen]]:
    """For the processes that a test starts, each in a group of its own. The groups are killed when the test ends."""
    started: list[subprocess.Popen] = []
    yield started
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="session")
def small_params() -> dict[str, Any]:
    raw = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    raw["run"] = {"datasets": ["shapes"], "models": ["munet"], "losses": ["mse", "mse_dice"], "predictors": [],
                  "seeds": [1, 2]}
    raw["datasets"]["shapes"] |= {"train_images": 32, "test_images": 10, "allow": ["absent_class", "unscored_class"]}
    raw["models"]["munet"] |= {"width": 8}
    raw["train"] |= {"epochs": 2, "log_every": 2, "device": "cpu", "threads": 1}
    raw["compare"] = {"pictures": 3, "gallery": 6, "margin": 0.01, "failed_below": None}
    return raw


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, small_params: dict[str, Any]) -> Path:
    """A repository in which every stage has run."""
    folder = tmp_path_factory.mktemp("repository")
    write_params(small_params, folder)
    run_every_stage(folder, "shapes")
    return folder


@pytest.fixture
def repository(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished repository, to read."""
    enter(finished, monkeypatch)
    return finished


@pytest.fixture
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished repository, to change; its MLflow store is not copied."""
    target = tmp_path / "copy"
    shutil.copytree(finished, target, ignore=shutil.ignore_patterns("mlflow"))
    enter(target, monkeypatch)
    return target
