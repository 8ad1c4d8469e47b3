"""`seglib study` and `seglib everything`: named selections as options of `dvc exp run`, held to DVC's own reading."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML
from typer.testing import CliRunner

from seglib import cli, params
from seglib.files import canonical_json
from seglib.params import ParamsError
from seglib.tools import studies
from tests.conftest import ROOT

NAMES = list(params.load(ROOT / "params.yaml").studies)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the committed params.yaml, which is DVC's root."""
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_dvc(command: list[str], folder: Path) -> params.Params:
    """params.yaml as DVC's own parser changes it by the command's options."""
    assert command[:3] == ["dvc", "exp", "run"] and command[3::2] == ["-S"] * (len(command[3:]) // 2)
    apply_overrides(folder / "params.yaml", command[4::2])
    return params.load(folder / "params.yaml")


@pytest.mark.parametrize("train", [
    {}, {"targets": "label", "output": "raw", "lr": 5e-2}, {"threads": None}, {"threads": 2}, {"snapshots": [1, 4]},
    {"lr": 1e-06, "momentum": 0, "epochs": 12, "precision": "bf16"}])
def test_dvc_reads_a_study_as_it_was_meant(repository: Path, raw_params: dict[str, Any], train: dict[str, Any]):
    picked = {"datasets": ["shapes"], "models": ["munet_aspp", "munet"], "losses": ["mse_dice20"], "seeds": [3, 1]}
    raw_params["studies"]["mine"] = picked | {"train": train}
    before, study = params.load(repository / "params.yaml"), params.parse(raw_params).studies["mine"]
    after = by_dvc(["dvc", "exp", "run", *params.as_overrides(study)], repository)
    assert after.run.model_dump() == picked
    assert after.train.model_dump() == before.train.model_dump() | train
    assert after.model_dump(exclude={"run", "train"}) == before.model_dump(exclude={"run", "train"})


def test_a_study_sets_any_key_and_its_sample_size_comes_last(repository: Path, raw_params: dict[str, Any]):
    raw_params["studies"]["mine"] = {
        "datasets": ["shapes"], "models": ["munet"], "losses": ["mse"], "seeds": [1, 2],
        "set": {"datasets.shapes.train_images": 40, "loss.dice_scale": 2.5},
        "sample": {"datasets.shapes.train_images": 20, "run.seeds": [2]}}
    Path("params.yaml").write_text(canonical_json(raw_params))
    after = by_dvc(studies.command("mine"), repository)
    assert after.datasets["shapes"].train_images == 40 and after.loss.dice_scale == 2.5 and after.run.seeds == [1, 2]
    after = by_dvc(studies.command("mine", sample=True, changes=["loss.dice_scale=7"]), repository)
    assert after.datasets["shapes"].train_images == 20 and after.loss.dice_scale == 7 and after.run.seeds == [2]


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_an_estimate_is_made_for_is_what_dvc_will_run(repository: Path, name: str, sample: bool):
    command = studies.command(name, sample=sample)
    expected = studies.settings(command)
    assert expected == by_dvc(command, repository)
    study = params.load(ROOT / "params.yaml").studies[name]
    assert expected.run.models == study.models
    assert study.train.model_dump(exclude_unset=True).items() <= expected.train.model_dump().items() or sample


@pytest.mark.parametrize("changes", [
    ["train.lr=1e-3", "train.threads=null", "train.keep=last"], ["run.losses=[mse,dice]", "run.losses.1=mse_dice20"],
    ["+models.wide={kind: munet, depth: 4, width: 64, upsampling: learned}", "run.models=[wide]"],
    ["+losses.half={mse: 0.5}"], ["~losses.iou"],
    ["datasets.coco.classes=[dog, 'cake']", "fetch.mirror=/tmp/a b"], ["train.snapshots=[1,2,3]", "train.clip=0.5"]])
def test_changes_of_a_users_own_are_read_as_dvc_reads_them(repository: Path, changes: list[str]):
    command = studies.command("shapes", changes=changes)
    assert studies.settings(command) == by_dvc(command, repository)


@pytest.mark.parametrize(("change", "message"), [
    ("train.lrr=1", "params.yaml has no 'lrr' there, did you mean 'lr'?"), ("train.lr", "expected KEY=VALUE"),
    ("train.lr.x=1", "no 'x' there, a single value stands there"), ("train.lr=-1", "train.lr: .*greater than 0"),
    ("run.losses.9=mse", "no '9' there, known: 0, 1"), ("train.lr=[1", "'\\[1' is not a value"),
    ("run.models=[munett]", "'munett' is not defined, did you mean 'munet'?")])
def test_a_change_that_cannot_be_is_said_before_anything_starts(repository: Path, change: str, message: str):
    with pytest.raises(ParamsError, match=message):
        studies.settings(studies.command("shapes", changes=[change]))


def test_the_command_prints_what_it_runs_and_what_that_will_cost(repository: Path):
    result = CliRunner().invoke(cli.app, ["study", "shapes", "--sample", "--dry", "-S", "train.threads=1"])
    assert result.exit_code == 0, result.output
    assert shlex.split(result.stdout) == studies.command("shapes", sample=True, changes=["train.threads=1"])
    assert result.stderr.startswith("about ") and "shapes munet_aspp" in result.stderr


def test_an_unknown_study_is_one_line_with_the_nearest(repository: Path, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture):
    monkeypatch.setattr("sys.argv", ["seglib", "study", "shape", "--dry"])
    with pytest.raises(SystemExit) as error:
        cli.main()
    assert error.value.code == 1
    assert capsys.readouterr().err == "error: params.yaml has no study 'shape': did you mean 'shapes'?\n"


@pytest.fixture
def project(repository: Path, raw_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository of three studies and one stage: it keeps the params.yaml it saw and fails at batches of 13."""
    picked = {"datasets": ["shapes"], "models": ["munet"], "losses": ["mse"], "seeds": [1]}
    raw_params["studies"] = {
        "first": picked | {"train": {"epochs": 7}}, "broken": picked | {"set": {"train.batch_size": 13}},
        "last": picked | {"sample": {"run.seeds": [9]}}}
    (repository / "params.yaml").write_text("# a comment\n" + canonical_json(raw_params))
    (repository / "compare.py").write_text(
        "import pathlib, shutil, sys\n"
        "from ruamel.yaml import YAML\n"
        "pathlib.Path('comparisons/shapes').mkdir(parents=True)\n"
        "shutil.copyfile('params.yaml', 'comparisons/shapes/seen.yaml')\n"
        "sys.exit(YAML(typ='safe').load(pathlib.Path('params.yaml'))['train']['batch_size'] == 13)\n")
    stage = {"cmd": "python compare.py", "deps": ["compare.py"], "params": [{"params.yaml": None}],
             "outs": ["comparisons/shapes"]}
    with (repository / "dvc.yaml").open("w") as file:
        YAML(typ="safe").dump({"stages": {"compare": stage}}, file)
    monkeypatch.delenv("DVC_ROOT")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
    dvc = Path(sys.executable).with_name("dvc")
    for command in ("git init --quiet", f"{dvc} init --quiet", "git add --all", "git commit --quiet -m start"):
        subprocess.run(shlex.split(command), check=True)
    return repository


def test_everything_runs_each_study_from_the_same_params_and_gathers_what_ran(
        project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture):
    before, built = (project / "params.yaml").read_bytes(), []
    monkeypatch.setattr(studies.builder, "build_everything", lambda folder, *, command: built.append(command))
    with pytest.raises(ValueError, match="lacks broken, which failed"):
        studies.run_all(sample=True, changes=["train.log_every=3"])
    assert (project / "params.yaml").read_bytes() == before
    assert "seglib study last --sample -S train.log_every=3\ndvc exp run -S " in capfd.readouterr().out
    seen = {path.parts[1]: params.load(path) for path in sorted(Path("everything").glob("*/shapes/seen.yaml"))}
    assert list(seen) == ["first", "last"] and built == ["seglib everything --sample -S train.log_every=3"]
    assert [(of.train.epochs, of.train.log_every, of.run.seeds) for of in seen.values()] == [(7, 3, [1]), (5, 3, [9])]


def test_a_study_leaves_params_as_they_were_and_the_next_builds_on_nothing_of_it(project: Path):
    before = (project / "params.yaml").read_bytes()
    for name, epochs in (("first", 7), ("last", 5)):
        assert studies.run_one(studies.command(name, sample=True)) == 0
        assert (project / "params.yaml").read_bytes() == before
        assert params.load(Path("comparisons/shapes/seen.yaml")).train.epochs == epochs


def test_what_a_killed_study_left_in_params_is_put_back_by_the_next(project: Path, capsys: pytest.CaptureFixture):
    before = (project / "params.yaml").read_bytes()
    with subprocess.Popen([sys.executable, "-c", "import sys, time; from seglib.tools import studies; "
                           "studies._run = lambda _: (studies.PARAMS.write_text('changed'), time.sleep(60)); "
                           "studies.run_one([])"]) as killed:
        while (project / "params.yaml").read_bytes() == before:
            time.sleep(0.05)
        killed.kill()
    assert studies.run_one(["true"]) == 0
    assert "puts back params.yaml" in capsys.readouterr().out
    assert (project / "params.yaml").read_bytes() == before
    left, = Path(".work").glob("params*")
    assert left.name == "params.yaml.found" and left.read_text() == "changed"


@pytest.mark.timeout(60)
def test_a_study_that_is_told_to_end_ends_what_it_runs_and_puts_params_back(project: Path):
    before = (project / "params.yaml").read_bytes()
    runs = "import os, time; open('params.yaml', 'w').write(str(os.getpid())); time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", "import sys; from seglib.tools import studies; "
                           f"studies.run_one([sys.executable, '-c', {runs!r}])"]) as study:
        while not (content := (project / "params.yaml").read_bytes()) or content == before:
            time.sleep(0.05)
        study.terminate()
        assert study.wait() == 128 + signal.SIGTERM
    assert (project / "params.yaml").read_bytes() == before
    with pytest.raises(ProcessLookupError):
        os.kill(int(content), 0)


@pytest.mark.timeout(60)
def test_a_study_that_is_to_outlive_its_terminal_does(project: Path):
    """As `nohup` starts it: it ignores SIGHUP, and what it runs does."""
    runs = "import os, signal, time; os.kill(os.getppid(), signal.SIGHUP); time.sleep(0.5); open('ended', 'w')"
    done = subprocess.run([sys.executable, "-c", "import signal, sys; from seglib.tools import studies; "
                           "signal.signal(signal.SIGHUP, signal.SIG_IGN); "
                           f"sys.exit(studies.run_one([sys.executable, '-c', {runs!r}]))"])
    assert done.returncode == 0 and (project / "ended").exists()


def test_everything_keeps_the_former_page_where_no_study_ran(project: Path, raw_params: dict[str, Any]):
    del raw_params["studies"]["first"], raw_params["studies"]["last"]
    Path("params.yaml").write_text(canonical_json(raw_params))
    Path("everything").mkdir()
    Path("everything/index.html").write_text("before")
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(ValueError, match="no study came to an end"):
        studies.run_all()
    assert (project / "params.yaml").read_bytes() == before
    assert Path("everything/index.html").read_text() == "before" and not Path(".everything.partial").exists()
