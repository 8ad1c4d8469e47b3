"""params.yaml: what is refused and in which words; what a training's configuration holds."""

import copy
import dataclasses
import faulthandler
from pathlib import Path
from typing import Any, get_args

import pytest

from seglib import params, resolve
from seglib.configs import Augmentation, DownloadConfig, MachineConfig, TrainConfig, TrainSettings
from seglib.datasets import readers
from seglib.losses import TERMS
from seglib.models import KINDS
from seglib.params.datasets import AnyDataset
from seglib.params.losses import LossConstants
from seglib.params.models import Model
from seglib.params.train import Train
from tests.conftest import ROOT


def configs(raw: dict[str, Any]) -> dict[str, TrainConfig]:
    return {training.name: training.train for training in resolve.resolve(params.parse(raw))}


def test_the_committed_file_defines_at_least_three_losses_and_two_seeds():
    settings = params.load(ROOT / "params.yaml")
    assert len(settings.run.losses) >= 3
    assert len(settings.run.seeds) >= 2
    assert len(resolve.resolve(settings)) == len(settings.run.losses) * len(settings.run.seeds)


FOLDER = {"kind": "folder", "path": "x", "masks": "folders", "classes": ["a"], "test_fraction": 0.2,
          "val_fraction": 0.2, "image_size": 64, "resize": "pad"}


