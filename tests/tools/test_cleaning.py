"""`seglib clean` in a workspace that holds one of everything: what is live stays, what nothing needs goes."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from typer.testing import CliRunner

from seglib import cli, params, resolve
from seglib.files import canonical_json
from seglib.pipeline.identity import identity_of
from seglib.pipeline.workspace import TrainingFiles
from seglib.tools import cleaning
from seglib.training import checkpoint
from tests.conftest import with_settings, write_config

LIVE, IN_CONF_ONLY, DEAD = "munet-mse-1", "munet-dice-1", "munet-mse-2"


def fill(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def keep_in_dvcs_cache(path: Path) -> None:
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    fill(Path(".dvc/cache/files/md5", digest[:2], digest[2:]), path.read_text())


@pytest.fixture
def workspace(tmp_path: Path, raw_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """params.yaml picks one training, conf/ another, a third is in neither; each has its files, and .work/ is full."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.chdir(tmp_path)
    raw_params["run"] |= {"losses": ["mse"], "seeds": [1]}
    fill(Path("params.yaml"), canonical_json(raw_params))
    training, = resolve.resolve(params.parse(raw_params))
    config = with_settings(training.train, device="cpu")
    write_config(TrainingFiles("shapes", IN_CONF_ONLY).train_config, config.content())
    fill(Path("data/prepared/shapes/dataset.json"), "{}")
    for training in (LIVE, IN_CONF_ONLY, DEAD):
        fill(Path(f"runs/shapes/{training}/trained/weights.safetensors"))
        fill(Path(f"results/shapes/{training}/evaluated/evaluation.json"))
        fill(Path(f"timings/shapes/{training}.json"), json.dumps({"identity": f"of-{training}"}))
        fill(Path(f".work/tracking/of-{training}/training.json"))
    for dataset in ("shapes", "pets"):  # of which shapes is live
        fill(Path(f"results/{dataset}/predictors/background/evaluation.json"))
    fill(Path("runs/pets/unet-bce-1/trained/weights.safetensors"))
    fill(Path(".dvc/config"), "[core]\n    no_scm = true\n")
    for path in [*Path().glob("r*s/**/*.*"), *Path().glob("timings/**/*.*")]:
        keep_in_dvcs_cache(path)
    fill(Path(".work/downloads/ab/abcd"), "x" * 10_000)
    for name, finished in (("finished", True), ("stopped", False)):
        folder = tmp_path / ".work/checkpoints" / name
        folder.mkdir(parents=True)
        checkpoint.save(folder / "last.pt", {"finished": finished, "network": {"weight": torch.zeros(100)}})
    folder = tmp_path / ".work/checkpoints" / "unwritten"  # a group has finished it, and its stage has still to run
    checkpoint.save(fill(folder / "last.pt"), {"finished": True, "network": {}})
    fill(folder / "of-a-training.finished.json", "{}")
    fill(Path(".work/checkpoints/damaged/last.pt"), "no checkpoint")
    for name, finished in (("last.pt", True), ("last-2.pt", False)):  # a shorter training beside a longer one's state
        checkpoint.save(fill(Path(".work/checkpoints/shorter", name)), {"finished": finished, "network": {}})
    return tmp_path


def going(items: list[cleaning.Item]) -> set[str]:
    return {str(path.relative_to(Path.cwd()) if path.is_absolute() else path)
            for item in items if not item.stays for path in item.paths}


NEEDED_BY_NOTHING = {
    ".work/downloads/ab", ".work/checkpoints/finished", ".work/checkpoints/damaged", f".work/tracking/of-{DEAD}",
    f"runs/shapes/{DEAD}", "runs/pets/unet-bce-1", "results/pets/predictors", f"results/shapes/{DEAD}",
    f"timings/shapes/{DEAD}.json"}
STOPPED = {".work/checkpoints/stopped", ".work/checkpoints/shorter", ".work/checkpoints/unwritten"}


def test_what_could_go_is_what_nothing_live_needs(workspace: Path):
    assert going(cleaning.survey()) == NEEDED_BY_NOTHING
    assert going(cleaning.survey(unfinished=True)) == NEEDED_BY_NOTHING | STOPPED


