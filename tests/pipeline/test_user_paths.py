"""Paths of params.yaml that lead to where the pipeline writes are refused, however they are spelled."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from seglib import params
from seglib.files import canonical_json
from seglib.params import ParamsError
from seglib.pipeline.user_paths import PRIVATE, paths_in, refuse_overlap, refuse_strays
from seglib.pipeline.workspace import OUTPUTS, TrainingFiles
from stages import resolve
from tests.conftest import ROOT, missing

Refuse = Callable[[str], None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository's folder with data/raw/mine, which holds a picture."""
    folder = tmp_path / "seglib"
    (folder / "data/raw/mine/images").mkdir(parents=True)
    (folder / "data/raw/mine/images/a.png").touch()
    return folder


@pytest.fixture
def refuse(root: Path, raw_params: dict[str, Any]) -> Refuse:
    """Check the repository's params.yaml with this path as datasets.mine.path."""
    def check(path: str) -> None:
        raw_params["datasets"]["mine"]["path"] = path
        refuse_overlap(params.parse(raw_params), root)
    return check


def test_the_places_are_those_that_dvc_yaml_writes_to():
    bodies = [stage.get("do", stage) for path in ("dvc.yaml", "resolve/dvc.yaml")
              for stage in YAML(typ="safe", pure=True).load(ROOT / path)["stages"].values()]
    listed = [entry for body in bodies for kind in ("outs", "metrics", "plots") for entry in body.get(kind, ())]
    written = {next(iter(entry)) if isinstance(entry, dict) else entry for entry in listed}
    assert len(written) > len(OUTPUTS)
    assert {next((place for place in OUTPUTS if f"{path}/".startswith(f"{place}/")), path) for path in written} == set(
        OUTPUTS)


@pytest.mark.parametrize(("path", "how"), [
    ("data/raw/mine", "lies inside data/raw"), ("data/raw", "is data/raw"), ("data", "contains data/raw"),
    (".", "contains conf"), ("..", "contains conf"), ("data/raw/mine/images/..", "lies inside data/raw"),
    ("../seglib/data/raw/mine", "lies inside data/raw"), ("runs/not/there/yet", "lies inside runs"),
    ("metrics.json", "is metrics.json"), (".work/pictures", "lies inside .work, which belongs to seglib"),
    ("studies/mine", "lies inside studies, which belongs to seglib"),
    (".git/x", "lies inside .git, which belongs to git")])
def test_a_path_where_the_pipeline_writes_is_refused(refuse: Refuse, path: str, how: str):
    with pytest.raises(ParamsError, match=f"^datasets.mine.path is {path}, which {how}.*Keep your files elsewhere"):
        refuse(path)


@pytest.mark.parametrize("path", ["../my_pictures", "data/my_pictures", "data/rawer", "my_runs", "/nowhere/at/all"])
def test_any_other_path_is_fine(refuse: Refuse, root: Path, path: str):
    refuse(path)
    if path != "/nowhere/at/all":
        (root / path).mkdir(parents=True)
        refuse(path)


def test_an_absolute_path_is_refused_too(refuse: Refuse, root: Path):
    with pytest.raises(ParamsError, match="lies inside data/raw"):
        refuse(str(root / "data/raw/mine"))


def test_a_link_to_such_a_place_is_refused(refuse: Refuse, root: Path):
    (root.parent / "pictures").symlink_to(root / "data/raw/mine")
    with pytest.raises(ParamsError, match="lies inside data/raw"):
        refuse("../pictures")


@pytest.mark.parametrize("linked", ["images", "images/a.png", "deep/er/images"])
def test_a_link_inside_the_folder_is_refused(refuse: Refuse, root: Path, linked: str):
    folder = root.parent / "pictures"
    (folder / linked).parent.mkdir(parents=True)
    (folder / linked).symlink_to(root / "data/raw/mine/images" / ("a.png" if linked.endswith("png") else ""))
    with pytest.raises(ParamsError, match=f"The link .*{linked} in it leads to .*which lies inside data/raw"):
        refuse("../pictures")


def test_a_link_behind_a_link_is_refused_and_circles_end(refuse: Refuse, root: Path):
    folder, elsewhere = root.parent / "pictures", root.parent / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "self").symlink_to(folder)
    (folder / "loop").symlink_to("loop")
    (folder / "beside").symlink_to(elsewhere)
    refuse("../pictures")
    (elsewhere / "masks").symlink_to(root / "data/raw/mine")
    with pytest.raises(ParamsError, match="The link .*elsewhere/masks in it leads to"):
        refuse("../pictures")


def test_links_to_files_elsewhere_are_fine(refuse: Refuse, root: Path):
    """Their folder may contain the repository; only a link to a folder could give that away."""
    folder = root.parent / "pictures"
    folder.mkdir()
    (root.parent / "a.png").touch()
    (folder / "a.png").symlink_to(root.parent / "a.png")
    refuse("../pictures")