@pytest.mark.parametrize(("path", "value", "said"), [
    ("train.lr", -1, "train.lr: expected more than 0 (found -1)"),
    ("train.batch_sise", 3, "train: unknown key 'batch_sise': did you mean 'batch_size'?"),
    ("train.together", 0, "train.together: expected auto, or how many from 1; found 0"),
    ("train.together", "all", "train.together: expected auto, or how many from 1; found 'all'"),
    ("datasets.shapes.train", {"together": 1},
     f"datasets.shapes.train: unknown key 'together': known: {', '.join(Train.model_fields)}"),
    ("studies.shapes.train", {"together": 1},
     f"studies.shapes.train: unknown key 'together': known: {', '.join(Train.model_fields)}"),
    ("train.epochs", 1.5, "train.epochs: expected a whole number (found 1.5)"),
    ("loss.dice_scal", 1, "loss: unknown key 'dice_scal': did you mean 'dice_scale'?"),
    ("losses.a", {"mse": "dice_scal"}, "losses.a.mse: a weight is a number from 0 or one of: dice_scale; "
                                       "found 'dice_scal'"),
    ("losses.a", {"mse": -1}, "losses.a.mse: a weight is a number from 0 or one of: dice_scale; found -1"),
    ("losses.a", {}, "losses.a: a loss needs at least one term: "
                      "mse, dice, iou, tversky, bce, ce, focal, boundary; or, for a model that computes its loss "
                      "itself, own: true alone"),
    ("losses.a", {"mse": 1, "own": True}, "losses.a: a loss needs at least one term: "
                                          "mse, dice, iou, tversky, bce, ce, focal, boundary; or, for a model that "
                                          "computes its loss itself, own: true alone"),
    ("losses.a", {"tversky": 1, "tversky_alpha": -1},
     "losses.a.tversky_alpha: expected at least 0 (found -1)"),
    ("losses.a+b", {"mse": 1}, "losses: the name 'a+b' may hold letters, digits and underscores only"),
    ("models.munet.dept", 4, "models.munet: unknown key 'dept': did you mean 'depth'?"),
    ("models.munet.depth", 5, "models.munet.depth: expected a multiple of 2 (found 5)"),
    ("models.unet.norm", "before",
     "models.unet.norm: expected 'batch', 'after_relu' or 'none' (found 'before')"),
    ("models.unet.kind", "umet", "models.unet: unknown kind 'umet': did you mean 'unet'?"),
    ("models.resnet34_unet_published.stem", "standard",
     "models.resnet34_unet_published: decoder: published belongs to stem: full, the two were published as one"),
    ("models.resnet34_unet_published.norm", "none",
     "models.resnet34_unet_published: decoder: published ends in a batch norm; choose norm: batch, or decoder: "
     "matched"),
    ("models.resnet18_unet.norm", "after_relu",
     "models.resnet18_unet.norm: expected 'batch' or 'none' (found 'after_relu')"),
    ("datasets.stanford.unknown", "misc", "datasets.stanford.unknown: expected 'ignore' or 'class' (found 'misc')"),
    ("train.flip", 1.5, "train.flip: expected at most 1 (found 1.5)"),
    ("train.crop_min", 0, "train.crop_min: expected more than 0 (found 0)"),
    ("train.snapshots", [3, 3], "train.snapshots: each entry may stand once, found [3, 3]"),
    ("train.warmup_epochs", 1,
     "train: schedule: one_cycle warms up by itself; choose another, or warmup_epochs: 0"),
    ("train.freeze_encoder_epochs", 5, "train: freeze_encoder_epochs must be fewer than epochs, which count both"),
    ("train.freeze_encoder_epochs", 2, "shapes × munet × mse: freeze_encoder_epochs is 2, but the model has no encoder "
                                       "of its own; choose a resnet_unet, or 0"),
    ("run.losses", ["ce"], "shapes × munet × ce: ce is for task multiclass, and this dataset's is multilabel; choose "
                           "among mse, dice, iou, tversky, bce, focal, boundary"),
    ("datasets.mine", FOLDER | {"classes": [str(k) for k in range(1001)]},
     "datasets.mine.classes: found 1001 classes, and a mask holds at most 1000: name fewer, or merge some of them in "
     "your data"),
    ("train", {"schedule": "cosine", "warmup_epochs": 2, "freeze_encoder_epochs": 2},
     "train: warmup_epochs must be fewer than freeze_encoder_epochs, which warm up too"),
    ("datasets.coco.kind", "cocoa", "datasets.coco: unknown kind 'cocoa': did you mean 'coco'?"),
    ("datasets.coco.train.lrr", 3, "datasets.coco.train: unknown key 'lrr': did you mean 'lr'?"),
    ("datasets.coco.val_fraction", 0, "datasets.coco.val_fraction: expected more than 0 (found 0)"),
    ("run.losses", ["mes"], "run.losses: 'mes' is not defined, did you mean 'mse'?"),
    ("run.seeds", [1, 1], "run.seeds: each entry may stand once, found [1, 1]"),
    ("run.seeds", [-5], "run.seeds.0: expected at least 0 (found -5)"),
    ("studies.shapes.losses", ["mes"], "studies.shapes.losses: 'mes' is not defined, did you mean 'mse'?"),
    ("studies.shapes.train", {"epoch": 2}, "studies.shapes.train: unknown key 'epoch': did you mean 'epochs'?"),
    ("studies.a-b", {"datasets": ["shapes"], "models": ["munet"], "losses": ["mse"], "seeds": [1]},
     "studies: the name 'a-b' may hold letters, digits and underscores only"),
    ("evaluate.tolerance", 0, "evaluate.tolerance: expected at least 1 (found 0)"),
    ("evaluate.boundary_band", 0, "evaluate.boundary_band: expected at least 1 (found 0)"),
    ("run.models", [], "run.models: expected at least 1, found 0"),
    ("train.lr", "x", "train.lr: expected a number (found 'x')"),
    ("train.lr", float("nan"), "train.lr: expected a finite number (found nan)"),
    ("train.optimizer", "adm", "train.optimizer: expected 'adamw', 'adam', 'radam' or 'sgd' (found 'adm')"),
    ("train.snapshots", 3, "train.snapshots: expected a list (found 3)"),
    ("datasets", None, "datasets: expected keys and their values (found None)"),
    ("datasets.coco", 3, "datasets.coco: expected keys and their values (found 3)"),
    ("datasets.coco", {}, "datasets.coco: the key kind is missing"),
    ("datasets.coco.classes", [str(k) for k in range(1001)],
     "datasets.coco.classes: found 1001 classes, and a mask holds at most 1000: name fewer, or merge some of them in "
     "your data"),
    ("datasets.coco.classes", [], "datasets.coco.classes: expected at least 1, found 0"),
    ("datasets.coco.classes", [""], "datasets.coco.classes.0: expected a text that is not empty (found '')"),
    ("datasets.coco.classes", ["a", 2], "datasets.coco.classes.1: expected text (found 2)"),
    ("datasets.mine", FOLDER | {"upright": "yes"}, "datasets.mine.upright: expected true or false (found 'yes')"),
    ("datasets.mine", FOLDER | {"range": [1, 2, 3]},
     "datasets.mine.range: expected percentile, or [LOWEST, HIGHEST], found [1, 2, 3]"),
    ("datasets.mine", FOLDER | {"ignore": [-1]},
     "datasets.mine.ignore.0: expected a number from 0 to 65535, or a color such as '#ff0000', found -1"),
    ("datasets.mine", FOLDER | {"values": {-1: "a"}}, "datasets.mine.values.-1: expected at least 0 (found -1)"),
    ("datasets.mine", FOLDER | {"colors": {"red": "a"}},
     "datasets.mine.colors.red: expected a color such as '#ff0000', found 'red'"),
    ("loss.class_weights", "some",
     "loss.class_weights: expected none, inverse_frequency, or a list of numbers from 0, found 'some'"),
    ("studies.shapes", {}, "\n".join(f"studies.shapes.{key}: this key is missing"
                                     for key in ("datasets", "models", "losses", "seeds"))),
    ("studies.shapes.set", {"train.lr": {"a": 1}},
     "studies.shapes.set.train.lr: expected a value, or a list of values, found {'a': 1}"),
    ("studys", {}, "unknown key 'studys': did you mean 'studies'?"),
])
def test_a_mistake_is_one_line_with_the_keys_path(raw_params: dict[str, Any], path: str, value: Any, said: str):
    at = raw_params
    *parents, key = path.split(".")
    for parent in parents:
        at = at[parent]
    at[key] = at[key] | value if key == "train" and len(parents) == 0 else value
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
    train = configs(raw_params)["munet-mse-1234"].train
    assert (train.lr, train.epochs, train.batch_size) == (3.0, 12, 3)


