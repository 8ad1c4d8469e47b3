"""The README's commands on generated Shapes and real COCO pictures, in one fresh clone that all tests here share.

The networks are small and the epochs are few, because the road is tested and not the scores.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from seglib.files import file_sha256, read_json
from seglib.pipeline import tracking
from tests.conftest import shared
from tests.report.browser import Browser
from tests.road.clones import clone, executed, make, run, run_queue

pytestmark = [pytest.mark.road, pytest.mark.timeout(3000)]

SMALL = ["-S", "run.losses=[mse,mse_dice]", "-S", "run.seeds=[1234]", "-S", "train.epochs=2", "-S", "train.threads=1",
         "-S", "datasets.coco.train.epochs=2", "-S", "datasets.shapes.train_images=200",
         "-S", "datasets.shapes.test_images=40", "-S", "models.munet.width=16"]
COCO = ["-S", "run.datasets=[shapes,coco]", "-S", "fetch.mirror=../shared/mirror", "-S", "datasets.coco.instances=any",
        "-S", "datasets.coco.allow=[absent_class,unscored_class]"]  # a sample lacks classes


def mlflow_runs(repository: Path, *, comparisons: bool = False) -> list[Any]:
    """The runs of trainings, or those of comparisons."""
    from mlflow import MlflowClient
    client = MlflowClient(f"sqlite:///{repository}/.work/mlflow/mlflow.db")
    found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    return [run for run in found if (run.info.run_name == tracking.COMPARISON) == comparisons]


def lock(text: str) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(text)["stages"]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A clone in which Shapes and COCO went to the report, and what that printed."""
    shared("mirror")
    repository = clone(tmp_path_factory.mktemp("road") / "workshop")
    return repository, run(repository, "dvc", "exp", "run", *SMALL, *COCO)


def test_both_datasets_reach_the_report(workshop: tuple[Path, str]):
    repository, output = workshop
    assert len(executed(output, "train")) == 4
    page = (repository / "reports/index.html").read_text()
    assert "<h2>shapes</h2>" in page and "<h2>coco</h2>" in page
    assert "51 of 74" in page and "a crowd of a chosen class" in page  # what COCO's rule passed over, and what it cut
    contents = read_json(repository / "data/prepared/coco/contents.json")
    assert contents["counts"] == {"train": 20, "val": 3, "test": 9}
    assert set(read_json(repository / "metrics.json")) == {"shapes", "coco"}


def test_a_second_repro_runs_resolve_alone(workshop: tuple[Path, str]):
    """It always runs, and what it writes is as before, so that no later stage runs."""
    repository = workshop[0]
    output = make(repository, "repro")
    assert re.findall(r"Running stage '([^']+)'", output) == ["resolve/dvc.yaml:resolve"]
    assert f"report:     {repository}/reports/index.html" in output


def test_the_page_opens_in_a_browser(workshop: tuple[Path, str], session: Browser):
    session.screen(1280, 900)
    session.open(workshop[0] / "reports/index.html")
    names = session.run("return [...document.querySelectorAll('section.dataset')].map(part => part.dataset.dataset)")
    assert sorted(names) == ["coco", "shapes"]
    assert session.run("return performance.getEntriesByType('resource').every(entry => entry.name.startsWith('file:'))")
    session.run("document.querySelectorAll('img').forEach(image => { image.loading = 'eager'; })")
    assert session.wait_for("return [...document.images].every(image => image.complete)")
    assert session.run("return document.images.length > 0 && [...document.images].every(image => image.naturalWidth)")
    session.run("document.querySelector('.tile canvas').scrollIntoView()")
    assert session.wait_for("""return [...document.querySelectorAll(".tile canvas")].some(canvas => {
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        return copy.getImageData(0, 0, canvas.width, canvas.height).data.some(value => value);
    })""")  # a mask is drawn when its tile is near the screen
    assert session.console() == []


@pytest.mark.usefixtures("chromium")
def test_the_page_is_printed_with_a_bookmark_for_each_heading(workshop: tuple[Path, str]):
    repository = workshop[0]
    assert make(repository, "pdf").endswith("report.pdf\n")
    titles = re.findall(rb"/Title \((.*?)\)", (repository / "report.pdf").read_bytes())
    page = (repository / "reports/index.html").read_text()
    for heading in ("shapes", "coco"):
        assert f"<h2>{heading}</h2>" in page and titles.count(heading.encode()) == 1


def test_git_sees_no_result_but_the_lock_and_the_metrics(workshop: tuple[Path, str]):
    changed = {line.split()[-1] for line in run(workshop[0], "git", "status", "--porcelain").splitlines()}
    assert changed <= {"dvc.lock", "resolve/dvc.lock", "metrics.json", "params.yaml"}


def test_mlflow_holds_exactly_one_run_a_variant(workshop: tuple[Path, str]):
    names = [(run.data.tags["dataset"], run.info.run_name) for run in mlflow_runs(workshop[0])]
    assert sorted(names) == [(dataset, f"munet-{loss}-1234") for dataset in ("coco", "shapes")
                             for loss in ("mse", "mse_dice")]
    run(workshop[0], "seglib", "mlsync")
    assert len(mlflow_runs(workshop[0])) == 4


