"""`seglib study`: a named selection as options of `dvc exp run`, read back by DVC's own parser."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from typer.testing import CliRunner

from seglib import cli, params
from tests.conftest import ROOT


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the committed params.yaml, which is DVC's root."""
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def applied(options: list[str], folder: Path) -> params.Params:
    """params.yaml as DVC changes it by these options."""
    assert options[::2] == ["-S"] * (len(options) // 2)
    apply_overrides(folder / "params.yaml", options[1::2])
    return params.load(folder / "params.yaml")


@pytest.mark.parametrize("train", [
    {}, {"targets": "label", "output": "raw", "lr": 5e-2}, {"threads": None}, {"threads": 2},
    {"lr": 1e-06, "momentum": 0, "epochs": 12, "precision": "bf16"}])
def test_dvc_reads_a_study_as_it_was_meant(repository: Path, raw_params: dict[str, Any], train: dict[str, Any]):
    picked = {"datasets": ["shapes"], "models": ["munet_aspp", "munet"], "losses": ["mse_dice20"], "seeds": [3, 1]}
    raw_params["studies"]["mine"] = picked | {"train": train}
    before, study = params.load(repository / "params.yaml"), params.parse(raw_params).studies["mine"]
    after = applied(params.as_overrides(study), repository)
    assert after.run.model_dump() == picked
    assert after.train.model_dump() == before.train.model_dump() | train
    assert after.model_dump(exclude={"run", "train"}) == before.model_dump(exclude={"run", "train"})


def test_a_study_sets_any_key(repository: Path, raw_params: dict[str, Any]):
    picked = {"datasets": ["shapes"], "models": ["munet"], "losses": ["mse"], "seeds": [1]}
    raw_params["studies"]["mine"] = picked | {"set": {"datasets.shapes.train_images": 40, "loss.dice_scale": 2.5}}
    after = applied(params.as_overrides(params.parse(raw_params).studies["mine"]), repository)
    assert after.datasets["shapes"].train_images == 40 and after.loss.dice_scale == 2.5


@pytest.mark.parametrize("name", params.load(ROOT / "params.yaml").studies)
def test_the_printed_command_makes_params_that_are_valid(repository: Path, name: str):
    result = CliRunner().invoke(cli.app, ["study", name, "--dry"])
    assert result.exit_code == 0, result.output
    program, *options = shlex.split(result.output)
    assert [program, *options[:2]] == ["dvc", "exp", "run"]
    study = params.load(repository / "params.yaml").studies[name]
    after = applied(options[2:], repository)
    assert after.run.model_dump() == study.model_dump(exclude={"train", "set"})
    assert study.train.model_dump(exclude_unset=True).items() <= after.train.model_dump().items()


def test_an_unknown_study_is_one_line_with_the_nearest(repository: Path, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture):
    monkeypatch.setattr("sys.argv", ["seglib", "study", "shape", "--dry"])
    with pytest.raises(SystemExit) as error:
        cli.main()
    assert error.value.code == 1
    assert capsys.readouterr().err == "error: params.yaml has no study 'shape': did you mean 'shapes'?\n"