@pytest.mark.parametrize("together", ["auto", 1, 7])
def test_how_many_trainings_run_at_once_is_in_no_trainings_configuration(raw_params: dict[str, Any],
                                                                         together: int | str):
    before = configs(raw_params)
    raw_params["train"]["together"] = together
    raw_params["studies"]["shapes"]["set"] = {"train.together": 1}
    assert configs(raw_params) == before
    expected = None if together == "auto" else together
    assert resolve.machine_config(params.parse(raw_params)) == MachineConfig(together=expected)


def test_dice_scale_changes_only_the_trainings_that_use_it(raw_params: dict[str, Any]):
    before = configs(raw_params)
    raw_params["loss"]["dice_scale"] = 20
    after = configs(raw_params)
    assert {name for name in before if before[name] != after[name]} == {
        f"munet-mse_dice-{seed}" for seed in range(1234, 1239)}


def test_a_configuration_holds_no_names_so_equal_ones_are_equal(raw_params: dict[str, Any]):
    raw_params["loss"]["dice_scale"] = 20
    raw_params["run"]["losses"] = ["mse_dice", "mse_dice20"]
    found = configs(raw_params)
    assert found["munet-mse_dice-1234"] == found["munet-mse_dice20-1234"]


def test_what_a_training_does_not_use_is_none(raw_params: dict[str, Any]):
    raw_params["run"]["models"] = ["munet", "munet_dlstudio"]
    found = configs(raw_params)
    assert "epsilon" not in found["munet-mse-1234"].loss.options
    assert "epsilon" in found["munet-dice-1234"].loss.options
    assert found["munet-mse-1234"].train.momentum is None
    assert found["munet_dlstudio-mse-1234"].train.momentum == 0.9


def test_terms_of_probabilities_refuse_raw_outputs(raw_params: dict[str, Any]):
    raw_params["train"]["output"] = "raw"
    raw_params["run"]["losses"] = ["bce_boundary"]
    with pytest.raises(params.ParamsError, match="× bce_boundary: bce and boundary need probabilities"):
        configs(raw_params)


