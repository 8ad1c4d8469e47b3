"""A store that is away, slow, failing, full or half made: trainings go on, it is said once, `mlsync` mends it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from seglib import cli
from seglib.files import file_sha256, read_json
from seglib.pipeline import records, tracking
from seglib.pipeline.workspace import TrainingFiles, live_trainings
from stages import train
from tests.stages.conftest import scores_of, small_disk
from tests.stages.servers import NEVER, Server, end, free_port, mlflow_server, serving
from tests.stages.test_tracking import mlflow_runs

FILES = TrainingFiles("shapes", "munet-mse-1")
BAD = {"silent": {"delay": NEVER}, "answers after 10 s": {"delay": 10.0}, "500": {"status": 500},
       "503, come back in an hour": {"status": 503, "headers": {"Retry-After": "3600"}},
       "not MLflow": {"body": b"<html>\n<p>It works!</p>"}}

# What MLflow itself would try of these is minutes, or an hour.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tracking, "_lost", set())


# One that answers too late is, for the same time-out, one that is silent.
@pytest.fixture(params=["refuses", *(pytest.param(kind, marks=pytest.mark.slow if kind == "answers after 10 s" else ())
                                     for kind in BAD)])
def bad_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that takes nothing, which stands in the environment."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # a user's own settings, because ours take longer
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    if request.param == "refuses":
        uri = f"http://127.0.0.1:{free_port()}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri
        return
    with serving(Server(**BAD[request.param])) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri


def rows_of(files: TrainingFiles, epoch: int) -> list[dict[str, Any]]:
    return pd.read_csv(files.history).query("epoch == @epoch").to_dict("records")


def told() -> None:
    """When all that was sent has been told, or could not be."""
    tracking._background().submit(lambda: None).result()


def test_it_is_said_once_however_many_epochs_there_are(copied: Path, bad_store: str, capfd: pytest.CaptureFixture):
    live = tracking.LiveRun("identity", FILES)
    for epoch in (1, 2):
        live(rows_of(FILES, epoch))
        told()
    tracking.try_sync(records.leave_training(FILES))
    said = capfd.readouterr()
    assert said.out.startswith(f"MLflow ({bad_store}) cannot be written: ") and said.out.count("\n") == 1, said.out
    assert said.out.endswith(" Nothing else is lost; `seglib mlsync` mends it.\n") and not said.err
    refused = str(CliRunner().invoke(cli.app, ["mlsync"]).exception)
    assert refused.startswith(f"MLflow ({bad_store}) cannot be written: ") and "\n" not in refused


def test_a_training_ends_in_the_same_bytes_and_mlsync_brings_it_later(copied: Path, capfd: pytest.CaptureFixture,
                                                                      monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    before = file_sha256(FILES.weights)
    train.main(FILES.dataset, FILES.name)
    assert file_sha256(FILES.weights) == before
    assert capfd.readouterr().out.count("cannot be written") == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert "5 runs, 5 brought up to date" in CliRunner().invoke(cli.app, ["mlsync"]).output
    assert len(mlflow_runs()) == 5


def test_a_training_does_not_wait_for_a_store(copied: Path, monkeypatch: pytest.MonkeyPatch):
    """Its epochs end while the store still thinks about the first of them."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(int(NEVER)))
    server = Server(delay=NEVER)
    with serving(server) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        live = tracking.LiveRun("identity", FILES)
        live(rows_of(FILES, 1))
        assert server.asked.acquire(timeout=60)
        live(rows_of(FILES, 2))
        assert not server.asked.acquire(blocking=False)  # there is one thread, and it waits
    told()  # or has given up


