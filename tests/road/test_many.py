"""Many at once: a queue with four workers, and eight `dvc repro -s` side by side; all is there, once each."""

import random
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from seglib.files import file_sha256
from seglib.pipeline import tracking
from tests.road.clones import environment, run, run_queue
from tests.road.kills import prepared_clone
from tests.road.test_road import lock, mlflow_runs

pytestmark = [pytest.mark.road, pytest.mark.slow, pytest.mark.timeout(1500)]

SCALES = (3, 4, 5, 6)
"""Of dice, one an experiment."""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a small study's data prepared, and nothing trained."""
    repository = prepared_clone(tmp_path_factory.mktemp("many") / "workshop", epochs=1)
    yaml, path = YAML(), repository / "params.yaml"
    content = yaml.load(path)
    content["run"] |= {"losses": ["mse", "dice", "mse_dice", "mse_dice20"], "seeds": [1, 2]}
    yaml.dump(content, path)
    run(repository, "dvc", "repro", "prepare@shapes")
    return repository


def test_eight_trainings_side_by_side_are_all_there(workshop: Path):
    variants = [f"munet-{loss}-{seed}" for loss in ("mse", "dice", "mse_dice", "mse_dice20") for seed in (1, 2)]
    processes = [subprocess.Popen(["dvc", "--wait-for-lock", "repro", "-s", f"train@shapes-{variant}"], cwd=workshop,
                                  env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True) for variant in variants]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    locked = lock((workshop / "dvc.lock").read_text())
    for variant in variants:
        made = {Path(out["path"]).name for out in locked[f"train@shapes-{variant}"]["outs"]}
        assert "trained" in made
        assert (workshop / "runs/shapes" / variant / "trained" / "weights.safetensors").exists()
    assert sorted(found.info.run_name for found in mlflow_runs(workshop)) == sorted(variants)
    assert "Running stage" not in run(workshop, "dvc", "repro", "-s", *(f"train@shapes-{one}" for one in variants))


def test_four_workers_leave_every_experiment_once(workshop: Path):
    """In MLflow with all files, though each ran in a folder that is gone; and in DVC, each to be applied."""
    run(workshop, "git", "commit", "--quiet", "--all", "--message", "eight variants")
    before = {found.info.run_id for found in mlflow_runs(workshop)}
    run(workshop, "dvc", "exp", "run", "--queue", "-S", "run.losses=[mse,mse_dice]", "-S", "run.seeds=[1]", "-S",
        f"loss.dice_scale={','.join(map(str, SCALES))}")
    status = run_queue(workshop, jobs=4)
    assert status.count("Success") == 4, status
    new = [found for found in mlflow_runs(workshop) if found.info.run_id not in before]
    assert sorted(float(found.data.params["loss.terms.dice"]) for found in new) == list(SCALES)
    assert len(mlflow_runs(workshop, comparisons=True)) == 4
    from mlflow import MlflowClient
    client = MlflowClient(f"sqlite:///{workshop}/.work/mlflow/mlflow.db")
    for found in new:
        assert found.info.status == "FINISHED" and "test/iou_dataset" in found.data.metrics
        folder = Path(found.info.artifact_uri.removeprefix("file://"))
        assert folder.is_relative_to(workshop / ".work")
        assert {a.path for a in client.list_artifacts(found.info.run_id)} >= {"weights.safetensors", "predictions.png"}
    names = run(workshop, "dvc", "exp", "list", "--name-only").split()
    assert len(names) == 4
    name = random.Random(1).choice(names)
    run(workshop, "dvc", "exp", "apply", name)
    scale = YAML(typ="safe").load(workshop / "params.yaml")["loss"]["dice_scale"]
    run_, = [found for found in new if float(found.data.params["loss.terms.dice"]) == scale]
    kept = Path(run_.info.artifact_uri.removeprefix("file://"), "weights.safetensors")
    assert file_sha256(kept) == file_sha256(workshop / "runs/shapes/munet-mse_dice-1/trained/weights.safetensors")
    run(workshop, "python", "-m", "seglib.cli", "mlsync")
    assert {found.data.tags[tracking.IDENTITY_TAG] for found in new} <= {
        found.data.tags[tracking.IDENTITY_TAG] for found in mlflow_runs(workshop)}
    assert len(mlflow_runs(workshop)) == len(before) + 4
