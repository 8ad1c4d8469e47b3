"""What MLflow holds of the stages' results, and what becomes of a store that is lost or locked."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from seglib import cli
from seglib.files import file_sha256, read_json
from seglib.pipeline import records, tracking
from seglib.pipeline.workspace import TrainingFiles, live_trainings
from stages import train
from tests.stages.conftest import scores_of


def mlflow_runs() -> list[Any]:
    from mlflow import MlflowClient
    client = MlflowClient(tracking.store_uri())
    return client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])


def test_mlflow_holds_one_whole_run_a_variant_and_one_of_their_comparison(repository: Path):
    runs = {run.info.run_name: run for run in mlflow_runs()}
    assert sorted(runs) == sorted([tracking.COMPARISON, *(files.name for files in live_trainings("shapes"))])
    from mlflow import MlflowClient
    client = MlflowClient(tracking.store_uri())
    compared = runs.pop(tracking.COMPARISON)
    assert compared.info.status == "FINISHED"
    artifacts = {artifact.path for artifact in client.list_artifacts(compared.info.run_id)}
    assert {"loss.png", "pictures.png", "ranking.csv", "pairs.csv", "claims.json"} <= artifacts
    for run in runs.values():
        assert run.info.status == "FINISHED"
        assert run.data.params["train.epochs"] == "2" and run.data.params["provenance.device"] == "cpu"
        assert len(run.data.params["provenance.fingerprint"]) == 64
        assert [m.step for m in client.get_metric_history(run.info.run_id, "val/loss")] == [1, 2]
        assert "test/iou_dataset/star" in run.data.metrics
        artifacts = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
        assert {"weights.safetensors", "predictions.png", "scores.csv", "history.csv"} <= artifacts


def test_syncing_again_doubles_nothing(repository: Path):
    before = {run.info.run_id: run.data.metrics for run in mlflow_runs()}
    result = CliRunner().invoke(cli.app, ["mlsync"])
    assert "5 runs, 0 brought up to date" in result.output
    assert {run.info.run_id: run.data.metrics for run in mlflow_runs()} == before


@pytest.mark.parametrize("lost", [["mlflow"], ["mlflow", "tracking"]])
def test_a_lost_store_is_rebuilt(copied: Path, lost: list[str]):
    for name in lost:
        shutil.rmtree(copied / ".work" / name, ignore_errors=True)
    result = CliRunner().invoke(cli.app, ["mlsync"])
    assert "5 runs, 5 brought up to date" in result.output, result.output
    scores = {run.info.run_name: run.data.metrics.get("test/iou_dataset") for run in mlflow_runs()}
    assert scores.pop(tracking.COMPARISON) is None
    assert scores == {files.name: pytest.approx(scores_of(files, "test")["iou_dataset"])
                      for files in live_trainings("shapes")}


def test_scores_of_weights_that_were_not_compared_are_not_left(copied: Path):
    """A training that was repeated since: its record would hold the scores of other weights."""
    files = TrainingFiles("shapes", "munet-mse-1")
    files.weights.write_bytes(files.weights.read_bytes() + b" ")
    left = {record.name for record in records.leave_scores("shapes")}
    assert left == {read_json(other.timing)["identity"] for other in live_trainings("shapes") if other != files}


def test_only_files_that_changed_are_sent_again(copied: Path, monkeypatch: pytest.MonkeyPatch):
    """Weights are large, and compare adds scores to what train and evaluate sent."""
    from mlflow import MlflowClient
    assert "5 brought up to date" in CliRunner().invoke(cli.app, ["mlsync"]).output
    sent, log_artifact = [], MlflowClient.log_artifact
    monkeypatch.setattr(MlflowClient, "log_artifact",
                        lambda self, run, path: (sent.append(Path(path).name), log_artifact(self, run, path)))
    record = records.leave_training(TrainingFiles("shapes", "munet-mse-1"))
    (record / "scores.csv").write_text("split,class,score,value\ntest,,mine,0.25\n")
    assert tracking.sync(record) and not tracking.sync(record)
    assert sent == ["scores.csv"]
    run, = [run for run in mlflow_runs() if run.data.tags[tracking.IDENTITY_TAG] == record.name]
    assert run.data.metrics["test/mine"] == 0.25


def test_what_a_killed_upload_left_is_removed(copied: Path):
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
    CliRunner().invoke(cli.app, ["mlsync"])
    record = records.leave_training(TrainingFiles("shapes", "munet-mse-1"))
    run, = [run for run in mlflow_runs() if run.data.tags[tracking.IDENTITY_TAG] == record.name]
    _, left, _ = LocalArtifactRepository(run.info.artifact_uri)._create_staging_artifact("scores.csv")
    (record / "scores.csv").write_text("split,class,score,value\ntest,,mine,0.25\n")
    assert tracking.sync(record) and not Path(left).exists()
    assert (Path(left).parent / "scores.csv").read_bytes() == (record / "scores.csv").read_bytes()


def test_syncing_without_a_workspace_or_a_store_is_no_traceback(copied: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.rmtree("conf")
    assert "5 runs, 5 brought up to date" in CliRunner().invoke(cli.app, ["mlsync"]).output
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/no/such/folder.db")
    assert "cannot be written" in str(CliRunner().invoke(cli.app, ["mlsync"]).exception)


def test_a_repeated_training_doubles_no_curve(copied: Path):
    for _ in range(2):
        train.main("shapes", "munet-mse-1")
    from mlflow import MlflowClient
    run, = mlflow_runs()
    history = MlflowClient(tracking.store_uri()).get_metric_history(run.info.run_id, "val/loss")
    assert [metric.step for metric in history] == [1, 2]


def test_a_store_that_cannot_be_written_stops_nothing(copied: Path, monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture):
    tracking._lost.clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/no/such/folder.db")
    before = file_sha256(TrainingFiles("shapes", "munet-mse-1").weights)
    train.main("shapes", "munet-mse-1")
    assert file_sha256(TrainingFiles("shapes", "munet-mse-1").weights) == before
    assert capsys.readouterr().out.count("cannot be written") == 1
    assert (records.folder() / read_json(TrainingFiles("shapes", "munet-mse-1").timing)["identity"]).is_dir()