@pytest.mark.parametrize("own", [
    {"MLFLOW_HTTP_REQUEST_TIMEOUT": "77"},
    pytest.param({}, marks=pytest.mark.slow),
    pytest.param({"MLFLOW_HTTP_REQUEST_TIMEOUT": "77", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3"}, marks=pytest.mark.slow),
])
def test_seconds_are_given_to_a_server_but_what_a_user_set_holds(own: dict[str, str]):
    names = ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER")
    told = ", ".join(f"variables.{name}.get()" for name in names)
    script = f"import seglib.pipeline.tracking, mlflow.environment_variables as variables; print({told})"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | own
    printed = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    ours = zip(names, ("5", "1", "False"), strict=True)
    assert printed.split() == [own.get(name, seconds) for name, seconds in ours]


@pytest.mark.slow
def test_a_server_that_dies_midway_is_made_whole_by_mlsync(copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture,
                                                           monkeypatch: pytest.MonkeyPatch):
    port, identity = free_port(), read_json(FILES.timing)["identity"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    live = tracking.LiveRun(identity, FILES)
    with mlflow_server(tmp_path / "server", port) as server:
        live(rows_of(FILES, 1))
        told()
        run, = mlflow_runs()
        assert run.info.status == "RUNNING" and run.data.metrics["val/loss"] == rows_of(FILES, 1)[-1]["loss"]
        end(server)
        live(rows_of(FILES, 2))
        told()
        tracking.try_sync(records.leave_training(FILES))
        assert capsys.readouterr().out.count("cannot be written") == 1
    with mlflow_server(tmp_path / "server", port):
        assert "5 runs, 5 brought up to date" in CliRunner().invoke(cli.app, ["mlsync"]).output
        assert "5 runs, 0 brought up to date" in CliRunner().invoke(cli.app, ["mlsync"]).output
        runs = {run.data.tags[tracking.IDENTITY_TAG]: run for run in mlflow_runs()}
        assert len(runs) == 5 and {run.info.status for run in runs.values()} == {"FINISHED"}
        assert runs[identity].info.run_id == run.info.run_id
        from mlflow import MlflowClient
        client = MlflowClient()
        assert [m.step for m in client.get_metric_history(run.info.run_id, "val/loss")] == [1, 2]
        assert "weights.safetensors" in {artifact.path for artifact in client.list_artifacts(run.info.run_id)}


def test_an_epoch_that_could_not_be_told_is_told_with_the_next(copied: Path, tmp_path: Path,
                                                               capsys: pytest.CaptureFixture,
                                                               monkeypatch: pytest.MonkeyPatch):
    store = tmp_path / "store"
    store.write_text("in the way")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")
    live = tracking.LiveRun("identity", FILES)
    live(rows_of(FILES, 1))
    told()
    store.unlink()
    live(rows_of(FILES, 2))
    told()
    assert capsys.readouterr().out.count("cannot be written") == 1
    from mlflow import MlflowClient
    run, = mlflow_runs()
    history = MlflowClient(tracking.store_uri()).get_metric_history(run.info.run_id, "val/loss")
    assert [metric.step for metric in history] == [1, 2]


@pytest.mark.parametrize("place", ["/proc/mlflow.db", "{}/file/mlflow.db", "/dev/full"])
def test_a_store_that_cannot_be_made_is_said_in_a_line(copied: Path, tmp_path: Path, place: str,
                                                       capsys: pytest.CaptureFixture,
                                                       monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place.format(tmp_path)}")
    tracking.try_sync(records.leave_training(FILES))
    assert capsys.readouterr().out.count("cannot be written") == 1
    refused = str(CliRunner().invoke(cli.app, ["mlsync"]).exception)
    assert "cannot be written" in refused and "\n" not in refused


def test_a_lock_that_cannot_be_had_is_not_waited_for_without_end(copied: Path, capsys: pytest.CaptureFixture,
                                                                 monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tracking, "PATIENCE", 1)
    with tracking._lock():
        tracking.try_sync(records.leave_training(FILES))
    said = capsys.readouterr().out
    assert said.count("cannot be written") == 1 and "seglib mlsync` mends it" in said
    told()


def test_a_full_disk_below_the_store_costs_no_training(copied: Path, tmp_path: Path, capfd: pytest.CaptureFixture,
                                                       monkeypatch: pytest.MonkeyPatch):
    with small_disk(tmp_path / "small", "16m") as small:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{small}/mlflow.db")
        tracking._client()
        with (small / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(4096))
        train.main(FILES.dataset, FILES.name)
        said = capfd.readouterr()
        assert said.out.count("cannot be written") == 1 and "Traceback" not in said.err, said.err
        assert "cannot be written" in str(CliRunner().invoke(cli.app, ["mlsync"]).exception)
        (small / "filler").unlink()
        assert "5 runs, 5 brought up to date" in CliRunner().invoke(cli.app, ["mlsync"]).output
        assert len(mlflow_runs()) == 5


MAKE = """
import os, signal, sys, time
import mlflow.store.tracking.sqlalchemy_store
from seglib.pipeline import tracking

def make():
    child = os.fork()
    if not child:
        tracking._client()
        os._exit(0)
    return child

for share in (None, *map(float, sys.argv[1:])):
    os.system("rm -rf .work/mlflow")
    began = time.monotonic()
    child = make()
    if share is None:
        os.waitpid(child, 0)
        takes = time.monotonic() - began
        continue
    time.sleep(share * takes)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    outcome = "made" if os.waitpid(make(), 0)[1] == 0 else "not made"
    print(share, outcome, [name for name in os.listdir(".work/mlflow") if "partial" in name], flush=True)
"""


@pytest.mark.parametrize("shares", [["0.6"], pytest.param(["0.4", "0.6", "0.8"], marks=pytest.mark.slow)])
def test_a_store_whose_making_was_killed_is_made_by_the_next(copied: Path, shares: list[str]):
    done = subprocess.run([sys.executable, "-c", MAKE, *shares], check=True, text=True, stdout=subprocess.PIPE)
    assert done.stdout.splitlines() == [f"{share} made []" for share in shares]


TELL = """
import sys
from seglib.pipeline import records, tracking
from seglib.pipeline.workspace import TrainingFiles
from seglib.files import read_json
import mlflow.store.tracking.sqlalchemy_store
files = TrainingFiles("shapes", sys.argv[1])
record = records.leave_result(files)
print("ready", flush=True)
sys.stdin.readline()
live = tracking.LiveRun(record.name, files)
for epoch in (1, 2):
    live([{"epoch": epoch, "split": "val", "span": "epoch", "lr": 0.1, "iteration": epoch, "loss": 1.0 / epoch}])
tracking.try_sync(record)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("count", "twice"), [(1, 1), pytest.param(4, 2, marks=pytest.mark.slow)])
def test_processes_begin_at_once_on_a_store_that_is_not_there(copied: Path, count: int, twice: int):
    """So many variants, and so many of them by two processes."""
    variants = live_trainings("shapes")[:count]
    processes = [subprocess.Popen([sys.executable, "-c", TELL, files.name], stdin=subprocess.PIPE, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                 for files in (*variants, *variants[:twice])]
    for process in processes:
        while (line := process.stdout.readline()) != "ready\n":
            assert line, process.wait()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == [""] * (count + twice)
    runs = mlflow_runs()
    assert sorted(run.info.run_name for run in runs) == [files.name for files in variants]
    from mlflow import MlflowClient
    for run in runs:
        steps = [m.step for m in MlflowClient(tracking.store_uri()).get_metric_history(run.info.run_id, "val/loss")]
        assert run.info.status == "FINISHED" and steps == [1, 2]
        assert run.data.metrics["test/iou_dataset"] == pytest.approx(
            scores_of(TrainingFiles("shapes", run.info.run_name), "test")["iou_dataset"])