def test_class_weights_are_one_a_class(raw_params: dict[str, Any]):
    raw_params["loss"]["class_weights"] = [1, 2]
    raw_params["run"] |= {"datasets": ["stanford"], "losses": ["ce"]}
    with pytest.raises(params.ParamsError, match="class_weights are 2 numbers, the dataset has 8 classes"):
        configs(raw_params)


def test_a_loss_has_the_options_of_its_terms_and_its_own_before_the_common_ones(raw_params: dict[str, Any]):
    raw_params["losses"]["mine"] = {"tversky": 2, "focal": 1, "tversky_beta": 0.9}
    raw_params["run"]["losses"] = ["mine"]
    assert configs(raw_params)["munet-mine-1234"].loss.content() == {
        "terms": {"tversky": 2.0, "focal": 1.0}, "epsilon": 1e-6, "focal_gamma": 2.0, "tversky_alpha": 0.3,
        "tversky_beta": 0.9}


def test_augmentations_are_one_object_and_none_if_they_do_nothing(raw_params: dict[str, Any]):
    assert configs(raw_params)["munet-mse-1234"].train.augment is None
    raw_params["train"] |= {"rotation": 15, "crop_min": 0.25}
    assert configs(raw_params)["munet-mse-1234"].train.augment == Augmentation(
        flip=0.0, vertical_flip=0.0, rotation=15.0, crop_min=0.25, crop_max=1.0, color=0.0)
    raw_params["train"]["overfit"] = 8
    assert configs(raw_params)["munet-mse-1234"].train.augment is None


def test_a_setting_is_a_field_of_its_own_or_of_the_augmentation():
    fields = {field.name for one in (TrainSettings, Augmentation) for field in dataclasses.fields(one)}
    assert fields - {"augment"} == set(Train.model_fields)


def test_params_know_the_kinds_terms_and_options_that_are_registered():
    def kinds(union: Any) -> set[str]:
        members, *_ = get_args(union)
        return {get_args(member.model_fields["kind"].annotation)[0] for member in get_args(members)}

    assert kinds(Model) == set(KINDS) and kinds(AnyDataset) == set(readers.KINDS)
    options = {option for term in TERMS.values() for option in term.options}
    assert options | {"dice_scale"} == set(LossConstants.model_fields)


@pytest.mark.parametrize("band", [None, 5])
def test_an_evaluation_has_its_trainings_model_and_the_widths_at_outlines(raw_params: dict[str, Any], band: int | None):
    raw_params["evaluate"] = {"tolerance": 3, "boundary_band": band}
    settings = params.parse(raw_params)
    trainings = resolve.resolve(settings)
    assert all(training.evaluate.model == training.train.model for training in trainings)
    for config in (*(training.evaluate for training in trainings), resolve.compare_config(settings, "shapes"),
                   resolve.predict_config(settings, "shapes")):
        assert (config.tolerance, config.boundary_band) == (3, band)


def test_only_network_datasets_depend_on_the_fetch_section(raw_params: dict[str, Any]):
    settings = params.parse(raw_params)
    assert resolve.fetch_config(settings, "shapes").download is None
    assert resolve.fetch_config(settings, "coco").download == DownloadConfig(**raw_params["fetch"])
    raw_params["datasets"]["shapes"]["source"] = "purdue"
    assert resolve.fetch_config(params.parse(raw_params), "shapes").download is not None


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


LAUGHS = "a0: &a0 [ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
MERGED = "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 30))


