"""Which stages an edit repeats, by really editing a clone and running `dvc repro` in it."""

import dataclasses
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from seglib.files import file_sha256, read_json
from tests.road.clones import clone, environment, run

pytestmark = [pytest.mark.road, pytest.mark.timeout(1500)]

SMALL = {"train_images": 24, "test_images": 6, "allow": ["absent_class", "unscored_class"]}
TRAININGS = [f"{model}-{loss}-1" for model in ("convnet", "munet") for loss in ("mse", "edges")]
EVERY_DATASET_STAGE = frozenset({"fetch@shapes", "prepare@shapes", "predict@shapes", "compare@shapes", "report"})

# A package's version as it would be after an upgrade. Python imports this module when it starts.
UPGRADE = """
from importlib import metadata

found = metadata.version
metadata.version = lambda name: "99.0" if name == "torch" else found(name)
"""


def of(stage: str, *parts: str) -> frozenset[str]:
    """The names of a stage's runs for the trainings whose names hold one of these parts; for all if none is given."""
    return frozenset(f"{stage}@shapes-{name}" for name in TRAININGS
                     if not parts or any(part in name for part in parts))


def append(name: str, text: str) -> Callable[[Path], None]:
    def edit(repository: Path) -> None:
        with (repository / name).open("a") as file:
            file.write(f"\n{text}\n")
    return edit


def insert(name: str, after: str, text: str) -> Callable[[Path], None]:
    """Put text behind the one place where `after` stands."""
    def edit(repository: Path) -> None:
        content = (repository / name).read_text()
        assert content.count(after) == 1, (name, after)
        (repository / name).write_text(content.replace(after, after + text))
    return edit


def both(*edits: Callable[[Path], None]) -> Callable[[Path], None]:
    def edit(repository: Path) -> None:
        for one in edits:
            one(repository)
    return edit


def with_test_images(count: int) -> Callable[[Path], None]:
    def edit(repository: Path) -> None:
        change_params(repository, lambda content: content["datasets"]["shapes"].update({"test_images": count}))
    return edit


def change_params(repository: Path, change: Callable[[dict], None]) -> None:
    yaml, path = YAML(), repository / "params.yaml"
    content = yaml.load(path)
    change(content)
    yaml.dump(content, path)


@dataclasses.dataclass(frozen=True)
class Edit:
    """What is edited, and which runs of stages it repeats besides `resolve`, which always runs.

    may_repeat: those that run only if their inputs come to hold other bytes. The edits here change no number.
    """

    what: str
    make: Callable[[Path], None]
    repeats: frozenset[str] = frozenset()
    may_repeat: frozenset[str] = frozenset()


