"""`dvc repro` and `dvc exp run --temp` train a dataset's trainings together, to the same bytes as one by one."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from seglib.cores import physical_cores
from seglib.files import file_sha256
from tests.road.clones import clone, run

NAMES = [f"munet-{loss}-{seed}" for loss in ("mse", "dice") for seed in (1, 2)]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone with a small study, committed."""
    repository = clone(tmp_path / "clone")
    yaml, path = YAML(), repository / "params.yaml"
    content = yaml.load(path)
    content["run"].update({"models": ["munet"], "losses": ["mse", "dice"], "seeds": [1, 2]})
    content["train"].update({"epochs": 2, "device": "cpu", "log_every": 4})
    content["models"]["munet"].update({"width": 8})
    content["datasets"]["shapes"].update({"train_images": 160, "test_images": 20})
    yaml.dump(content, path)
    run(repository, "git", "commit", "--quiet", "--all", "--message", "a small study")
    return repository


def epochs_by_stage(output: str) -> dict[str, list[str]]:
    """For each training's stage, the trainings whose epochs it reported, each once."""
    parts = re.split(r"Running stage 'train@shapes-([^']+)'", output)
    found = {name: re.findall(r"^shapes (\S+).* epoch 1/\d+: ", part, re.MULTILINE)
             for name, part in zip(parts[1::2], parts[2::2], strict=True)}
    assert list(found) == NAMES
    return found


def hashes(repository: Path) -> dict[str, str]:
    return {str(path.relative_to(repository)): file_sha256(path)
            for path in sorted(repository.glob("runs/shapes/*/trained/*"))}


@pytest.mark.skipif(physical_cores() < 2, reason="one core trains one at a time")
@pytest.mark.slow
def test_the_first_stage_trains_all_that_dvc_was_asked_for(repository: Path):
    one = run(repository, "dvc", "repro", f"train@shapes-{NAMES[1]}")
    assert re.findall(r"^shapes (\S+) .*epoch 1/2: ", one, re.MULTILINE) == [NAMES[1]]
    together = epochs_by_stage(run(repository, "dvc", "repro", "--force", "train"))
    assert sorted(together[NAMES[0]]) == sorted(NAMES) and not any(together[name] for name in NAMES[1:])
    expected = hashes(repository)
    assert len(expected) == 4 * len(NAMES)
    alone = epochs_by_stage(run(repository, "dvc", "exp", "run", "--force", "-S", "train.together=1", "train"))
    assert alone == {name: [name] for name in NAMES}
    assert hashes(repository) == expected
    changes = ("-S", "train.together=auto", "-S", "train.epochs=3")
    output = run(repository, "dvc", "exp", "run", "--temp", *changes, "train")
    assert sorted(epochs_by_stage(output)[NAMES[0]]) == sorted(NAMES)
