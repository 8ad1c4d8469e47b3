"""The stages one after another in a small repository of their own, and what is built on their files."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from typer.testing import CliRunner

from seglib import cli, records, tracking
from seglib.comparison import variants as comparison
from seglib.datasets.store import DatasetInfo, Split, unpack
from seglib.files import file_sha256, read_json, write_json
from seglib.metrics.counts import COUNTS
from seglib.training.device import prepare_process, turn
from seglib.workspace import VariantFiles, live_variants
from stages import compare, evaluate, prepare, report, resolve, train
from stages import fetch as fetch_stage
from tests.conftest import ROOT


def write_params(raw: dict[str, Any], folder: Path) -> None:
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(raw, file)


@pytest.fixture(scope="module")
def small_params() -> dict[str, Any]:
    raw = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    raw["run"] = {"datasets": ["shapes"], "models": ["munet"], "losses": ["mse", "mse_dice"], "seeds": [1, 2]}
    raw["datasets"]["shapes"] |= {"train_images": 32, "test_images": 10}
    raw["models"]["munet"] |= {"width": 8}
    raw["train"] |= {"epochs": 2, "log_every": 2, "device": "cpu", "threads": 1}
    raw["compare"] = {"pictures": 3, "gallery": 6, "resamples": 1000}
    return raw


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_params: dict[str, Any]) -> Path:
    """A repository in which every stage has run."""
    folder = tmp_path_factory.mktemp("repository")
    write_params(small_params, folder)
    shutil.copyfile(ROOT / "claims.yaml", folder / "claims.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        resolve.main()
        fetch_stage.main("shapes")
        prepare.main("shapes")
        for files in live_variants("shapes"):
            train.main("shapes", files.name)
            evaluate.main("shapes", files.name)
        compare.main("shapes")
        report.main()
    return folder


@pytest.fixture
def repository(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished repository, to read."""
    monkeypatch.chdir(finished)
    monkeypatch.setenv("DVC_ROOT", str(finished))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return finished


