"""A user's pictures in data/raw/mine, where a stage writes, survive every way to run the pipeline.

DVC removes the outputs of a stage before it runs the stage. So the refusal must come before that stage is reached.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import shared
from tests.road.clones import clone, environment

pytestmark = [pytest.mark.road, pytest.mark.timeout(900)]

REFUSAL = "datasets.mine.path is data/raw/mine, which lies inside data/raw"
ASKED = ("-S", "train.epochs=2")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose committed study trains on the pictures in data/raw/mine."""
    found = clone(tmp_path_factory.mktemp("user") / "clone")
    keep_pictures_in("data/raw/mine", found)
    return found


def keep_pictures_in(place: str, repository: Path) -> None:
    shutil.copytree(shared("own_data") / "data_in_raw", repository / place, dirs_exist_ok=True)
    change_params(place, repository)
    subprocess.run(["git", "commit", "--quiet", "--all", "--message", "my pictures"], cwd=repository,
                   env=environment(), check=True)


def change_params(place: str, repository: Path) -> None:
    yaml, path = YAML(), repository / "params.yaml"
    content = yaml.load(path)
    content["datasets"]["mine"]["path"] = place
    content["run"].update({"datasets": ["mine"], "losses": ["ce"], "seeds": [1]})
    content["train"]["epochs"] = 1
    yaml.dump(content, path)


def said(repository: Path, *command: str) -> tuple[int, str]:
    done = subprocess.run(command, cwd=repository, env=environment(), text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout


def files(repository: Path, place: str = "data/raw/mine") -> dict[str, bytes]:
    folder = repository / place
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("command", [
    ("dvc", "repro"), ("dvc", "repro", "fetch@mine"), ("dvc", "repro", "--force", "fetch@mine"),
    ("dvc", "exp", "run", *ASKED), ("dvc", "exp", "run", "--temp", *ASKED), ("make", "repro"),
    ("seglib", "check", "mine"), ("seglib", "doctor")], ids=" ".join)
def test_the_pictures_survive(repository: Path, command: tuple[str, ...]):
    if command[0] == "make":  # without the environment, which is there
        (repository / ".venv").mkdir(exist_ok=True)
        (repository / ".venv/stamp").touch()
    before = files(repository)
    assert before
    status, output = said(repository, *command)
    assert files(repository) == before
    assert status != 0 and REFUSAL in output, output


@pytest.mark.parametrize("place", ["data/prepared/mine", "runs/mine", "results/mine/munet-ce-1", "reports",
                                   "comparisons/mine"])
def test_pictures_elsewhere_among_the_outputs_survive_an_experiment(repository: Path, place: str):
    """In the workspace, DVC restores all outputs before any stage can refuse."""
    keep_pictures_in(place, repository)
    before = files(repository, place)
    status, output = said(repository, "dvc", "exp", "run", "--set-param", "train.epochs=3")
    change_params("data/raw/mine", repository)
    assert files(repository, place) == before and before
    assert status != 0 and f"datasets.mine.path is {place}, which" in output, output


def test_pictures_in_the_output_of_the_stage_that_refuses_survive(repository: Path):
    keep_pictures_in("conf/mine", repository)
    before = files(repository, "conf/mine")
    status, output = said(repository, "dvc", "repro")
    change_params("data/raw/mine", repository)
    assert files(repository, "conf/mine") == before and before
    assert status != 0 and "datasets.mine.path is conf/mine, which lies inside conf" in output, output


def test_the_pictures_survive_a_queued_experiment(repository: Path):
    before = files(repository)
    for command in (("dvc", "exp", "run", "--queue", "--name", "queued", *ASKED), ("dvc", "queue", "start")):
        assert said(repository, *command)[0] == 0
    _, output = said(repository, "dvc", "queue", "logs", "queued", "--follow")
    while "Running" in (status := said(repository, "dvc", "queue", "status")[1]):
        pass
    assert "Failed" in status
    output += said(repository, "dvc", "queue", "logs", "queued")[1]
    assert files(repository) == before
    assert REFUSAL in output, output


def test_a_link_that_was_made_after_the_configuration_was_written_is_refused_too(repository: Path):
    """params.yaml is as before, so that only a `resolve` that always runs can notice."""
    change_params("../pictures", repository)
    assert said(repository, "dvc", "repro", "resolve/dvc.yaml")[0] == 0
    (repository.parent / "pictures").symlink_to(repository / "data/raw/mine")
    before = files(repository)
    status, output = said(repository, "dvc", "repro", "fetch@mine")
    assert files(repository) == before
    assert status != 0 and "datasets.mine.path is ../pictures, which lies inside data/raw" in output, output
