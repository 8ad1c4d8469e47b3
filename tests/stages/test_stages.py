"""The stages one after another: what each leaves, and what is compared."""

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from seglib.comparison import variants as comparison
from seglib.configs import PredictConfig
from seglib.datasets.store import DatasetInfo, Split
from seglib.evaluation import evaluate_splits
from seglib.files import file_sha256, read_json
from seglib.metrics.counts import COUNTS
from seglib.pipeline.workspace import TrainingFiles, live_trainings
from stages import compare, evaluate, fetch, predict, prepare, report, resolve
from tests.conftest import shared
from tests.stages.conftest import enter, scores_of, write_params

BASELINES = ("all background", "all foreground", "pixel frequency")


def test_every_output_is_there_and_no_checkpoint_is_left(repository: Path):
    for files in live_trainings("shapes"):
        assert all(path.is_file() for path in (*files.outputs, files.timing))
        for folder in (files.weights.parent, files.results):  # and no other file, because DVC keeps the whole folder
            assert set(folder.iterdir()) <= {*files.outputs}
    configs = {path.name for path in (repository / "conf").glob("*.json")}
    of_dataset = {f"shapes.{stage}.json" for stage in ("fetch", "prepare", "predict", "compare")}
    assert configs == of_dataset | {"machine.json", "report.json"}
    assert all(files.train_config.is_file() and files.evaluate_config.is_file() for files in live_trainings("shapes"))
    assert not list((repository / ".work/checkpoints").rglob("*.pt"))
    assert (repository / "data/previews/shapes.png").is_file()


def test_counts_and_predictions_follow_from_each_other(repository: Path):
    files = TrainingFiles("shapes", "munet-mse_dice-1")
    info, test = DatasetInfo.read(files.prepared), Split.open(files.prepared, "test")
    predicted, truth = (info.task.unpack(np.asarray(masks), 5)
                        for masks in (np.load(files.predictions), test.masks))
    table = pd.read_parquet(files.counts).query("split == 'test'")
    assert table["class"].tolist() == info.classes * 10
    counts = table[[*COUNTS]].to_numpy().reshape(10, 5, 4)
    np.testing.assert_array_equal(counts[..., 0], (predicted & truth).sum((2, 3)))
    np.testing.assert_array_equal(counts.sum(-1), 64 * 64)
    pooled = counts.sum(0)
    iou = pooled[:, 0] / np.maximum(pooled[:, :3].sum(1), 1)
    assert scores_of(files, "test")["iou_dataset"] == pytest.approx(iou[truth.any((0, 2, 3))].mean())
    assert read_json(files.evaluation) == {
        "predictor": {"kind": "munet", "fit": "gradients", "hint": None}, "tolerance": 2, "boundary_band": None,
        "weights_sha256": file_sha256(files.weights), "pictures": {"val": 4, "test": 10}}


def test_the_scores_of_a_training_are_those_of_its_evaluation(repository: Path):
    """The weights kept are those of the best epoch by val IoU, which evaluation then finds again."""
    for files in live_trainings("shapes"):
        history = pd.read_csv(files.history).query("split == 'val'")
        best = history.loc[history["iou_score"].idxmax()]
        val = scores_of(files, "val")
        assert val["iou_dataset"] == pytest.approx(best["iou_score"], rel=1e-6)
        assert val["dice_dataset"] == pytest.approx(best["dice_score"], rel=1e-6)


def test_evaluating_and_comparing_again_gives_the_same_bytes(copied: Path):
    files = TrainingFiles("shapes", "munet-mse-1")
    watched = [files.counts, files.objects, files.ranking, files.confusion, files.evaluation, files.predictions,
               *(path for path in sorted(Path("comparisons").rglob("*")) if path.is_file())]
    before = {path: file_sha256(path) for path in watched}
    evaluate.main("shapes", files.name)
    compare.main("shapes")
    assert {path: file_sha256(path) for path in watched} == before


