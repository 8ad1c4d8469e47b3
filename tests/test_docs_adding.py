"""The pages docs/adding-a-*.md, proven: what they say is written into a copy of the project, tested and run.

A fast test writes each page into a copy and runs the linter. The others, which are slow, run the tests and stages of
the page too.
The words above a block say what becomes of it: "`FILE`:" makes a file; "`FILE`, after the line `LINE`:" and "`FILE`, in
place of the line `LINE`:" change one. The page's `dvc exp run -S …` says what is run; the stages are run one by one, at
a tiny size.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dvc.utils.hydra import apply_overrides
from safetensors import safe_open

from seglib.files import read_json
from tests.conftest import ROOT

BLOCK = re.compile(r"`(?P<file>[\w./-]+)`(?:, (?P<where>after|in place of) the line\s`(?P<line>[^`\n]+)`)?:\n\n"
                   r"```\w+\n(?P<body>.*?)```", re.S)
COMMAND = re.compile(r"```sh\ndvc exp run (.*)\n```")

TINY = ["run.seeds=[1]", "datasets.shapes.train_images=24", "datasets.shapes.test_images=6",
        "datasets.shapes.allow=[absent_class,unscored_class]", "train.epochs=1",
        "train.log_every=1", "train.device=cpu", "train.threads=1", "models.munet.width=8"]

# The stages as DVC runs them, in one process: most of a tiny stage's time is the import of torch.
PROGRAM = """
import runpy, sys
from pathlib import Path