@pytest.mark.parametrize(("content", "said"), [
    (b"run: \xff\xfe", "not text in UTF-8"),
    (b"", "must hold the sections run, .*; found NoneType"),
    (b"just text", "found str"),
    (b"run:\n\tdatasets: [shapes]", "not YAML: .*line 2"),
    (b"run: 1\nrun: 2", "not YAML: .*duplicate key"),
    (b"run: !!python/object/apply:os.system [touch ran]", "not YAML: .*python/object"),
    (b"run: !!python/name:os.system", "not YAML: "),
    (b"run: 2001-99-99", "not YAML: month"),
    (b"run: !!int x", "not YAML: "),
    (b"run: " + b"9" * 5000, "not YAML: Exceeds the limit"),
    (b"? [a]\n: 1", "unknown key"),
    (b"run: *nobody", "not YAML: .*undefined alias"),
    (b"run: " + b"[" * 5000, "not YAML: "),
    (b"run: \0", "not YAML: "),
    (LAUGHS.encode(), "unknown key 'a0'"),
    (MERGED.encode(), "merges \\(<<\\) .* entries"),
], ids=range(16))
def test_a_text_that_is_no_params_file_is_refused_in_one_line(tmp_path: Path, content: bytes, said: str,
                                                              monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes(content)
    faulthandler.dump_traceback_later(30, exit=True)
    with pytest.raises(params.ParamsError, match=said) as error:
        params.load(tmp_path / "params.yaml")
    faulthandler.cancel_dump_traceback_later()
    assert max(map(len, str(error.value).splitlines())) < 1000
    assert list(tmp_path.iterdir()) == [tmp_path / "params.yaml"]


@pytest.mark.parametrize("section", ["datasets", "models", "losses", "studies"])
@pytest.mark.parametrize("name", ["a/b", "..", "a b", "a-b", "a\n", "", "é", "a\0", "x" * 65, "$a", "a.b", "-S"])
def test_a_name_that_could_not_be_a_files_is_refused(raw_params: dict[str, Any], section: str, name: str):
    first = next(iter(raw_params[section].values()))
    raw_params[section][name] = first
    with pytest.raises(params.ParamsError, match=f"^{section}: the name ") as error:
        params.parse(raw_params)
    assert "\n" not in str(error.value)
    del raw_params[section][name]
    raw_params[section]["x" * 64] = first
    params.parse(raw_params)


@pytest.mark.parametrize("name", ["", "a\nb", "a\0b", "x" * 2000])
def test_a_class_or_a_path_is_text_on_one_line(raw_params: dict[str, Any], name: str):
    for path in (("datasets", "coco", "classes"), ("datasets", "shapes", "source"), ("fetch", "mirror")):
        raw = copy.deepcopy(raw_params)
        raw[path[0]][path[1]] = raw[path[0]][path[1]] | {path[2]: [name] if path[2] == "classes" else name} \
            if len(path) == 3 else name
        with pytest.raises(params.ParamsError, match=f"^{'.'.join(path)}") as error:
            params.parse(raw)
        assert "\n" not in str(error.value) and len(str(error.value)) < 500
    raw_params["datasets"]["coco"]["classes"] = ["hot dog, large", "犬"]
    params.parse(raw_params)


def test_the_coursework_asks_about_the_datasets_it_studied_and_no_folder_of_a_users():
    settings = params.load(ROOT / "params.yaml")
    asked = {dataset.kind: resolve.compare_config(settings, name).coursework
             for name, dataset in settings.datasets.items()}
    assert asked == {"shapes": True, "coco": True, "pets": True, "stanford": True, "folder": False}


def test_a_predictor_is_for_the_datasets_of_its_tasks(raw_params: dict[str, Any]):
    """Otsu's threshold is for overlapping classes. A study that picks no dataset with them is refused."""
    raw_params["run"] |= {"datasets": ["shapes", "stanford"], "losses": ["dice"], "predictors": ["otsu"]}
    settings = params.parse(raw_params)
    assert "otsu" in resolve.predict_config(settings, "shapes").predictors
    assert "otsu" not in resolve.predict_config(settings, "stanford").predictors
    raw_params["run"] |= {"datasets": ["stanford"]}
    with pytest.raises(params.ParamsError, match="run.predictors: otsu is for task multilabel"):
        resolve.predict_config(params.parse(raw_params), "stanford")


def test_no_predictor_has_the_name_of_a_baseline(raw_params: dict[str, Any]):
    raw_params["predictors"]["frequency"] = {"kind": "otsu"}
    with pytest.raises(params.ParamsError, match="the name frequency is taken by a baseline"):
        params.parse(raw_params)
