"""Class names with commas, quotes, tags and letters of any script go the whole way, each as it was given."""

import csv
import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglib import tasks
from seglib.datasets.store import DatasetInfo, Split
from seglib.pipeline import tracking
from seglib.pipeline.workspace import live_trainings
from tests.stages.conftest import enter, run_every_stage, scores_of, write_params

# The second and the third are one in ASCII, the fourth and the fifth where commas and semicolons are one.
CLASSES = ["chien, <b>gros</b>", "猫", "狗", "a,b", "a;b", 'été "../x"']
SIDE = 32


def draw(folder: Path, count: int = 14) -> None:
    """Pictures of six squares, one a class, with their annotations."""
    (folder / "images").mkdir(parents=True)
    corners = [(x, y) for x in (1, 17) for y in (1, 11, 21)]
    content: dict[str, list] = {"images": [], "annotations": [], "categories": [
        {"id": k + 1, "name": name} for k, name in enumerate(CLASSES)]}
    for i in range(count):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(
            folder / f"images/p{i}.png")
        content["images"].append({"id": i, "file_name": f"p{i}.png", "width": SIDE, "height": SIDE})
        for k, (x, y) in enumerate(corners):
            square = [x, y, x + 10, y, x + 10, y + 9, x, y + 9]
            content["annotations"].append({"id": len(content["annotations"]), "image_id": i, "category_id": k + 1,
                                           "iscrowd": 0, "segmentation": [square]})
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


def list_splits(folder: Path) -> None:
    for split, numbers in (("train", range(8)), ("val", range(8, 11)), ("test", range(11, 14))):
        (folder / f"{split}.txt").write_text("".join(f"p{i}\n" for i in numbers))


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, small_params: dict[str, Any]) -> Path:
    """A repository in which every stage has run on a dataset with such classes."""
    root = tmp_path_factory.mktemp("named")
    draw(root / "pictures")
    list_splits(root / "pictures")
    raw = json.loads(json.dumps(small_params))
    raw["run"] |= {"datasets": ["mine"], "losses": ["mse", "mse_dice"], "seeds": [1]}
    raw["datasets"]["mine"] |= {"path": str(root / "pictures"), "masks": "coco", "classes": CLASSES, "image_size": SIDE}
    write_params(raw, root)
    run_every_stage(root, "mine")
    return root


@pytest.fixture
def repository(named: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    enter(named, monkeypatch)
    return named


def test_prepared_data_hold_the_names_and_their_masks(repository: Path):
    assert DatasetInfo.read(repository / "data/prepared/mine").classes == CLASSES
    split = Split.open(repository / "data/prepared/mine", "train")
    assert all(row.tolist() == CLASSES for row in split.index()["objects"])
    assert tasks.get("multilabel").unpack(split.masks, len(CLASSES)).sum((0, 2, 3)).tolist() == [8 * 90] * len(CLASSES)


def test_counts_have_a_row_for_each_name(repository: Path):
    for files in live_trainings("mine"):
        assert pd.read_parquet(files.counts)["class"].unique().tolist() == CLASSES
        assert set(pd.read_parquet(files.objects)["class"]) == set(range(len(CLASSES)))


def test_tables_are_csv_that_gives_the_names_back(repository: Path):
    cells, wide = set(), 0
    for path in Path("comparisons/mine").rglob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert len({len(row) for row in rows}) <= 1, path  # a comma that was not quoted would make a row longer
        cells |= {cell for row in rows for cell in row}
        wide += any(name in row for row in rows for name in CLASSES)
    assert wide and cells >= set(CLASSES)


def test_the_page_shows_the_names_and_nothing_of_them_as_markup(repository: Path):
    text = Path("reports/index.html").read_text(encoding="utf-8")
    assert "<b>gros</b>" not in text
    shown = html.unescape(text)
    assert all(name in shown for name in CLASSES)


def test_mlflow_holds_the_score_of_each_class(repository: Path):
    from mlflow import MlflowClient
    client = MlflowClient(tracking.store_uri())
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    found = {run.info.run_name: run.data.metrics for run in runs}
    for files in live_trainings("mine"):
        held = {name: value for name, value in found[files.name].items() if name.startswith("test/iou_dataset/")}
        expected = {name: scores_of(files, "test", name)["iou_dataset"] for name in CLASSES}
        assert sorted(held.values()) == sorted(expected.values())
        assert {name: held[f"test/iou_dataset/{name}"] for name in "猫狗"} == {name: expected[name] for name in "猫狗"}