def stage(name, *arguments):
    sys.argv = [name, *arguments]
    try:
        runpy.run_module(f"stages.{name}", run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise

stage("resolve")
for dataset in sorted(path.name for path in Path("conf").iterdir() if path.is_dir()):
    stage("fetch", dataset)
    stage("prepare", dataset)
    for training in sorted(path.name for path in Path("conf", dataset).iterdir()):
        stage("train", dataset, training)
        stage("evaluate", dataset, training)
    stage("predict", dataset)
"""

COMPARE = """
import runpy, sys

for sys.argv in (["resolve"], ["compare", "shapes"], ["report"]):
    try:
        runpy.run_module(f"stages.{sys.argv[0]}", run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
"""


class Project:
    """A copy of the project as it stands, to add to."""

    def __init__(self, folder: Path):
        self.folder = folder
        listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                                capture_output=True, text=True).stdout.splitlines()
        for name in listed:
            if (ROOT / name).is_file():  # one may be removed and not yet committed
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)

    def apply(self, page: str) -> None:
        """Every block of a page; what comes of it passes the linter."""
        blocks = list(BLOCK.finditer(page))
        assert len(blocks) == len(re.findall("^```(?:python|yaml)", page, re.M)), "a block names no file"
        for block in blocks:
            path = self.folder / block["file"]
            if block["line"] is None:
                assert not path.exists(), f"{path.name} is there already"
                path.write_text(block["body"])
                continue
            lines = path.read_text().splitlines(keepends=True)
            found = [i for i, line in enumerate(lines) if line.split("  #")[0].strip() == block["line"]]
            assert len(found) == 1, f"{block['line']!r} stands {len(found)} times in {path.name}"
            after = found[0] + 1
            lines[after - (block["where"] == "in place of"):after] = [block["body"]]
            path.write_text("".join(lines))
        self.run("-m", "ruff", "check", *{block["file"] for block in blocks if block["file"].endswith(".py")})

    def run(self, *arguments: str) -> str:
        """A command of this Python, in the copy and on its code."""
        environment = os.environ | {
            "PYTHONPATH": str(self.folder), "DVC_ROOT": str(self.folder),
            "MLFLOW_TRACKING_URI": "sqlite:////proc/no/such/folder.db"}  # making a store takes longest
        done = subprocess.run([sys.executable, *arguments], cwd=self.folder, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def run_stages(self, page: str, *more: str) -> None:
        """What the page's `dvc exp run -S …` runs, at a tiny size, up to the evaluations."""
        command, = COMMAND.findall(page)
        options = shlex.split(command)
        assert options[::2] == ["-S"] * (len(options) // 2)
        apply_overrides(self.folder / "params.yaml", [*options[1::2], *TINY, *more])
        self.run("-c", PROGRAM)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.mark.parametrize("page", ["loss", "model", "dataset", "score", "predictor"])
def test_what_a_page_adds_passes_the_linter(project: Project, page: str):
    project.apply((ROOT / f"docs/adding-a-{page}.md").read_text())


@pytest.mark.slow
def test_adding_a_loss(project: Project):
    page = (ROOT / "docs/adding-a-loss.md").read_text()
    project.apply(page)
    project.run("-m", "pytest", "-q", "tests/losses/test_huber.py", "tests/losses/test_laws.py")
    project.run_stages(page)
    config = read_json(project.folder / "conf/shapes/munet-huber-1/train.json")["config"]
    assert config["loss"] == {"terms": {"huber": 1.0}, "huber_delta": 0.1}
    history = pd.read_csv(project.folder / "runs/shapes/munet-huber-1/trained/history.csv")
    assert (history["huber"] > 0).all() and (history["loss"] == history["huber"]).all()
    assert read_json(project.folder / "results/shapes/munet-huber-1/evaluated/evaluation.json")["pictures"]["test"] == 6


@pytest.mark.slow
def test_adding_a_model(project: Project):
    page = (ROOT / "docs/adding-a-model.md").read_text()
    project.apply(page)
    project.run("-m", "pytest", "-q", "tests/models/test_dilated.py", "tests/models/test_all.py",
                "-k", "dilated or every_kind")
    project.run_stages(page, "models.dilated.width=8")
    config = read_json(project.folder / "conf/shapes/dilated-mse-1/train.json")["config"]
    assert config["model"] == {"kind": "dilated", "width": 8}
    with safe_open(project.folder / "runs/shapes/dilated-mse-1/trained/weights.safetensors", "pt") as weights:
        assert weights.get_slice("network.output_layer.weight").get_shape() == [5, 8, 1, 1]
    assert read_json(project.folder / "results/shapes/dilated-mse-1/evaluated/evaluation.json")["pictures"]["test"] == 6


@pytest.mark.slow
def test_adding_a_dataset(project: Project):
    """Bright round cells and long ones, of which nobody labelled the right edge."""
    random = np.random.default_rng(0)
    pictures, ids = random.integers(0, 60, (40, 48, 40, 3), np.uint8), np.zeros((40, 48, 40), np.uint8)
    for picture_HWC, ids_HW, long in zip(pictures, ids, random.integers(0, 2, 40), strict=True):
        cell = (slice(10, 20), slice(10, 20)) if not long else (slice(30, 34), slice(5, 30))
        picture_HWC[cell] += 150
        ids_HW[cell] = 1 + long
    ids[:, :, 38:] = 255
    np.savez(project.folder.parent / "cells.npz", pictures=pictures, ids=ids)

    page = (ROOT / "docs/adding-a-dataset.md").read_text()
    project.apply(page)
    project.run("-m", "pytest", "-q", "tests/datasets/test_arrays.py")
    project.run_stages(page)
    prepared = project.folder / "data/prepared/arrays"
    info, counts = read_json(prepared / "dataset.json"), read_json(prepared / "contents.json")["counts"]
    assert (info["task"], info["classes"]) == ("multiclass", ["background", "round", "long"])
    assert sum(counts.values()) == 40 and min(counts.values()) > 0
    assert info["valid_pixels"] == pytest.approx(counts["train"] * 64 * 64 * 38 / 40, rel=0.02)
    history = pd.read_csv(project.folder / "runs/arrays/munet-ce-1/trained/history.csv")
    assert (history["ce"] > 0).all()
    evaluated = read_json(project.folder / "results/arrays/munet-ce-1/evaluated/evaluation.json")
    assert evaluated["pictures"]["test"] == counts["test"]
    counted = pd.read_parquet(project.folder / "results/arrays/munet-ce-1/evaluated/counts.parquet")
    assert set(counted["class"]) == set(info["classes"])


@pytest.mark.slow
def test_adding_a_score(project: Project):
    """It is added after the evaluations, and reaches tables, page, claims and MLflow by itself."""
    project.run_stages("```sh\ndvc exp run -S run.losses=[mse]\n```")
    page = (ROOT / "docs/adding-a-score.md").read_text()
    project.apply(page)
    project.run("-m", "pytest", "-q", "tests/metrics/scores")
    before = {path: path.read_bytes() for path in sorted((project.folder / "conf").rglob("*.json"))}
    project.run("-c", COMPARE)
    repeated = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert repeated == {"shapes.compare.json"}
    folder = project.folder / "comparisons/shapes/tables"
    counts = pd.read_parquet(project.folder / "results/shapes/munet-mse-1/evaluated/counts.parquet")
    sums = counts[counts["split"] == "test"].groupby("class")[["tp", "fp", "fn"]].sum()
    sums = sums[sums["tp"] + sums["fn"] > 0]
    expected = (5 * sums["tp"] / (5 * sums["tp"] + 4 * sums["fn"] + sums["fp"])).mean()
    scores = pd.read_csv(folder / "scores.csv").set_index(["variant", "split", "score"])
    assert scores.loc[("munet mse", "test", "f2_dataset"), "mean"] == pytest.approx(expected)
    classes = pd.read_csv(folder / "classes.csv")
    assert classes["f2_image_mean"].notna().any()
    mine = next(claim for claim in read_json(folder / "claims.json") if claim["id"] == "my-claim")
    assert mine["verdict"] == "too few seeds" and mine["parts"][0]["value"] == pytest.approx(expected)
    report = (project.folder / "reports/index.html").read_text()
    assert "<dt>F2</dt><dd>5 TP / (5 TP + 4 FN + FP); higher is better; n counts p" in report
    assert report.count(">F2</th>") == 1 and ">F2</option>" in report
    record, = (project.folder / ".work/tracking").glob("*/scores.csv")
    assert "test,disk,f2_dataset," in record.read_text()  # what MLflow is given


@pytest.mark.slow
def test_adding_a_predictor(project: Project):
    """It is evaluated once, told the boxes, and is a row of the tables that says so."""
    page = (ROOT / "docs/adding-a-predictor.md").read_text()
    project.apply(page)
    project.run("-m", "pytest", "-q", "tests/prediction")
    project.run_stages(page, "run.losses=[mse]")
    project.run("-c", COMPARE)
    results = project.folder / "results/shapes/predictors"
    assert {path.name for path in results.iterdir()} == {"background", "foreground", "frequency", "ellipse"}
    assert read_json(results / "ellipse/evaluation.json")["predictor"] == {
        "kind": "ellipse", "fit": "none", "hint": "boxes"}
    scores = pd.read_csv(project.folder / "comparisons/shapes/tables/scores.csv").query("split == 'test'")
    iou = scores[scores["score"] == "iou_dataset"].set_index("variant")["mean"]
    assert iou["ellipse (told the true boxes)"] > 0.5 > iou["all foreground"] > iou["all background"] == 0
    assert "ellipse (told the true boxes)" in (project.folder / "reports/index.html").read_text()