def test_a_dry_run_lists_and_leaves_all_as_it_is(workspace: Path):
    def found() -> list[Path]:
        return [path for path in sorted(workspace.rglob("*")) if path.suffix != ".lock" and ".dvc" not in path.parts]
    before = found()
    result = CliRunner().invoke(cli.app, ["clean", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert f"runs/shapes/{DEAD}\n" in result.output and "would be freed" in result.output
    assert "(stay: they go on from there; --unfinished removes them)" in result.output
    assert found() == before


def test_it_removes_what_it_lists_and_then_has_nothing_to_do(workspace: Path):
    (workspace / f".work/tracking/of-{DEAD}/training.json").unlink()  # the next test has one that MLflow must hold
    (workspace / f".work/tracking/of-{DEAD}").rmdir()
    result = CliRunner().invoke(cli.app, ["clean"])
    assert result.exit_code == 0, result.output
    for training in (LIVE, IN_CONF_ONLY):
        for path in (f"runs/shapes/{training}/trained/weights.safetensors",
                     f"results/shapes/{training}/evaluated/evaluation.json", f"timings/shapes/{training}.json",
                     f".work/tracking/of-{training}/training.json"):
            assert Path(path).exists()
    assert not any(Path(path).exists() for path in NEEDED_BY_NOTHING)
    assert not Path("runs/pets").exists() and Path(".work/checkpoints/stopped/last.pt").exists()
    assert CliRunner().invoke(cli.app, ["clean"]).output.endswith("nothing to remove\n")


def test_a_record_goes_only_when_mlflow_holds_it(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    from mlflow import MlflowClient

    record = workspace / ".work/tracking/comparison-0"
    (workspace / f".work/tracking/of-{DEAD}").rename(record)
    fill(record / "comparison.json", json.dumps({"dataset": "shapes"}))
    fill(record / "ranking.csv", "variant,iou\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace}/params.yaml/store.db")
    troubles = cleaning.remove(cleaning.survey())
    assert record.exists() and len(troubles) == 1 and "does not hold it yet" in troubles[0]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace}/store.db")
    assert cleaning.remove(cleaning.survey()) == [] and not record.exists()
    client = MlflowClient(f"sqlite:///{workspace}/store.db")
    run, = client.search_runs([client.get_experiment_by_name("shapes").experiment_id])
    assert run.data.tags["seglib.identity"] == "comparison-0"


def test_a_record_of_what_the_next_run_or_the_comparison_would_make_stays(workspace: Path):
    coming = identity_of(TrainingFiles("shapes", IN_CONF_ONLY))
    fill(Path(".work/tracking") / coming / "training.json")
    for record in ("comparison-now", "comparison-then"):
        fill(Path(".work/tracking") / record / "comparison.json", json.dumps({"dataset": "shapes"}))
        for name in ("ranking.csv", "pairs.csv", "claims.json"):
            fill(Path(".work/tracking") / record / name, record)
    for name in ("ranking.csv", "tables/pairs.csv", "tables/claims.json"):
        fill(Path("comparisons/shapes") / name, "comparison-now")
    records = {path.name for item in cleaning.survey() for path in item.paths if path.parent.name == "tracking"}
    assert records == {f"of-{DEAD}", "comparison-then"}


def test_a_training_that_runs_keeps_its_state(workspace: Path):
    with FileLock(workspace / ".work/checkpoints/finished.lock"):
        assert going(cleaning.survey(unfinished=True)) == (
            NEEDED_BY_NOTHING | STOPPED) - {".work/checkpoints/finished"}


@pytest.mark.parametrize("place", [".dvc/tmp/rwlock", ".dvc/tmp/exps/standalone/tmpa1/.dvc/tmp/rwlock"])
def test_nothing_is_removed_while_dvc_runs_a_stage(workspace: Path, place: str):
    def note(pid: int) -> None:
        fill(Path(place), json.dumps({"write": {"runs/x": {"pid": pid, "cmd": "dvc repro"}}, "read": {}}))
    note(os.getpid())
    with pytest.raises(ValueError, match=f"process {os.getpid()}"):
        cleaning.remove(cleaning.survey())
    copies = {str(path.relative_to(workspace)) for path in (workspace / ".dvc").glob("tmp/exps/standalone/*")}
    assert going(cleaning.survey()) == NEEDED_BY_NOTHING | copies
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    note(ended.pid)
    assert cleaning._running() is None
    fill(Path(place), json.dumps({"read": {"data": [{"pid": ended.pid, "cmd": ""}, {"pid": os.getpid(), "cmd": ""}]}}))
    assert cleaning._running() == os.getpid()


@pytest.mark.parametrize("path", [
    f"runs/shapes/{DEAD}/notes.txt", f"results/shapes/{DEAD}/mine/evaluation.json", "runs/shapes/my_pictures/a.png",
    "runs/mine/photos/a.png", "timings/shapes/notes-of-2024.json", "results/shapes/table.csv",
    "runs/shapes/munet-mybackup-1/weights.safetensors", f"runs/shapes/{DEAD}/.DS_Store"])
def test_what_dvcs_cache_does_not_have_stays(workspace: Path, path: str):
    fill(Path(path), "mine")
    stays = "/".join(path.split("/")[:3])
    assert stays not in going(cleaning.survey())
    (why,) = (item.stays for item in cleaning.survey() if Path(stays) in item.paths)
    assert why == "DVC's cache does not have them"
    CliRunner().invoke(cli.app, ["clean"])
    assert Path(path).read_text() == "mine"


def test_a_link_to_a_file_elsewhere_stays(workspace: Path):
    Path(f"runs/shapes/{DEAD}/best").symlink_to("nowhere")
    assert f"runs/shapes/{DEAD}" not in going(cleaning.survey())


def test_without_dvc_nothing_of_runs_goes(workspace: Path):
    Path(".dvc/config").unlink()
    Path(".dvc").rename("away")
    assert not {path for path in going(cleaning.survey()) if path.startswith(("runs", "results", "timings"))}


def test_leftovers_of_a_killed_run_go_with_it(workspace: Path):
    fill(Path(f"runs/shapes/{DEAD}/.history.csv.partial.csv"))
    fill(Path("studies/.pets.a1b2c3d4/runs/a"))
    fill(Path("studies/.notes"))
    fill(Path("studies/.my.thesis.text"))
    fill(Path("studies/pets/reports/index.html"))
    assert going(cleaning.survey()) == NEEDED_BY_NOTHING | {"studies/.pets.a1b2c3d4"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_is_removed_while_a_study_is_between_two_stages(workspace: Path):
    program = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program, "dvc", "exp", "run"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(ValueError, match=f"process {process.pid}"):
            cleaning.remove(cleaning.survey())
        process.stdin.close()
    assert cleaning._running() is None


def test_what_a_hard_link_shares_is_not_freed(workspace: Path):
    def downloads() -> int:
        return next(item.bytes for item in cleaning.survey() if item.what == "downloads")
    assert downloads() >= 10_000
    os.link(".work/downloads/ab/abcd", "elsewhere")
    assert downloads() == 0
