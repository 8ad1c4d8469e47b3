"""Configurations: a file has exactly the fields of its dataclass, and says the same once read."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seglib import params, resolve
from seglib.configs import NEUTRAL, Config, DownloadConfig, FetchConfig, TrainConfig, used
from seglib.files import read_json, write_json
from tests.conftest import ROOT, write_config

FETCH = {"kind": "coco", "options": {"min_box": 3.0},
         "download": {"mirror": None, "workers": 2, "retries": 1, "timeout": 5.0}}


def all_configs() -> list[Config]:
    """One of each kind, in each of its forms, as the committed params.yaml gives them."""
    settings = params.load(ROOT / "params.yaml")
    first, *_ = resolve.resolve(settings)
    augmented = dataclasses.replace(first.train, train=dataclasses.replace(
        first.train.train, augment=dataclasses.replace(NEUTRAL, flip=0.5)))
    return [first.train, augmented, first.evaluate, resolve.compare_config(settings, "shapes"),
            *(of(settings, name) for of in (resolve.fetch_config, resolve.prepare_config)
              for name in settings.datasets)]


@pytest.mark.parametrize("config", all_configs(), ids=lambda config: type(config).__name__)
def test_what_is_written_is_read_as_the_same(tmp_path: Path, config: Config):
    write_config(tmp_path / "config.json", config.content())
    assert type(config).read(tmp_path / "config.json") == config


def test_a_config_inside_another_is_typed():
    assert FetchConfig.of(FETCH).download == DownloadConfig(mirror=None, workers=2, retries=1, timeout=5.0)
    assert FetchConfig.of(FETCH | {"download": None}).download is None


@pytest.mark.parametrize(("content", "said"), [
    ({"kind": "coco", "options": {}}, "missing key 'download'"),
    (FETCH | {"downlod": 1}, "unknown key 'downlod': did you mean 'download'?"),
    (FETCH | {"download": {"mirror": None}}, "download: missing key 'workers'"),
    ([1], "expected an object with the keys kind, options, download; found [1]"),
])
def test_keys_that_are_not_the_fields_are_refused(tmp_path: Path, content: Any, said: str):
    path = tmp_path / "shapes.fetch.json"
    write_config(path, content)
    with pytest.raises(ValueError) as error:
        FetchConfig.read(path)
    assert str(error.value) == f"{path}: {said}; `dvc repro resolve/dvc.yaml` writes it anew"


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=f"^{tmp_path}/train.json does not exist; `dvc repro resolve/dvc.yaml` "):
        TrainConfig.read(tmp_path / "train.json")


@pytest.mark.parametrize(("key", "value"), [("model", {"depth": 4}), ("model", None), ("loss", {}),
                                            ("loss", {"terms": ["mse"]}), ("train", None)])
def test_a_training_without_a_model_a_loss_or_settings_is_refused(training_config: Callable[..., TrainConfig],
                                                                  key: str, value: Any):
    with pytest.raises(ValueError, match=f"^{key}: expected an object"):
        TrainConfig.of(training_config().content() | {key: value})


def test_what_is_not_used_is_null_in_the_file_and_left_out_for_people(tmp_path: Path,
                                                                      training_config: Callable[..., TrainConfig]):
    write_json(tmp_path / "train.json", training_config("mse").content())
    content = read_json(tmp_path / "train.json")
    assert content["train"]["momentum"] is None and content["model"]["aspp_rates"] is None
    assert "momentum" not in used(content)["train"] and "aspp_rates" not in used(content)["model"]
    assert used({"a": {"b": None, "c": 0}, "d": [], "e": None}) == {"a": {"c": 0}, "d": []}