def test_variants_of_one_configuration_are_one_row(copied: Path):
    for seed in (1, 2):
        source, twin = TrainingFiles("shapes", f"munet-mse-{seed}"), TrainingFiles("shapes", f"munet-other-{seed}")
        for name in ("train_config", "weights", "history", "counts", "objects", "ranking", "evaluation", "predictions"):
            target = getattr(twin, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(getattr(source, name), target)
    variants = comparison.load("shapes", DatasetInfo.read(source.prepared))
    trained = comparison.trained(variants)
    assert sorted(variant.label for variant in trained) == ["munet mse = munet other", "munet mse_dice"]
    assert all(len(variant.results) == 2 for variant in trained)


def test_stale_variants_are_not_compared(copied: Path):
    for path in Path("conf/shapes").glob("munet-mse-*"):
        shutil.rmtree(path)
    compare.main("shapes")
    assert set(pd.read_csv("comparisons/shapes/tables/scores.csv")["variant"]) == {"munet mse_dice", *BASELINES}


def test_tables_hold_mean_and_spread_over_seeds(repository: Path):
    table = pd.read_csv("comparisons/shapes/tables/scores.csv").set_index(["variant", "split", "score"])
    by_seed = [scores_of(TrainingFiles("shapes", f"munet-mse-{seed}"), "val")["dice_image_mean"] for seed in (1, 2)]
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
        "trainings", "training_scores", "seed_scores", "seed_classes", "group_pairs", "baselines", "provenance",
        "conventions", "reversals"}
    ranking = pd.read_csv(folder / "tables/ranking.csv")
    assert set(ranking["variant"]) == {"munet mse", "munet mse_dice"}
    assert (ranking["low"] <= ranking["mean"]).all() and (ranking["mean"] <= ranking["high"]).all()
    assert len(read_json(folder / "gallery/gallery.json")["pictures"]) == 6
    verdicts = {claim["id"]: claim["verdict"] for claim in read_json(folder / "tables/claims.json")}
    assert verdicts["shapes-is-balanced-here"] != "not run"
    assert verdicts["aspp-helps@mse"] == "not run"
    assert set(verdicts.values()) <= {"not run", "too few seeds", verdicts["shapes-is-balanced-here"]}  # of two seeds
    assert read_json(folder / "tables/summary.json")["margin"] == 0.01
    assert set(read_json(folder / "tables/findings.json")) == {
        "answer", "failures", "dice_names", "equals_baseline", "made"}
    assert read_json(folder / "tables/coursework.json")["dice_scale"]["ran"] == [1]


def test_the_page_and_the_headline_are_of_every_variant(repository: Path):
    page = Path("reports/index.html").read_text()
    headline = json.loads(Path("metrics.json").read_text())["shapes"]
    assert set(headline) == {"munet-mse", "munet-mse_dice", *(label.replace(" ", "-") for label in BASELINES)}
    for label, numbers in headline.items():
        assert label.replace("-", " ") in page
        assert numbers["iou_low"] <= numbers["iou"] <= numbers["iou_high"]


def test_two_seeds_are_too_few_in_tables_terminal_and_page(copied: Path, capsys: pytest.CaptureFixture):
    Path("claims.yaml").write_text("""
- {id: mine, claim: Dice helps., whose: yours, source: a test, datasets: [shapes], parts: [
   {score: iou_dataset, is: above, than: 0, a: {model: munet, loss: mse}}]}
""")
    compare.main("shapes")
    report.main()
    said = capsys.readouterr().out
    assert re.search(r"^shapes: too few seeds \(2\) to call a variant best; highest mean test IoU: munet \w+, 0\.\d{3} "
                     r"\(seeds 0\.\d{3}, 0\.\d{3}\); 2 of its 2 seeds failed$", said, re.MULTILINE)  # of 2 epochs
    assert re.search(r"^shapes: 2 of 2 seeds of munet mse failed because test IoU is not above 0\.\d{3}, that of the "
                     r"best baseline, all foreground$", said, re.MULTILINE)
    assert pd.read_csv("comparisons/shapes/ranking.csv")["failed"].tolist() == [2, 2]
    assert "shapes: claims too few seeds: mine\n" in said and "best on test" not in said
    assert pd.read_csv("comparisons/shapes/ranking.csv")["rank_high"].isna().all()
    assert not pd.read_csv("comparisons/shapes/tables/pairs.csv")["verdict"].eq("better").any()
    page = Path("reports/index.html").read_text()
    assert "There are too few seeds to name a best variant: 2 were trained, and at least 3 are needed." in page