def test_mlflow_shows_each_comparison_with_the_reports_figures(workshop: tuple[Path, str]):
    from mlflow import MlflowClient
    client = MlflowClient(f"sqlite:///{workshop[0]}/.work/mlflow/mlflow.db")
    runs = mlflow_runs(workshop[0], comparisons=True)
    assert sorted(run.data.tags["dataset"] for run in runs) == ["coco", "shapes"]
    for found in runs:
        artifacts = {artifact.path for artifact in client.list_artifacts(found.info.run_id)}
        assert artifacts >= {"loss.png", "terms.png", "pictures.png", "ranking.csv", "claims.json"}


def test_the_commands_people_look_with(workshop: tuple[Path, str]):
    repository = workshop[0]
    assert "train@coco-munet-mse-1234" in run(repository, "dvc", "dag", "train@coco-munet-mse-1234")
    assert "evaluate" in run(repository, "dvc", "dag", "--collapse-foreach-matrix")
    assert "shapes.munet-mse_dice.iou" in run(repository, "dvc", "metrics", "diff", "--all")
    table = run(repository, "dvc", "exp", "show", "--md", "--drop", ".*", "--keep", r"Experiment|Created|.*\.iou")
    assert "coco.munet-mse_dice.iou" in table and "coco.munet-mse_dice.dice" not in table
    run(repository, "dvc", "plots", "show")
    page = (repository / "dvc_plots/index.html").read_text()
    assert "coco: loss against iterations" in page and "terms.png" in page
    shown = run(repository, "seglib", "show", "data/prepared/coco", "-o", "sheet.png")
    assert shown.strip() == "sheet.png" and (repository / "sheet.png").stat().st_size > 100_000
    (repository / "sheet.png").unlink()
    picture = next((repository / "data/raw/coco/fetched/val2017").iterdir())
    assert picture.name in run(repository, "seglib", "predict", "runs/coco/munet-mse-1234", str(picture), "-o",
                               str(repository.parent / "out"))


def test_a_scaled_dice_trains_only_what_uses_it(workshop: tuple[Path, str]):
    output = run(workshop[0], "dvc", "exp", "run", "-S", "loss.dice_scale=20")
    for stage in ("train", "evaluate"):
        assert executed(output, stage) == {"coco-munet-mse_dice-1234", "shapes-munet-mse_dice-1234"}
    for stage in ("fetch", "prepare"):
        assert executed(output, stage) == set()
    assert len(mlflow_runs(workshop[0])) == 6

    # And back: what was trained before comes from DVC's cache.
    output = run(workshop[0], "dvc", "exp", "run", "-S", "loss.dice_scale=1")
    assert executed(output, "train") == executed(output, "evaluate") == set()
    assert len(mlflow_runs(workshop[0])) == 6


@pytest.mark.slow
def test_queued_experiments_leave_everything_in_mlflow(workshop: tuple[Path, str]):
    repository = workshop[0]
    before = {run.info.run_id for run in mlflow_runs(repository)}
    run(repository, "dvc", "exp", "run", "--queue", "-S", "loss.dice_scale=3,4")
    status = run_queue(repository, jobs=2)
    assert status.count("Success") == 2, status
    new = [run for run in mlflow_runs(repository) if run.info.run_id not in before]
    assert sorted((run.data.tags["dataset"], run.data.params["loss.terms.dice"]) for run in new) == [
        ("coco", "3.0"), ("coco", "4.0"), ("shapes", "3.0"), ("shapes", "4.0")]
    from mlflow import MlflowClient
    client = MlflowClient(f"sqlite:///{repository}/.work/mlflow/mlflow.db")
    for found in new:
        assert found.info.status == "FINISHED" and "test/iou_dataset" in found.data.metrics
        assert {a.path for a in client.list_artifacts(found.info.run_id)} >= {"weights.safetensors", "predictions.png"}
    shutil.rmtree(repository / ".work/mlflow")
    run(repository, "seglib", "mlsync")
    assert len(mlflow_runs(repository)) == len(before) + 4


@pytest.mark.slow
def test_two_clones_train_to_the_same_bytes(workshop: tuple[Path, str], tmp_path: Path):
    """And `instances: single` leaves no cake to test on, which the page says."""
    second = clone(tmp_path / "second")
    run(second, "dvc", "exp", "run", *SMALL, *COCO, "-S", "run.losses=[mse]")
    for dataset in ("shapes", "coco"):
        weights = Path("runs", dataset, "munet-mse-1234/trained/weights.safetensors")
        assert file_sha256(second / weights) == file_sha256(workshop[0] / weights)
    run(second, "dvc", "exp", "run", "-S", "run.datasets=[coco]", "-S", "datasets.coco.instances=single")
    assert ">class absent</span>" in (second / "reports/index.html").read_text()
    assert read_json(second / "data/prepared/coco/contents.json")["counts"] == {"train": 14, "val": 2, "test": 4}


def test_the_committed_lock_holds_for_fetch_and_prepare(tmp_path: Path):
    repository = clone(tmp_path / "locked")
    committed = lock((repository / "dvc.lock").read_text())
    run(repository, "dvc", "repro", "prepare@shapes")
    made = lock((repository / "dvc.lock").read_text())
    for stage in ("fetch@shapes", "prepare@shapes"):
        assert made[stage] == committed[stage]
