"""The identity of a training: what it follows, and what it does not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seglib.configs import TrainConfig
from seglib.files import read_json, write_json
from seglib.pipeline.identity import identity_of, provenance_of, state_key
from seglib.pipeline.provenance import Provenance, _version
from seglib.pipeline.workspace import TrainingFiles
from tests.conftest import with_settings, write_config

FILES = TrainingFiles("shapes", "munet-mse-1")


@pytest.fixture
def config(training_config: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    monkeypatch.chdir(tmp_path)
    config = training_config(schedule="one_cycle", precision="fp32")
    write_config(FILES.train_config, config.content())
    write_json(FILES.prepared / "dataset.json", {})
    return config


def change_code() -> None:
    content = read_json(FILES.train_config)
    content["code"]["fingerprint"] = "0" * 64
    write_json(FILES.train_config, content)


def test_the_identity_follows_configuration_data_and_code(config: TrainConfig):
    found = [identity_of(FILES)]
    assert len(found[0]) == 64 and found[0] == identity_of(FILES)
    write_config(FILES.train_config, with_settings(config, epochs=9).content())
    found.append(identity_of(FILES))
    write_json(FILES.prepared / "dataset.json", {"another": 1})
    found.append(identity_of(FILES))
    change_code()
    found.append(identity_of(FILES))
    assert len(set(found)) == 4


@pytest.mark.parametrize("changed", ["precision", "threads", "torch"])
def test_the_identity_follows_where_a_training_is_made(config: TrainConfig, monkeypatch: pytest.MonkeyPatch,
                                                       changed: str):
    before, key = identity_of(FILES), state_key(FILES)
    if changed == "torch":
        monkeypatch.setattr("seglib.pipeline.provenance._version", lambda name: "9.9")
        assert state_key(FILES) == key
    else:
        write_config(FILES.train_config, with_settings(config, **{changed: {"precision": "bf16", "threads": 2}[changed]}
                                                       ).content())
    assert identity_of(FILES) != before


def test_the_identity_does_not_follow_names(config: TrainConfig):
    other = TrainingFiles("forms", "network-squares-1")
    write_config(other.train_config, config.content())
    write_json(other.prepared / "dataset.json", {})
    assert identity_of(other) == identity_of(FILES)


def test_trainings_that_extend_each_other_keep_their_states_in_one_folder(config: TrainConfig):
    keys = []
    for schedule, epochs in (("constant", 2), ("constant", 5), ("one_cycle", 2), ("one_cycle", 5)):
        write_config(FILES.train_config, with_settings(config, schedule=schedule, epochs=epochs).content())
        keys.append(state_key(FILES))
    assert keys[0] == keys[1] and len(set(keys)) == 3
    change_code()
    assert state_key(FILES) not in keys


def test_provenance_says_how_and_with_which_packages(config: TrainConfig):
    found = provenance_of(FILES)
    assert (found.device, found.gpu, found.precision, found.threads) == ("cpu", None, "fp32", 1)
    assert found.torch == torch.__version__ and found.pillow == _version("pillow")
    assert found.fingerprint == read_json(FILES.train_config)["code"]["fingerprint"]
    found.write(Path("provenance.json"))
    assert Provenance.of(read_json(Path("provenance.json"))) == found
