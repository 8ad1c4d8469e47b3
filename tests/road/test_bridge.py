"""`seglib bridge` in a fresh clone, at a tiny size: a table and a figure, and a second call that trains nothing."""

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from tests.road.clones import clone, executed, run

pytestmark = [pytest.mark.road, pytest.mark.slow, pytest.mark.timeout(1800)]

FACTORS = 3


def shrink(file: Path) -> None:
    """Make the committed bridge tiny: two losses, one seed, and the keys of its factors spread over three factors."""
    content = YAML(typ="safe", pure=True).load(file)
    bridge = content["bridges"][0]
    keys = [key for factor in bridge["factors"] for key in factor["keys"]]
    bridge |= {
        "losses": {name: pair for name, pair in bridge["losses"].items() if name != "MSE_Dice"},
        "factors": [{"name": "reduction", "keys": ["loss.dice_reduction"]},
                    {"name": "training", "keys": [key for key in keys if key.startswith("train.")]},
                    {"name": "network", "keys": [key for key in keys if key.startswith("model.")]}],
        "small": {"set": {"datasets.shapes.train_images": 40, "datasets.shapes.test_images": 12,
                          "datasets.shapes.val_fraction": 0.2, "compare.gallery": 3,
                          "compare.pictures": 3, "run.seeds": [1],
                          "datasets.shapes.allow": ["absent_class", "unscored_class"]},
                  "start": {"model.depth": 4, "model.width": 8, "train.epochs": 1},
                  "end": {"model.depth": 4, "model.width": 8, "train.epochs": 2}}}
    file.write_text(json.dumps(content))  # JSON is YAML, and keeps the order of keys


def test_a_bridge_runs_to_its_table_and_figure_and_then_trains_nothing(tmp_path: Path):
    repository = clone(tmp_path / "bridge")
    shrink(repository / "bridges.yaml")
    output = run(repository, "seglib", "bridge", "shapes-2024", "default")
    trained = executed(output, "train")
    assert trained == {"shapes-bridge-MSE-1", "shapes-bridge-Dice-1"}
    # The reduction of Dice is no part of MSE's configuration.
    assert output.count("Running stage 'train@shapes-bridge-MSE-1'") == FACTORS
    assert output.count("Running stage 'train@shapes-bridge-Dice-1'") == FACTORS + 1
    folder = repository / "studies/bridge-shapes_2024-default"
    table = pd.read_csv(folder / "bridge.csv")
    assert set(table["MSE or Dice"]) == {"unknown"}  # one seed decides nothing
    assert "No step decides which is better: MSE or Dice." in output
    steps = table[table["factor"] != "score definition"]
    assert list(dict.fromkeys(steps["factor"])) == ["shapes_2024", "reduction", "training", "network"]
    assert (table["mean"] == table["seed_1"]).all()
    for number in range(FACTORS + 1):
        scores = pd.read_csv(folder / f"{number}/comparisons/shapes/tables/scores.csv")
        for loss in ("MSE", "Dice"):
            expected = scores[(scores["variant"] == f"bridge {loss}") & (scores["split"] == "test")
                              & (scores["score"] == "iou_dataset")]["mean"].item()
            assert steps[(steps["step"] == number) & (steps["loss"] == loss)]["mean"].item() == expected
    with Image.open(folder / "bridge.png") as picture:
        assert picture.format == "PNG"
    before = {path: path.read_bytes() for path in folder.glob("bridge.*")}
    again = run(repository, "seglib", "bridge", "shapes-2024", "default")
    assert executed(again, "train") == executed(again, "evaluate") == set()
    assert before == {path: path.read_bytes() for path in folder.glob("bridge.*")}
    assert run(repository, "git", "status", "--porcelain").split() == ["M", "bridges.yaml"]
