"""`seglib study` and `seglib everything`: named selections, run by DVC in a temporary copy of the repository."""

import os
import shlex
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
from seglib.files import canonical_json, read_json
from seglib.params import ParamsError
from seglib.tools import studies
from tests.conftest import ROOT

NAMES = list(params.load(ROOT / "params.yaml").studies)


def by_dvc(changes: list[str], folder: Path) -> params.Params:
    """params.yaml as DVC itself changes it."""
    apply_overrides(folder / "params.yaml", changes)
    return params.load(folder / "params.yaml")


@pytest.mark.parametrize("train", [
    {}, {"targets": "label", "output": "raw", "lr": 5e-2}, {"threads": None}, {"threads": 2}, {"snapshots": [1, 4]},
    {"lr": 1e-06, "momentum": 0, "epochs": 12, "precision": "bf16"}])
def test_dvc_reads_a_study_as_it_was_meant(repository: Path, raw_params: dict[str, Any], train: dict[str, Any]):
    picked = {"datasets": ["shapes"], "models": ["munet_aspp", "munet"], "losses": ["mse_dice20"],
              "predictors": ["otsu"], "seeds": [3, 1]}
    raw_params["studies"]["mine"] = picked | {"train": train}
    before, study = params.load(repository / "params.yaml"), params.parse(raw_params).studies["mine"]
    after = by_dvc(params.as_overrides(study), repository)
    assert after.run.model_dump() == picked
    assert after.train.model_dump() == before.train.model_dump() | train
    assert after.model_dump(exclude={"run", "train"}) == before.model_dump(exclude={"run", "train"})


def test_a_study_sets_any_key_and_its_sample_size_comes_last(repository: Path, raw_params: dict[str, Any]):
    raw_params["studies"]["mine"] = {
        "datasets": ["shapes"], "models": ["munet"], "losses": ["mse"], "seeds": [1, 2],
        "set": {"datasets.shapes.train_images": 40, "loss.dice_scale": 2.5},
        "sample": {"datasets.shapes.train_images": 20, "run.seeds": [2]}}
    Path("params.yaml").write_text(canonical_json(raw_params))
    after = by_dvc(studies.changes_of("mine"), repository)
    assert after.datasets["shapes"].train_images == 40 and after.loss.dice_scale == 2.5 and after.run.seeds == [1, 2]
    after = by_dvc(studies.changes_of("mine", sample=True, changes=["loss.dice_scale=7"]), repository)
    assert after.datasets["shapes"].train_images == 20 and after.loss.dice_scale == 7 and after.run.seeds == [2]


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_an_estimate_is_made_for_is_what_dvc_will_run(repository: Path, name: str, sample: bool):
    changes = studies.changes_of(name, sample=sample)
    expected = studies.settings(changes)
    assert expected == by_dvc(changes, repository)
    study = params.load(ROOT / "params.yaml").studies[name]
    assert expected.run.models == study.models
    assert study.train.model_dump(exclude_unset=True).items() <= expected.train.model_dump().items() or sample


@pytest.mark.parametrize("changes", [
    ["train.lr=1e-3", "train.threads=null", "train.keep=last"], ["run.losses=[mse,dice]", "run.losses.1=mse_dice20"],
    ["+models.wide={kind: munet, depth: 4, width: 64, upsampling: learned}", "run.models=[wide]"],
    ["+losses.half={mse: 0.5}"], ["~losses.iou"],
    ["datasets.coco.classes=[dog, 'cake']", "fetch.mirror=/tmp/a b"], ["train.snapshots=[1,2,3]", "train.clip=0.5"]])
def test_changes_of_a_users_own_are_applied_and_params_stay_as_they_were(repository: Path, changes: list[str]):
    before = Path("params.yaml").read_bytes()
    values = studies.changes_of("shapes", changes=changes)
    assert values[-len(changes):] == changes
    found = studies.settings(values)
    assert Path("params.yaml").read_bytes() == before
    assert found == by_dvc(values, repository) != by_dvc(studies.changes_of("scale_sweep"), repository)


@pytest.mark.parametrize(("change", "message"), [
    ("train.lrr=1", "params.yaml has no 'lrr' there, did you mean 'lr'?"), ("train.lr", "expected KEY=VALUE"),
    ("train.lr.x=1", "no 'x' there, a single value stands there"), ("train.lr=-1", "train.lr: .*more than 0"),
    ("run.losses.9=mse", "no '9' there, known: 0, 1"), ("train.lr=[1", "'\\[1' is not a value"),
    ("run.models=[munett]", "'munett' is not defined, did you mean 'munet'?")])
def test_a_change_that_cannot_be_is_said_before_anything_starts(repository: Path, change: str, message: str):
    with pytest.raises(ParamsError, match=message):
        studies.settings(studies.changes_of("shapes", changes=[change]))