def absent(name: str) -> None:
    """Take a class out of every test picture's truth, as COCO's sample has no large single cake in val2017."""
    k = DatasetInfo.read(Path("data/prepared/shapes")).classes.index(name)
    path = Path("data/prepared/shapes/test/masks.npy")
    masks = np.load(path)
    np.save(path, masks & ~np.uint8(1 << k))


def test_a_class_that_no_test_picture_holds_has_no_score(copied: Path):
    absent("star")
    for path in Path("conf/shapes").glob("*-2"):  # one seed says as much as two
        shutil.rmtree(path)
    for files in live_trainings("shapes"):
        evaluate.main("shapes", files.name)
    predict.main("shapes")
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
    before = sorted(Path("conf").rglob("*"))
    wrong = copy.deepcopy(small_params)
    wrong["train"]["lr"] = 0
    write_params(wrong, copied)
    with pytest.raises(ValueError, match="train.lr"):
        resolve.main()
    assert sorted(Path("conf").rglob("*")) == before


def test_each_predictor_that_no_loss_trains_is_evaluated_once(copied: Path, monkeypatch: pytest.MonkeyPatch):
    """However many losses and seeds `run` picks. Each evaluation is of val and of test."""
    raw = YAML(typ="safe", pure=True).load(Path("params.yaml").read_text())
    raw["run"] |= {"losses": ["mse", "dice", "mse_dice"], "seeds": [1, 2, 3], "predictors": ["otsu"]}
    write_params(raw, copied)
    resolve.main()
    counted = []
    monkeypatch.setattr(predict, "evaluate_splits", lambda predictor, dataset, **rest: counted.append(
        type(predictor).__name__) or evaluate_splits(predictor, dataset, **rest))
    predict.main("shapes")
    assert sorted(counted) == ["Background", "Foreground", "Frequency", "Otsu"]
    assert {path.name for path in Path("results/shapes/predictors").iterdir()} == {
        "background", "foreground", "frequency", "otsu"}


def test_a_multiclass_dataset_has_one_constant_baseline(copied: Path):
    """The most frequent class, beside the frequency of each pixel."""
    config = PredictConfig.read(Path("conf/shapes.predict.json"))
    assert set(config.predictors) == {"background", "foreground", "frequency"}
    raw = YAML(typ="safe", pure=True).load(Path("params.yaml").read_text())
    raw["run"] |= {"datasets": ["stanford"], "losses": ["ce"]}
    write_params(raw, copied)
    resolve.main()
    assert set(PredictConfig.read(Path("conf/stanford.predict.json")).predictors) == {"most_frequent", "frequency"}


def test_prepare_says_where_annotations_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture, small_params: dict[str, Any]):
    raw = copy.deepcopy(small_params)
    raw["run"] |= {"datasets": ["mine"]}
    raw["datasets"]["mine"] |= {"path": str(shared("own_data") / "unlisted_pictures"), "masks": "coco",
                                "classes": ["cow"], "unlisted": "skip", "image_size": 16}
    enter(tmp_path, monkeypatch)
    write_params(raw, tmp_path)
    resolve.main()
    fetch.main("mine")
    prepare.main("mine")
    annotations = read_json(shared("own_data") / "unlisted_pictures/annotations.json")["annotations"]
    assert f"mine: annotations: {len(annotations)} drawn\n" in capsys.readouterr().out