def test_a_link_to_a_file_hides_no_link_to_its_folder(refuse: Refuse, root: Path):
    """The folder contains an output; the file beside the output does not."""
    folder = root.parent / "pictures"
    folder.mkdir()
    (root / "data/readme.png").touch()
    (folder / "a.png").symlink_to(root / "data/readme.png")
    refuse("../pictures")
    (folder / "more").symlink_to(root / "data")
    with pytest.raises(ParamsError, match="The link .*more in it leads to .*which contains data/raw"):
        refuse("../pictures")


def test_links_that_cannot_be_followed_are_passed_over(refuse: Refuse, root: Path):
    folder = root.parent / "pictures"
    folder.mkdir()
    (folder / "long").symlink_to("x" * 300)
    (folder / "nowhere").symlink_to(root.parent / "nowhere")
    refuse("../pictures")


@pytest.mark.parametrize("place", ["data/raw", "data/raw/linked"])
def test_an_output_that_is_a_link_to_the_users_folder_is_refused(refuse: Refuse, root: Path, place: str):
    """As where data/raw is kept on another disk."""
    disk = root.parent / "disk"
    (disk / "mine").mkdir(parents=True)
    if place == "data/raw":
        (root / "data/raw").rename(root / "data/before")
    (root / place).symlink_to(disk)
    with pytest.raises(ParamsError, match=f"lies inside {place}"):
        refuse("../disk/mine")


@pytest.fixture
def mounted(root: Path) -> Iterator[Path]:
    """data/raw/mine under a second name that is no link, as any folder has on a case-insensitive disk."""
    other = root.parent / "Mine"
    other.mkdir()
    if subprocess.run(["mount", "--bind", str(root / "data/raw/mine"), str(other)], capture_output=True,
                      check=False).returncode:
        missing("mounting a folder is not allowed here")
    yield other
    subprocess.run(["umount", "--lazy", str(other)], check=True)


def test_another_name_of_the_same_folder_is_refused(refuse: Refuse, root: Path, mounted: Path,
                                                    monkeypatch: pytest.MonkeyPatch):
    (root / "data/raw/mine/inner").mkdir()
    monkeypatch.setattr("seglib.pipeline.user_paths.OUTPUTS", ("data/raw/mine",))
    for path in ("../Mine", "../Mine/inner"):
        with pytest.raises(ParamsError, match="data/raw/mine, where the pipeline writes"):
            refuse(path)


def test_every_key_that_leads_to_a_users_files_is_looked_at(root: Path, raw_params: dict[str, Any]):
    raw_params["fetch"]["mirror"] = "data/raw"
    raw_params["datasets"]["shapes"]["source"] = "data/raw/shapes.tar.gz"
    raw_params["datasets"]["stanford"]["source"] = "data/raw/stanford"
    raw_params["datasets"]["mine"]["path"] = "data/raw/mine"
    raw_params["models"]["resnet18_unet"]["weights"] = "runs"
    settings = params.parse(raw_params)
    keys = {"fetch.mirror", "datasets.shapes.source", "datasets.stanford.source", "datasets.mine.path",
            "models.resnet18_unet.weights"}
    assert {key for key, _ in paths_in(settings)} == keys
    with pytest.raises(ParamsError) as error:
        refuse_overlap(settings, root)
    assert {line.split(" is ")[0] for line in str(error.value).splitlines()} == keys


def test_words_that_stand_for_no_path_are_fine(root: Path, raw_params: dict[str, Any]):
    """`generated`, `purdue`, `original`, `imagenet` and `none` never lead to a folder of that name."""
    raw_params["datasets"]["shapes"]["source"] = "purdue"
    assert {key for key, _ in paths_in(params.parse(raw_params))} == {"datasets.mine.path"}
    refuse_overlap(params.parse(raw_params), root)


def test_resolve_refuses_and_leaves_what_it_wrote_before(root: Path, raw_params: dict[str, Any],
                                                         monkeypatch: pytest.MonkeyPatch):
    """Datasets that `run` does not pick count: another run may pick them."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("DVC_ROOT", str(root))
    (root / "params.yaml").write_text(canonical_json(raw_params))
    resolve.main()
    before = sorted(path.name for path in Path("conf").rglob("*"))
    raw_params["datasets"]["mine"]["path"] = "data/raw/mine"
    (root / "params.yaml").write_text(canonical_json(raw_params))
    with pytest.raises(ParamsError, match="datasets.mine.path is data/raw/mine"):
        resolve.main()
    assert sorted(path.name for path in Path("conf").rglob("*")) == before
    assert Path("data/raw/mine/images/a.png").exists()


def test_private_places_are_ignored_by_git():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {f"/{name}" for name in PRIVATE if name not in (".git", ".dvc")} <= set(ignored)


def test_a_file_of_a_user_among_the_outputs_of_a_training_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    files = TrainingFiles("shapes", "munet-mse-1")
    for path in (*files.outputs, files.weights.with_name(".weights.half")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    refuse_strays([files, TrainingFiles("shapes", "munet-mse-2")])
    notes = files.results / "notes.txt"
    notes.touch()
    with pytest.raises(ValueError, match=f"^{notes} is not the pipeline's, .*; move it elsewhere"):
        refuse_strays([files])