def test_the_command_prints_what_it_runs_and_what_that_will_cost(repository: Path):
    result = CliRunner().invoke(cli.app, ["study", "shapes", "--sample", "--dry", "-S", "train.threads=1"])
    assert result.exit_code == 0, result.output
    values = studies.changes_of("shapes", sample=True, changes=["train.threads=1"])
    assert shlex.split(result.stdout) == ["dvc", "exp", "run", "--temp", *(part for v in values for part in ("-S", v))]
    assert result.stderr.startswith("about ") and "shapes munet_aspp" in result.stderr


def test_an_unknown_study_is_one_line_with_the_nearest(repository: Path, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture):
    monkeypatch.setattr("sys.argv", ["seglib", "study", "shape", "--dry"])
    with pytest.raises(SystemExit) as error:
        cli.main()
    assert error.value.code == 1
    assert capsys.readouterr().err == "error: params.yaml has no study 'shape': did you mean 'shapes'?\n"


STAGE = """
import os, pathlib, shutil, sys, time
from ruamel.yaml import YAML
from seglib.pipeline.watchdog import end_with_dvc
end_with_dvc()  # as every stage does
for folder in ("conf", "runs", "timings", "results", "reports", "comparisons/shapes/tables"):
    pathlib.Path(folder).mkdir(parents=True)
shutil.copyfile("params.yaml", "comparisons/shapes/seen.yaml")
pathlib.Path("comparisons/shapes/tables/summary.json").write_text("{}")
pathlib.Path("reports/index.html").write_text("the page")
pathlib.Path("metrics.json").write_text("{}")
params = YAML(typ="safe").load(pathlib.Path("params.yaml"))
if params["train"]["epochs"] == 77:
    pathlib.Path(os.environ["DVC_ROOT"], "started").write_text(str(os.getpid()))
    time.sleep(1000)
if pathlib.Path("seglib/own.py").exists():
    shutil.copyfile("seglib/own.py", "runs/own.py")
sys.exit(params["train"]["batch_size"] == 13)
"""
OUTPUTS = ["conf", "runs", "timings", "results", "reports", "comparisons"]