NOTHING_REPEATS = [
    Edit("a comment", append("seglib/training/loop.py", "# one more comment")),
    Edit("a docstring", insert("seglib/models/munet.py", "DLStudio's mUnet (", "once more, ")),
    Edit("a message", insert("seglib/training/loop.py", "computes its loss itself, of ", "exactly ")),
    Edit("the progress bar", append("seglib/training/progress.py", "WIDTH = 7")),
    Edit("a new model", both(append("seglib/models/another.py", "class Another: ..."),
                             insert("seglib/models/__init__.py", "KINDS: dict[str, Kind] = {",
                                    '\n    "another": Kind(path="seglib.models.another:Another"),'))),
    Edit("a new loss", both(append("seglib/losses/another.py", "def another(view): ..."),
                            insert("seglib/losses/__init__.py", "TERMS: dict[str, Term] = {",
                                   '\n    "another": Term(path="seglib.losses.another:another", takes="output"),'))),
    Edit("a new dataset", both(append("seglib/datasets/another.py", "def describe(config): ..."),
                               insert("seglib/datasets/readers.py", "KINDS: dict[str, LazyEntry] = {",
                                      '\n    "another": LazyEntry("seglib.datasets.another"),'))),
    Edit("a model that is not picked", append("seglib/models/unet.py", "WIDTH = 7")),
    Edit("a dataset that is not picked", append("seglib/datasets/coco.py", "WIDTH = 7")),
]
COMPARED, REPORT = frozenset({"compare@shapes"}), frozenset({"report"})
OTHERS = [
    Edit("a new score", insert("seglib/metrics/overlap.py", "OVERLAP: dict[str, Overlap] = {",
                               '\n    "negatives": Overlap(title="NPV", formula="TN / (TN + FN)", numerator={"tn": 1},'
                               ' denominator={"tn": 1, "fn": 1}),'), COMPARED | REPORT),
    Edit("a model", append("seglib/models/convnet.py", "WIDTH = 7"),
         of("train", "convnet") | of("evaluate", "convnet") | COMPARED | REPORT),
    Edit("a loss", append("seglib/losses/boundary.py", "WIDTH = 7"), of("train", "edges") | COMPARED | REPORT,
         of("evaluate", "edges")),
    Edit("a metric", append("seglib/metrics/boundary.py", "WIDTH = 7"),
         of("evaluate") | {"predict@shapes"} | COMPARED | REPORT),
    Edit("a claim's arithmetic", append("seglib/comparison/verdicts.py", "WIDTH = 7"), COMPARED, REPORT),
    Edit("a figure", append("seglib/figures/plots.py", "WIDTH = 7"), COMPARED, REPORT),
    Edit("a template", append("seglib/report/templates/data.html", "<p>More"), REPORT),
    Edit("a script of the page", append("seglib/report/page.js", "// more"), REPORT),
    Edit("test_images", with_test_images(8), EVERY_DATASET_STAGE | of("evaluate")),
]
QUICK = ("a loss", "a template")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which four small trainings have run."""
    repository = clone(tmp_path_factory.mktemp("edits") / "here")

    def make_small(content: dict) -> None:
        content["run"].update({"datasets": ["shapes"], "models": ["convnet", "munet"], "losses": ["mse", "edges"],
                               "predictors": [], "seeds": [1]})
        content["datasets"]["shapes"].update(SMALL)
        content["models"]["munet"].update({"width": 4, "depth": 4})
        content["models"]["convnet"] = {"kind": "convnet", "width": 4, "layers": 2}
        content["losses"]["edges"] = {"bce": 1.0, "boundary": 0.01}
        content["train"].update({"epochs": 1, "device": "cpu", "threads": 1, "precision": "fp32"})
        content["compare"].update({"pictures": 3, "gallery": 3})

    change_params(repository, make_small)
    run(repository, "git", "commit", "--quiet", "--all", "--message", "small")
    assert ran(run(repository, "dvc", "repro")) >= of("train") | of("evaluate") | EVERY_DATASET_STAGE
    run(repository, "git", "commit", "--quiet", "--all", "--message", "locked")
    return repository


@pytest.fixture
def repository(workshop: Path) -> Iterator[Path]:
    """The clone, as it was before the last edit. What DVC made of the edit stays in its cache."""
    yield workshop
    run(workshop, "git", "checkout", "--quiet", ".")
    run(workshop, "git", "clean", "--quiet", "--force", "seglib", "stages")


def ran(output: str) -> set[str]:
    """The runs of stages besides `resolve`. What DVC restored from its run cache did not run."""
    found = set(re.findall(r"Running stage '([^']+)'", output))
    assert "resolve/dvc.yaml:resolve" in found
    return found - {"resolve/dvc.yaml:resolve"}


def test_edits_that_decide_no_result_repeat_nothing(repository: Path):
    both(*(edit.make for edit in NOTHING_REPEATS))(repository)
    assert ran(run(repository, "dvc", "repro")) == set()


@pytest.mark.parametrize("edit", [
    *(pytest.param(edit, marks=pytest.mark.slow) for edit in NOTHING_REPEATS),
    *(pytest.param(edit, marks=() if edit.what in QUICK else pytest.mark.slow) for edit in OTHERS)],
    ids=lambda edit: edit.what)
def test_an_edit_repeats_what_depends_on_it_and_nothing_else(repository: Path, edit: Edit):
    edit.make(repository)
    assert edit.repeats <= ran(run(repository, "dvc", "repro")) <= edit.repeats | edit.may_repeat


def test_what_is_taken_back_is_restored_and_not_run_again(repository: Path):
    run(repository, "dvc", "repro")
    page = repository / "reports/index.html"
    before = page.read_bytes()
    append("seglib/report/templates/data.html", "<p>Even more")(repository)
    assert ran(run(repository, "dvc", "repro")) == {"report"}
    assert page.read_bytes() != before
    run(repository, "git", "checkout", "--quiet", ".")
    assert ran(run(repository, "dvc", "repro")) == set()
    assert page.read_bytes() == before


@pytest.mark.slow
def test_an_upgrade_of_torch_repeats_nothing_and_is_shown_by_what_is_made_after_it(
        repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run(repository, "dvc", "repro")
    (tmp_path / "sitecustomize.py").write_text(UPGRADE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ran(run(repository, "dvc", "repro")) == set()
    append("seglib/models/convnet.py", "WIDTH = 8")(repository)
    run(repository, "dvc", "repro")
    versions = {name: read_json(repository / "runs/shapes" / name / "trained/provenance.json")["torch"]
                for name in TRAININGS}
    assert all((version == "99.0") == name.startswith("convnet") for name, version in versions.items())
    page = (repository / "reports/index.html").read_text()
    assert "different versions of torch" in page and "99.0" in page


def test_an_edit_during_a_training_is_refused_and_does_not_reach_the_run_cache(repository: Path):
    stage, name = "train@shapes-munet-mse-1", "munet-mse-1"
    weights = repository / "runs/shapes" / name / "trained/weights.safetensors"
    change_params(repository, lambda content: content["train"].update({"epochs": 200}))
    with subprocess.Popen(["dvc", "repro", stage], cwd=repository, env=environment() | {"PYTHONUNBUFFERED": "1"},
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as dvc:
        said = iter(dvc.stdout.readline, "")
        assert any("epoch 2/200" in line for line in said)
        insert("seglib/losses/overlap.py", "view.target_BKHW).square()", " * 2")(repository)
        rest = "".join(said)
    assert dvc.returncode != 0 and not weights.exists(), rest
    assert "the code was edited while it ran (seglib.losses.overlap), so no output was written" in rest

    assert ran(run(repository, "dvc", "repro", stage)) == {stage}
    edited = file_sha256(weights)
    run(repository, "git", "checkout", "--quiet", "seglib")
    assert ran(run(repository, "dvc", "repro", stage)) == {stage}  # nothing was recorded for the code as it was
    before = file_sha256(weights)
    assert before != edited
    run(repository, "dvc", "repro", "--force", stage)
    assert file_sha256(weights) == before