@pytest.fixture
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished repository, to change; its MLflow store is not copied."""
    target = tmp_path / "copy"
    shutil.copytree(finished, target, ignore=shutil.ignore_patterns("mlflow"))
    monkeypatch.chdir(target)
    monkeypatch.setenv("DVC_ROOT", str(target))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return target


def mlflow_runs() -> list[Any]:
    from mlflow import MlflowClient
    client = MlflowClient(tracking.store_uri())
    return client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])


def test_every_output_is_there_and_no_checkpoint_is_left(repository: Path):
    for files in live_variants("shapes"):
        for path in (files.weights, files.history, files.snapshots, files.timing, files.counts, files.objects,
                     files.ranking, files.scores, files.predictions):
            assert path.is_file()
    for name in ("fetch", "prepare", "evaluate", "compare"):
        assert (repository / f"conf/shapes.{name}.json").is_file()
    assert not list((repository / ".work/checkpoints").rglob("*.pt"))
    assert (repository / "data/previews/shapes.png").is_file()


def test_scores_and_predictions_follow_from_each_other(repository: Path):
    files = VariantFiles("shapes", "munet-mse_dice-1")
    info, test = DatasetInfo.read(files.prepared), Split.open(files.prepared, "test")
    predicted, truth = (unpack(np.asarray(masks), 5, task=info.task)
                        for masks in (np.load(files.predictions), test.masks))
    table = pd.read_parquet(files.counts).query("split == 'test'")
    assert table["class"].tolist() == info.classes * 10
    counts = table[[*COUNTS]].to_numpy().reshape(10, 5, 4)
    np.testing.assert_array_equal(counts[..., 0], (predicted & truth).sum((2, 3)))
    np.testing.assert_array_equal(counts.sum(-1), 64 * 64)
    pooled = counts.sum(0)
    iou = pooled[:, 0] / np.maximum(pooled[:, :3].sum(1), 1)
    scores = read_json(files.scores)
    assert scores["test"]["mean"]["iou_dataset"] == pytest.approx(iou[truth.any((0, 2, 3))].mean())
    assert scores["weights_sha256"] == file_sha256(files.weights)


def test_the_scores_of_a_training_are_those_of_its_evaluation(repository: Path):
    """The weights kept are those of the best epoch by val IoU, which evaluation then finds again."""
    for files in live_variants("shapes"):
        history = pd.read_csv(files.history).query("split == 'val'")
        best = history.loc[history["iou_score"].idxmax()]
        val = read_json(files.scores)["val"]["mean"]
        assert val["iou_dataset"] == pytest.approx(best["iou_score"], rel=1e-6)
        assert val["dice_dataset"] == pytest.approx(best["dice_score"], rel=1e-6)


def test_evaluating_and_comparing_again_gives_the_same_bytes(copied: Path):
    files = VariantFiles("shapes", "munet-mse-1")
    watched = [files.counts, files.objects, files.ranking, files.scores, files.predictions,
               *(path for path in sorted(Path("comparisons").rglob("*")) if path.is_file())]
    before = {path: file_sha256(path) for path in watched}
    evaluate.main("shapes", files.name)
    compare.main("shapes")
    assert {path: file_sha256(path) for path in watched} == before


def test_mlflow_holds_one_whole_run_a_variant_and_one_of_their_comparison(repository: Path):
    runs = {run.info.run_name: run for run in mlflow_runs()}
    assert sorted(runs) == sorted([tracking.COMPARISON, *(files.name for files in live_variants("shapes"))])
    from mlflow import MlflowClient
    client = MlflowClient(tracking.store_uri())
    compared = runs.pop(tracking.COMPARISON)
    assert compared.info.status == "FINISHED"
    artifacts = {artifact.path for artifact in client.list_artifacts(compared.info.run_id)}
    assert {"loss.png", "pictures.png", "ranking.csv", "pairs.csv", "claims.json"} <= artifacts
    for run in runs.values():
        assert run.info.status == "FINISHED"
        assert run.data.params["train.epochs"] == "2"
        assert [m.step for m in client.get_metric_history(run.info.run_id, "val/loss")] == [1, 2]
        assert "test/iou_dataset/star" in run.data.metrics
        artifacts = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
        assert {"weights.safetensors", "predictions.png", "scores.json", "history.csv"} <= artifacts


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
    assert scores == {files.name: pytest.approx(read_json(files.scores)["test"]["mean"]["iou_dataset"])
                      for files in live_variants("shapes")}


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
    tracking._say_lost.cache_clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/no/such/folder.db")
    before = file_sha256(VariantFiles("shapes", "munet-mse-1").weights)
    train.main("shapes", "munet-mse-1")
    assert file_sha256(VariantFiles("shapes", "munet-mse-1").weights) == before
    assert capsys.readouterr().out.count("cannot be written") == 1
    assert (records.folder() / read_json(VariantFiles("shapes", "munet-mse-1").timing)["identity"]).is_dir()


def test_what_a_killed_checkpoint_left_stops_nothing(copied: Path):
    identity = read_json(VariantFiles("shapes", "munet-mse-1").timing)["identity"]
    folder = copied / ".work/checkpoints" / identity
    folder.mkdir(parents=True)
    (folder / ".last.pt.half").write_bytes(b"half")
    train.main("shapes", "munet-mse-1")
    assert not folder.exists()


def train_with(files: VariantFiles, **settings: Any) -> list[str]:
    """Train a variant with other settings than it was resolved with; the sha256 of what comes out."""
    config = read_json(files.conf)
    write_json(files.conf, config | {"train": config["train"] | settings})
    train.main(files.dataset, files.name)
    return [file_sha256(path) for path in (files.weights, files.history, files.snapshots)]


def test_more_epochs_extend_a_finished_training(copied: Path, capsys: pytest.CaptureFixture):
    """Where the schedule allows it, what is kept of a finished training is the beginning of a longer one."""
    files = VariantFiles("shapes", "munet-mse-1")
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
    files = VariantFiles("shapes", "munet-mse-1")
    train_with(files, overfit=3)
    best = pd.read_csv(files.history).query("split == 'val'")["iou_score"].max()
    assert f"overfit: no, IoU {best:.3f} on the 3 pictures" in capsys.readouterr().out


def test_a_model_without_gradients_goes_the_same_way(copied: Path):
    files = VariantFiles("shapes", "frequency-mse-1")
    raw = YAML(typ="safe", pure=True).load(Path("params.yaml").read_text())
    raw["run"] |= {"models": ["frequency"]}
    write_params(raw, copied)
    resolve.main()
    outcomes = []
    for _ in range(2):
        train.main("shapes", files.name)
        outcomes.append([file_sha256(path) for path in (files.weights, files.history, files.snapshots)])
    assert outcomes[0] == outcomes[1]
    evaluate.main("shapes", files.name)
    history = pd.read_csv(files.history).set_index("split")
    assert history["loss"].isna().all() and history["span"].eq("epoch").all() and len(history) == 2
    val = read_json(files.scores)["val"]["mean"]
    for name in ("iou", "dice", "pixel_accuracy"):
        assert val[f"{name}_dataset"] == pytest.approx(history.loc["val", f"{name}_score"], rel=1e-6)
    assert not list(Path(".work/checkpoints").rglob("*.pt"))


def test_trainings_take_turns_on_the_cores(copied: Path):
    """A training whose cores are taken waits, says so, and ends in the same bytes."""
    files = VariantFiles("shapes", "munet-mse-1")
    before = file_sha256(files.weights)
    prepare_process(None)  # all cores
    with turn(torch.device("cpu")):
        waiting = subprocess.Popen([sys.executable, "-u", "-m", "stages.train", "shapes", files.name],
                                   env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)
        assert "waiting for this machine's cores" in waiting.stdout.readline()
        assert waiting.poll() is None
    waiting.communicate()
    assert waiting.returncode == 0
    assert file_sha256(files.weights) == before


def test_variants_of_one_configuration_are_one_row(copied: Path):
    for seed in (1, 2):
        source, twin = VariantFiles("shapes", f"munet-mse-{seed}"), VariantFiles("shapes", f"munet-other-{seed}")
        for name in ("conf", "weights", "history", "counts", "objects", "ranking", "scores", "predictions"):
            target = getattr(twin, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(getattr(source, name), target)
    variants = comparison.load("shapes", DatasetInfo.read(source.prepared))
    assert sorted(variant.label for variant in variants) == ["munet mse = munet other", "munet mse_dice"]
    assert all(len(variant.runs) == 2 for variant in variants)


def test_stale_variants_are_not_compared(copied: Path):
    for path in Path("conf/shapes").glob("munet-mse-*.json"):
        path.unlink()
    compare.main("shapes")
    assert set(pd.read_csv("comparisons/shapes/tables/scores.csv")["variant"]) == {"munet mse_dice"}


def test_tables_hold_mean_and_spread_over_seeds(repository: Path):
    table = pd.read_csv("comparisons/shapes/tables/scores.csv").set_index(["variant", "split", "score"])
    by_seed = [read_json(VariantFiles("shapes", f"munet-mse-{seed}").scores)["val"]["mean"]["dice_image_mean"]
               for seed in (1, 2)]
    row = table.loc["munet mse", "val", "dice_image_mean"]
    assert row["mean"] == pytest.approx(np.mean(by_seed), abs=1e-8)
    assert row["sd"] == pytest.approx(np.std(by_seed, ddof=1), abs=1e-8)
    assert (row["seeds"], row["images"]) == (2, 4)


def test_normalised_curves_span_0_to_1(repository: Path):
    curves = pd.read_csv("comparisons/shapes/tables/curves.csv")
    spans = curves.groupby(["variant", "seed", "curve"])["normalised"].agg(["min", "max"])
    assert (spans["min"] == 0).all() and (spans["max"] == 1).all()


def test_a_comparison_holds_all_that_the_page_shows(repository: Path):
    folder = Path("comparisons/shapes")
    assert {path.stem for path in (folder / "tables").glob("*.csv")} == {
        "scores", "pairs", "ranking", "classes", "curves", "groups", "confusion", "gradients", "dice_names",
        "trainings"}
    ranking = pd.read_csv(folder / "tables/ranking.csv")
    assert set(ranking["variant"]) == {"munet mse", "munet mse_dice"}
    assert (ranking["low"] <= ranking["mean"]).all() and (ranking["mean"] <= ranking["high"]).all()
    assert len(read_json(folder / "gallery/gallery.json")["pictures"]) == 6
    verdicts = {claim["id"]: claim["verdict"] for claim in read_json(folder / "tables/claims.json")}
    assert verdicts["shapes-is-balanced"] != "not run"
    assert verdicts["aspp-helps@mse"] == "not run"
    assert read_json(folder / "tables/summary.json")["resamples"] == 1000


def test_the_page_and_the_headline_are_of_every_variant(repository: Path):
    page = Path("reports/index.html").read_text()
    headline = json.loads(Path("metrics.json").read_text())["shapes"]
    assert set(headline) == {"munet-mse", "munet-mse_dice"}
    for label, numbers in headline.items():
        assert label.replace("-", " ") in page
        assert numbers["iou_low"] <= numbers["iou"] <= numbers["iou_high"]


def absent(name: str) -> None:
    """Take a class out of every test picture's truth, as COCO's sample has no large single cake in val2017."""
    k = DatasetInfo.read(Path("data/prepared/shapes")).classes.index(name)
    path = Path("data/prepared/shapes/test/masks.npy")
    masks = np.load(path)
    np.save(path, masks & ~np.uint8(1 << k))


def test_a_class_that_no_test_picture_holds_has_no_score(copied: Path):
    absent("star")
    for files in live_variants("shapes"):
        evaluate.main("shapes", files.name)
    compare.main("shapes")
    report.main()
    classes = pd.read_csv("comparisons/shapes/tables/classes.csv").set_index(["split", "class"])
    assert classes.loc[("test", "star"), "iou_dataset"].isna().all()
    assert classes.loc[("test", "disk"), "iou_dataset"].notna().all()


def test_a_mistake_in_claims_leaves_the_old_comparison(copied: Path):
    before = file_sha256(Path("comparisons/shapes/tables/scores.csv"))
    Path("claims.yaml").write_text("- {id: x")
    with pytest.raises(ValueError, match="claims.yaml is not YAML"):
        compare.main("shapes")
    assert file_sha256(Path("comparisons/shapes/tables/scores.csv")) == before


def test_a_mistake_in_params_leaves_the_old_configuration(copied: Path, small_params: dict[str, Any]):
    before = sorted(path.name for path in Path("conf/shapes").iterdir())
    wrong = copy.deepcopy(small_params)
    wrong["train"]["lr"] = 0
    write_params(wrong, copied)
    with pytest.raises(ValueError, match="train.lr"):
        resolve.main()
    assert sorted(path.name for path in Path("conf/shapes").iterdir()) == before


def test_show_draws_a_sheet_and_pictures_by_id(repository: Path, tmp_path: Path):
    run = CliRunner().invoke
    sheet, two = tmp_path / "sheet.png", tmp_path / "two.png"
    assert run(cli.app, ["show", "data/prepared/shapes", "-o", str(sheet)]).exit_code == 0
    ids = Split.open(Path("data/prepared/shapes"), "test").index()["id"].to_list()
    assert run(cli.app, ["show", "data/prepared/shapes", ids[0], ids[3], "-o", str(two)]).exit_code == 0
    with Image.open(sheet) as first, Image.open(two) as second:
        assert first.width > 1000 and second.width > 1000
    result = run(cli.app, ["show", "data/prepared/shapes", "nobody"])
    assert isinstance(result.exception, ValueError) and "has no picture nobody" in str(result.exception)


def test_predict_writes_masks_at_the_pictures_own_size(repository: Path, tmp_path: Path):
    picture = Split.open(Path("data/prepared/shapes"), "test").images[0]
    Image.fromarray(picture).resize((150, 90)).save(tmp_path / "a.jpg")
    Image.fromarray(picture).convert("L").save(tmp_path / "b.tif")
    result = CliRunner().invoke(cli.app, ["predict", "runs/shapes/munet-mse_dice-1", str(tmp_path / "a.jpg"),
                                          str(tmp_path / "b.tif"), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    for name, size in (("a", (150, 90)), ("b", (64, 64))):
        with Image.open(tmp_path / f"out/{name}.mask.png") as mask:
            assert mask.size == size and mask.mode == "P" and np.asarray(mask).max() <= 5
        with Image.open(tmp_path / f"out/{name}.overlay.png") as overlay:
            assert overlay.size == size and overlay.mode == "RGB"


def test_predict_never_overwrites_its_own_output(repository: Path, tmp_path: Path):
    picture = Image.fromarray(Split.open(Path("data/prepared/shapes"), "test").images[0])
    for name in ("one/a.png", "two/a.png", "one/a.bmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture.save(tmp_path / name)

    def predict(*names: str) -> Any:
        return CliRunner().invoke(cli.app, ["predict", "runs/shapes/munet-mse-1", *(str(tmp_path / n) for n in names),
                                            "-o", str(tmp_path / "out")])
    assert "several pictures are called a.png" in str(predict("one/a.png", "two/a.png").exception)
    assert predict("one/a.png", "one/a.bmp").exit_code == 0
    assert {path.name for path in (tmp_path / "out").glob("*.mask.png")} == {"a.png.mask.png", "a.bmp.mask.png"}


def test_predict_agrees_with_evaluate_at_the_training_size(repository: Path, tmp_path: Path):
    files = VariantFiles("shapes", "munet-mse_dice-1")
    Image.fromarray(Split.open(files.prepared, "test").images[0]).save(tmp_path / "a.png")
    CliRunner().invoke(cli.app, ["predict", str(files.weights.parent), str(tmp_path / "a.png"), "-o", str(tmp_path)])
    with Image.open(tmp_path / "a.mask.png") as mask:
        found = np.asarray(mask) > 0
    np.testing.assert_array_equal(found, np.load(files.predictions)[0] > 0)


def test_predict_reads_real_odd_pictures_and_names_the_damaged(repository: Path, hostile_images: Path, tmp_path: Path):
    odd = sorted((hostile_images / "fakedata/logos").iterdir())
    arguments = [*map(str, odd), str(hostile_images / "damaged_png/sigsegv.png"), "-o", str(tmp_path)]
    result = CliRunner().invoke(cli.app, ["predict", "runs/shapes/munet-mse-1", *arguments])
    assert isinstance(result.exception, ValueError) and str(result.exception) == "1 of 11 pictures could not be read"
    assert len(list(tmp_path.glob("*.mask.png"))) == 10