@pytest.fixture
def project(repository: Path, raw_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository of three studies and one stage. The stage writes what all stages write, the params.yaml that it
    saw among it. It fails at batches of 13.
    """
    picked = {"datasets": ["shapes"], "models": ["munet"], "losses": ["mse"], "seeds": [1]}
    raw_params["studies"] = {
        "first": picked | {"train": {"epochs": 7}}, "broken": picked | {"set": {"train.batch_size": 13}},
        "last": picked | {"sample": {"run.seeds": [9]}}}
    (repository / "params.yaml").write_text("# a comment\n" + canonical_json(raw_params))
    (repository / "stage.py").write_text(STAGE)
    (repository / ".gitignore").write_text("/studies\n/started\n" + "".join(f"/{name}\n" for name in OUTPUTS))
    stage = {"cmd": "python stage.py", "deps": ["stage.py"], "params": [{"params.yaml": None}], "outs": OUTPUTS,
             "metrics": [{"metrics.json": {"cache": False}}]}
    with (repository / "dvc.yaml").open("w") as file:
        YAML(typ="safe").dump({"stages": {"all": stage}}, file)
    monkeypatch.delenv("DVC_ROOT")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
    dvc = Path(sys.executable).with_name("dvc")
    for command in ("git init --quiet", f"{dvc} init --quiet", "git add --all", "git commit --quiet -m start"):
        subprocess.run(shlex.split(command), check=True)
    return repository


# `seglib study` without the estimate, which takes seconds.
STUDY = [sys.executable, "-c", "from seglib import cli; from seglib.tools import estimate; "
         "estimate.estimate = lambda settings: 'about an hour'; cli.main()", "study"]


def study(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*STUDY, *arguments], capture_output=True, text=True, check=False)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and not {".git", ".dvc", "studies"} & set(path.relative_to(folder).parts)}


def test_a_study_leaves_its_results_in_its_folder_and_the_workspace_as_it_was(project: Path):
    subprocess.run([Path(sys.executable).with_name("dvc"), "repro", "--quiet"], check=True)
    Path("reports/notes.txt").write_text("mine")
    (project / "params.yaml").write_text((project / "params.yaml").read_text() + "# not committed\n")
    before = files_of(project)
    done = study("first")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"report: {project}/studies/first/reports/index.html\n")
    assert "No file hash info" not in done.stdout + done.stderr
    assert files_of(project) == before
    kept = project / "studies/first"
    assert params.load(kept / "comparisons/shapes/seen.yaml").train.epochs == 7
    assert {path.name for path in kept.iterdir()} == {*studies.KEPT, "study.json"}
    assert not list(Path("studies").glob(".*")) and not list(Path(".dvc/tmp/exps/standalone").glob("tmp*"))


def test_an_earlier_result_of_a_study_is_renamed_and_an_equal_one_is_kept_once(project: Path):
    for changes in ([], [], ["-S", "train.epochs=3"]):
        assert study("last", *changes).returncode == 0
    (note,) = Path("studies").glob("last-*/study.json")
    assert read_json(note)["experiment"] == note.parent.name
    assert params.load(note.parent / "comparisons/shapes/seen.yaml").train.epochs == 5
    assert params.load(Path("studies/last/comparisons/shapes/seen.yaml")).train.epochs == 3
    assert read_json(Path("studies/last/study.json"))["command"] == "seglib study last -S train.epochs=3"


@pytest.mark.slow
def test_a_users_own_folder_of_that_name_is_renamed(project: Path):
    Path("studies/last").mkdir(parents=True)
    Path("studies/last/thesis.txt").write_text("mine")
    assert study("last").returncode == 0
    (kept,) = Path("studies").glob("last-*/thesis.txt")
    assert kept.read_text() == "mine" and Path("studies/last/reports/index.html").exists()


def test_modules_that_git_does_not_know_yet_run_too(project: Path):
    Path("seglib").mkdir()
    Path("seglib/own.py").write_text("mine")
    done = study("last")
    assert done.returncode == 0, done.stderr
    assert Path("studies/last/runs/own.py").read_text() == "mine"


def test_a_study_that_fails_says_so_and_leaves_no_folder(project: Path):
    done = study("broken")
    assert done.returncode == 1 and "error: study broken failed (see above)" in done.stderr
    assert not list(Path("studies").iterdir())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM,
                                    pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_study_that_is_stopped_stops_what_it_runs_and_leaves_the_workspace_as_it_was(project: Path, number: int):
    """Ctrl-C reaches the stage too, the other signals only the study."""
    before = files_of(project)
    with subprocess.Popen([*STUDY, "last", "-S", "train.epochs=77"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, start_new_session=True) as process:
        while not (project / "started").exists() or not (project / "started").read_text():
            time.sleep(0.05)
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        assert process.wait() != 0
    stage = int((project / "started").read_text())
    while Path(f"/proc/{stage}").exists():
        time.sleep(0.05)
    (project / "started").unlink()
    assert files_of(project) == before
    assert study("last").returncode == 0


@pytest.mark.slow
def test_everything_runs_each_study_from_the_same_params_and_gathers_what_ran(
        project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture):
    before, built = (project / "params.yaml").read_bytes(), []

    def build(folder: Path, *, command: str) -> None:
        built.append(command)
        (folder / "index.html").write_text("all")

    monkeypatch.setattr(studies.builder, "build_everything", build)
    Path("studies/everything").mkdir(parents=True)
    Path("studies/everything/index.html").write_text("before")
    with pytest.raises(ValueError, match="does not show broken, which failed"):
        studies.run_all(sample=True, changes=["train.log_every=3"])
    assert (project / "params.yaml").read_bytes() == before
    assert "seglib study last --sample -S train.log_every=3\n" in capfd.readouterr().out
    page = Path("studies/everything")
    seen = {path.parts[2]: params.load(path) for path in sorted(page.glob("*/shapes/seen.yaml"))}
    assert list(seen) == ["first", "last"] and built == ["seglib everything --sample -S train.log_every=3"]
    assert [(of.train.epochs, of.train.log_every, of.run.seeds) for of in seen.values()] == [(7, 3, [1]), (5, 3, [9])]
    assert (page / "index.html").read_text() == "all"
    (former,) = Path("studies").glob("everything-*/index.html")
    assert former.read_text() == "before"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_everything_that_is_stopped_stops_its_study_and_leaves_nothing_half_made(project: Path):
    program = "from seglib.tools import studies; studies.run_all(changes=['train.epochs=77'])"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                          ) as process:
        while not (project / "started").exists() or not (project / "started").read_text():
            time.sleep(0.05)
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
    stage = int((project / "started").read_text())
    while Path(f"/proc/{stage}").exists():
        time.sleep(0.05)
    assert list(Path("studies").iterdir()) == []


def test_everything_keeps_the_former_page_if_no_study_ran(project: Path, raw_params: dict[str, Any],
                                                          monkeypatch: pytest.MonkeyPatch):
    del raw_params["studies"]["first"], raw_params["studies"]["last"]
    Path("params.yaml").write_text(canonical_json(raw_params))
    Path("studies/everything").mkdir(parents=True)
    Path("studies/everything/index.html").write_text("before")
    with pytest.raises(ValueError, match="all studies failed; see the first error above"):
        studies.run_all()
    assert [str(path) for path in Path("studies").rglob("*")] == ["studies/everything", "studies/everything/index.html"]


def test_no_study_may_be_called_everything(raw_params: dict[str, Any]):
    raw_params["studies"]["everything"] = raw_params["studies"]["shapes"]
    with pytest.raises(ParamsError, match="taken by the page of all studies"):
        params.parse(raw_params)
