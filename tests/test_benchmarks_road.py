"""The pipelines that `benchmarks.road` times have nothing to do, and as much of it as they say."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from benchmarks.pipelines import ours, plain
from benchmarks.road import FILES, FOLDERS, LAYOUTS, LEAN, ONE_LOCK, VARIANTS
from tests.conftest import ROOT

# How many stages each layout has with one model, two losses and two seeds, and how many dependencies and outputs.
SIZES = {ONE_LOCK: (14, 112), FILES: (14, 113), FOLDERS: (14, 77), LEAN: (14, 62), VARIANTS: (10, 46)}


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name == FOLDERS else pytest.mark.slow) for name in SIZES])
def test_a_pipeline_has_nothing_to_do_but_to_resolve(name: str, tmp_path: Path):
    repository = ours(tmp_path / "ours", LAYOUTS[name], models=1, losses=2, seeds=2)
    assert (len(repository.stages()), sum(map(sum, repository.stages()))) == SIZES[name]
    lock = (repository.folder / "dvc.lock").read_bytes()
    assert repository.repro().processor > 0
    assert (repository.folder / "dvc.lock").read_bytes() == lock
    next(repository.folder.glob("conf/shapes/model0-loss1*/train.json")).write_text("another")
    with pytest.raises(RuntimeError, match="train@model0-loss1"):
        repository.repro()


def test_plain_stages_have_as_many_dependencies_and_outputs_as_they_are_given(tmp_path: Path):
    stages = [(2, 1), (0, 1), (2, 1), (1, 3)]
    repository = plain(tmp_path / "plain", stages)
    assert sorted(repository.stages()) == sorted(stages)
    repository.repro()


def test_the_layout_that_is_said_to_be_that_of_dvc_yaml_is():
    """Of compare and report, which run once, the layout has fewer outputs."""
    real = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
    layout = LAYOUTS[FOLDERS].pipelines()["."]
    assert layout.keys() == real.keys()
    for name, stage in real.items():
        body = stage.get("do", stage)
        assert len(layout[name]["deps"]) == len(body["deps"]) - 2 * (name == "compare"), name  # without the two texts
        assert len(layout[name]["outs"]) == len(body["outs"]) or name in ("compare", "report"), name
