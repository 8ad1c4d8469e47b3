"""params.yaml: what is refused and how it is said; what a variant's configuration holds."""

from pathlib import Path
from typing import Any

import pytest

from seglib import params, resolve
from tests.conftest import ROOT


def configs(raw: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variant.name: variant.config for variant in resolve.resolve(params.parse(raw))}


def test_the_committed_file_defines_at_least_three_losses_and_two_seeds():
    settings = params.load(ROOT / "params.yaml")
    assert len(settings.run.losses) >= 3
    assert len(settings.run.seeds) >= 2
    assert len(resolve.resolve(settings)) == len(settings.run.losses) * len(settings.run.seeds)


@pytest.mark.parametrize(("path", "value", "said"), [
    ("train.lr", -1, "train.lr: input should be greater than 0 (found -1)"),
    ("train.batch_sise", 3, "train: unknown key 'batch_sise': did you mean 'batch_size'?"),
    ("train.epochs", 1.5, "train.epochs: input should be a valid integer (found 1.5)"),
    ("loss.dice_scal", 1, "loss: unknown key 'dice_scal': did you mean 'dice_scale'?"),
    ("losses.a", {"mse": "dice_scal"}, "losses.a.mse: a weight is a number from 0 or one of: dice_scale; "
                                       "found 'dice_scal'"),
    ("losses.a", {"mse": -1}, "losses.a.mse: a weight is a number from 0 or one of: dice_scale; found -1"),
    ("losses.a", {}, "losses.a: a loss needs at least one term: mse or dice"),
    ("losses.a+b", {"mse": 1}, "losses: the name 'a+b' may hold letters, digits and underscores only"),
    ("models.munet.dept", 4, "models.munet: unknown key 'dept': did you mean 'depth'?"),
    ("models.munet.depth", 5, "models.munet.depth: input should be a multiple of 2 (found 5)"),
    ("datasets.coco.kind", "cocoa", "datasets.coco: unknown kind 'cocoa': did you mean 'coco'?"),
    ("datasets.coco.train.lrr", 3, "datasets.coco.train: unknown key 'lrr': did you mean 'lr'?"),
    ("datasets.coco.val_fraction", 0, "datasets.coco.val_fraction: input should be greater than 0 (found 0)"),
    ("run.losses", ["mes"], "run.losses: 'mes' is not defined, did you mean 'mse'?"),
    ("run.seeds", [1, 1], "run.seeds: each entry may stand once, found [1, 1]"),
    ("run.seeds", [-5], "run.seeds.0: input should be greater than or equal to 0 (found -5)"),
    ("studies.shapes.losses", ["mes"], "studies.shapes.losses: 'mes' is not defined, did you mean 'mse'?"),
    ("studies.shapes.train", {"epoch": 2}, "studies.shapes.train: unknown key 'epoch': did you mean 'epochs'?"),
    ("studies.a-b", {"datasets": ["shapes"], "models": ["munet"], "losses": ["mse"], "seeds": [1]},
     "studies: the name 'a-b' may hold letters, digits and underscores only"),
    ("evaluate.tolerance", 0, "evaluate.tolerance: input should be greater than or equal to 1 (found 0)"),
    ("run.models", [], "run.models: list should have at least 1 item after validation, not 0 (found [])"),
    ("studys", {}, "unknown key 'studys': did you mean 'studies'?"),
])
def test_a_mistake_is_one_line_with_the_keys_path(raw_params: dict[str, Any], path: str, value: Any, said: str):
    at = raw_params
    *parents, key = path.split(".")
    for parent in parents:
        at = at[parent]
    at[key] = value
    with pytest.raises(params.ParamsError) as error:
        resolve.resolve(params.parse(raw_params))
    assert str(error.value) == said


def test_a_sigmoid_cannot_reach_label_values(raw_params: dict[str, Any]):
    raw_params["losses"]["mse"]["train"] = {"targets": "label"}
    with pytest.raises(params.ParamsError, match="train, for shapes × munet × mse: a sigmoid ends at 1"):
        configs(raw_params)


def test_overrides_apply_dataset_then_model_then_loss(raw_params: dict[str, Any]):
    raw_params["datasets"]["shapes"]["train"] = {"lr": 1.0, "epochs": 11, "batch_size": 3}
    raw_params["models"]["munet"]["train"] = {"lr": 2.0, "epochs": 12}
    raw_params["losses"]["mse"]["train"] = {"lr": 3.0}
    train = configs(raw_params)["munet-mse-1234"]["train"]
    assert (train["lr"], train["epochs"], train["batch_size"]) == (3.0, 12, 3)


def test_dice_scale_changes_only_the_variants_that_use_it(raw_params: dict[str, Any]):
    before = configs(raw_params)
    raw_params["loss"]["dice_scale"] = 20
    after = configs(raw_params)
    assert {name for name in before if before[name] != after[name]} == {"munet-mse_dice-1234", "munet-mse_dice-1235"}


def test_a_configuration_holds_no_names_so_equal_ones_are_equal(raw_params: dict[str, Any]):
    raw_params["loss"]["dice_scale"] = 20
    raw_params["run"]["losses"] = ["mse_dice", "mse_dice20"]
    found = configs(raw_params)
    assert found["munet-mse_dice-1234"] == found["munet-mse_dice20-1234"]


def test_what_a_variant_does_not_use_is_dropped(raw_params: dict[str, Any]):
    raw_params["run"]["models"] = ["munet", "munet_dlstudio"]
    found = configs(raw_params)
    assert "epsilon" not in found["munet-mse-1234"]["loss"]
    assert "epsilon" in found["munet-dice-1234"]["loss"]
    assert "momentum" not in found["munet-mse-1234"]["train"]
    assert found["munet_dlstudio-mse-1234"]["train"]["momentum"] == 0.9


def test_only_network_datasets_depend_on_the_fetch_section(raw_params: dict[str, Any]):
    settings = params.parse(raw_params)
    assert "fetch" not in resolve.fetch_config(settings, "shapes")
    assert "fetch" in resolve.fetch_config(settings, "coco")
    raw_params["datasets"]["shapes"]["source"] = "purdue"
    assert "fetch" in resolve.fetch_config(params.parse(raw_params), "shapes")


def test_a_training_override_of_a_dataset_fetches_and_prepares_nothing_again(raw_params: dict[str, Any]):
    before = params.parse(raw_params)
    raw_params["datasets"]["coco"]["train"] = {"lr": 1.0}
    after = params.parse(raw_params)
    for config in (resolve.fetch_config, resolve.prepare_config):
        assert config(before, "coco") == config(after, "coco")


def test_numbers_are_read_as_dvc_writes_them(tmp_path: Path):
    text = (ROOT / "params.yaml").read_text().replace("epsilon: 1.0e-6", "epsilon: 1e-06")
    (tmp_path / "params.yaml").write_text(text)
    assert params.load(tmp_path / "params.yaml").loss.epsilon == 1e-6


@pytest.mark.parametrize("text", ["", "a: [", "- 1"])
def test_a_file_that_is_no_params_file(tmp_path: Path, text: str):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(params.ParamsError):
        params.load(tmp_path / "params.yaml")
