"""From a folder that nobody described to a page, by the three commands of docs/own-data.md."""

import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from seglib.files import read_json
from tests.datasets.brought import FOLDERS
from tests.road.clones import clone, environment

pytestmark = [pytest.mark.road, pytest.mark.slow, pytest.mark.timeout(900)]
SMALL = ["run.seeds=[1]", "models.unet.width=8", "train.epochs=2", "datasets.mine.image_size=32"]
NAMED = {"microscopy": ["group: '^p[0-9]+'", "allow: [one_group]"], "drone": [], "phone": []}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("own") / "clone")


def said(repository: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=repository, env=environment(), text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("name", FOLDERS)
def test_three_commands_lead_to_a_page(repository: Path, name: str):
    place = FOLDERS[name](repository.parent / name)
    output = said(repository, "seglib", "check", str(place))
    entry = YAML(typ="safe", pure=True).load(output.partition("datasets:\n")[2].partition("\n\n")[0])["mine"]
    for line in NAMED[name]:
        entry |= YAML(typ="safe", pure=True).load(line)
    subprocess.run(["git", "checkout", "--quiet", "params.yaml"], cwd=repository, check=True)
    yaml, path = YAML(), repository / "params.yaml"
    content = yaml.load(path)
    content["datasets"]["mine"] |= entry
    yaml.dump(content, path)
    assert "0 errors" in said(repository, "seglib", "check", "mine")
    picks = ["run.datasets=[mine]", "run.models=[unet]", "run.losses=[ce,ce_dice]", *SMALL]
    said(repository, "dvc", "exp", "run", *(part for one in picks for part in ("-S", one)))
    page = (repository / "reports/index.html").read_text(encoding="utf-8")
    assert all(label in page for label in entry["classes"])
    summary = read_json(repository / "comparisons/mine/tables/summary.json")
    assert (name == "microscopy") == ("units" in summary)
