"""Fingerprints: which edits change which consumer's, on a small tree of code and on our own."""

import ast
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import grimp
import pytest

from seglib.pipeline.fingerprint import INERT, WORDS, Fingerprinter
from tests.conftest import ROOT

STAGES = ("fetch", "prepare", "train", "evaluate", "predict", "compare", "report")

# A training with one of two models, one of two losses and one of two tasks.
TREE = {
    "seglib/__init__.py": '"""A library."""\n',
    "seglib/configs.py": """\
        class Config: ...

        class Model(Config): ...

        class Train(Config):
            model: "Model | None"

        class Evaluate(Config): ...

        class Compare(Config): ...
        """,
    "seglib/models/__init__.py": """\
        import dataclasses
        from seglib.configs import Model

        KINDS: dict[str, str] = {
            "munet": Kind("seglib.models.munet:MUnet", static=True),
            "unet": Kind("seglib.models.unet:UNet"),
        }

        def build(model: Model):
            from seglib.models.padding import Padded
            return Padded(KINDS[model.kind].load())
        """,
    "seglib/models/munet.py": "from seglib.models.blocks import Block\n\nclass MUnet(Block): ...\n",
    "seglib/models/unet.py": "class UNet: ...\n",
    "seglib/models/blocks.py": "class Block: ...\n",
    "seglib/models/padding.py": "class Padded: ...\n",
    "seglib/losses/__init__.py": """\
        TERMS = {"dice": Term("seglib.losses.overlap:dice"), "ce": Term("seglib.losses.logits:ce", takes="logits")}
        """,
    "seglib/losses/overlap.py": "def dice(): ...\n",
    "seglib/losses/logits.py": "def ce(): ...\n",
    "seglib/tasks/__init__.py": 'NAMES = ("multilabel", "multiclass")\n',
    "seglib/tasks/multilabel.py": "TASK = 1\n",
    "seglib/tasks/multiclass.py": "TASK = 2\n",
    "seglib/names.py": "def brief(value): ...\n",
    "seglib/pipeline/__init__.py": "",
    "seglib/pipeline/tracking.py": "import seglib.mlflow\n",
    "seglib/mlflow.py": "x = 1\n",
    "seglib/page.html": "<p>",
    "stages/__init__.py": "",
    "stages/train.py": """\
        from typing import TYPE_CHECKING

        import torch

        from seglib import models, tasks
        from seglib.configs import Train
        from seglib.losses import TERMS
        from seglib.names import brief
        from seglib.pipeline import tracking

        if TYPE_CHECKING:
            from seglib.drawing import Figure

        def main():
            raise ValueError("stopped")
        """,
    "seglib/drawing.py": "class Figure: ...\n",
}
USES = {"seglib.models:KINDS": {"munet"}, "seglib.losses:TERMS": {"dice"}, "seglib.tasks:NAMES": {"multilabel"},
        "seglib.configs": ()}
CLOSURE = {"seglib", "seglib.configs", "seglib.models", "seglib.models.munet", "seglib.models.blocks",
           "seglib.models.padding", "seglib.losses", "seglib.losses.overlap", "seglib.tasks", "seglib.tasks.multilabel",
           "seglib.pipeline", "stages", "stages.train"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, code in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(code), encoding="utf-8")
    return tmp_path


def fingerprint(root: Path, **changed: object) -> str:
    """A new process would find the same: nothing is kept between two calls."""
    return Fingerprinter(root).of(**({"entries": ["stages.train"], "uses": USES} | changed))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def append(path: Path, code: str) -> None:
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{code}\n", encoding="utf-8")


def test_a_closure_holds_what_this_training_runs_and_no_other_model_loss_or_task(tree: Path):
    assert set(Fingerprinter(tree).modules(["stages.train"], uses=USES)) == CLOSURE


def test_what_uses_does_not_mention_counts_whole(tree: Path):
    everything = set(Fingerprinter(tree).modules(["stages.train"]))
    assert everything == CLOSURE | {"seglib.models.unet", "seglib.losses.logits", "seglib.tasks.multiclass"}


@pytest.mark.parametrize("name", sorted(CLOSURE - {"seglib.configs"}))
def test_a_statement_more_in_any_module_of_the_closure_changes_it(tree: Path, name: str):
    before = fingerprint(tree)
    place = tree.joinpath(*name.split("."))
    append(place / "__init__.py" if place.is_dir() else place.with_suffix(".py"), "y = 1")
    assert fingerprint(tree) != before


@pytest.mark.parametrize("name", ["seglib/models/unet.py", "seglib/losses/logits.py", "seglib/tasks/multiclass.py",
                                  "seglib/names.py", "seglib/pipeline/tracking.py", "seglib/mlflow.py",
                                  "seglib/drawing.py", "seglib/page.html"])
def test_an_edit_elsewhere_changes_nothing(tree: Path, name: str):
    """Not even one that is half written and no Python."""
    before = fingerprint(tree)
    append(tree / name, "def f(:")
    assert fingerprint(tree) == before


@pytest.mark.parametrize(("name", "old", "new"), [
    ("seglib/models/__init__.py", 'KINDS: dict[str, str] = {', 'KINDS: dict[str, str] = {\n    "new": Kind("a.b"),'),
    ("seglib/models/__init__.py", '"unet": Kind("seglib.models.unet:UNet")', '"unet": Kind("seglib.models.other:U")'),
    ("seglib/models/__init__.py", '    "unet": Kind("seglib.models.unet:UNet"),\n', ""),
    ("seglib/losses/__init__.py", 'takes="logits"', 'takes="output"'),
    ("seglib/tasks/__init__.py", '"multiclass")', '"multiclass", "instance")'),
    ("seglib/configs.py", "class Compare(Config): ...", "class Compare(Config):\n    pictures: int"),
    ("seglib/configs.py", "class Evaluate(Config): ...", "class Predict(Config): ..."),
    ("stages/train.py", "stopped", "stopped by hand"),
    ("stages/train.py", "import Figure", "import Figure, Axes"),
])
def test_an_edit_of_what_is_not_used_changes_nothing(tree: Path, name: str, old: str, new: str):
    before = fingerprint(tree)
    replace(tree / name, old, new)
    assert fingerprint(tree) == before


@pytest.mark.parametrize(("name", "old", "new"), [
    ("seglib/models/__init__.py", "static=True", "static=False"),
    ("seglib/models/__init__.py", 'seglib.models.munet:MUnet', "seglib.models.unet:UNet"),
    ("seglib/losses/__init__.py", "overlap:dice", "overlap:iou"),
    ("seglib/configs.py", "class Config: ...", "class Config:\n    x: int"),
    ("seglib/configs.py", "class Model(Config): ...", "class Model(Config):\n    x: int"),
    ("seglib/configs.py", "class Train(Config):", "class Train(Config):\n    x: int"),
    ("seglib/configs.py", "class Config: ...", "import json\nclass Config: ..."),
    ("stages/train.py", "ValueError", "OSError"),
])
def test_an_edit_of_what_is_used_changes_it(tree: Path, name: str, old: str, new: str):
    before = fingerprint(tree)
    replace(tree / name, old, new)
    assert fingerprint(tree) != before


def test_a_class_that_the_closure_imports_by_name_counts(tree: Path):
    before = fingerprint(tree)
    append(tree / "seglib/models/padding.py", "from seglib.configs import Compare")
    with_compare = fingerprint(tree)
    replace(tree / "seglib/configs.py", "class Compare(Config): ...", "class Compare(Config):\n    pictures: int")
    assert len({before, with_compare, fingerprint(tree)}) == 3


def test_a_class_counts_if_it_is_named(tree: Path):
    before = {used: fingerprint(tree, uses=USES | {"seglib.configs": {used}}) for used in ("Evaluate", "Compare")}
    replace(tree / "seglib/configs.py", "class Compare(Config): ...", "class Compare(Config):\n    pictures: int")
    after = {used: fingerprint(tree, uses=USES | {"seglib.configs": {used}}) for used in ("Evaluate", "Compare")}
    assert before["Evaluate"] == after["Evaluate"] and before["Compare"] != after["Compare"]


def test_texts_of_messages_and_modules_that_word_them_count_if_messages_do(tree: Path):
    before = fingerprint(tree, messages=True)
    replace(tree / "stages/train.py", "stopped", "stopped by hand")
    reworded = fingerprint(tree, messages=True)
    append(tree / "seglib/names.py", "x = 1")
    assert len({before, reworded, fingerprint(tree, messages=True)}) == 3


def test_other_files_count_by_their_bytes(tree: Path):
    before = fingerprint(tree, extra=["seglib/*.html"])
    assert before != fingerprint(tree)
    append(tree / "seglib/page.html", "<!-- a comment -->")
    edited = fingerprint(tree, extra=["seglib/*.html"])
    (tree / "seglib/new.html").write_text("<p>")
    assert len({before, edited, fingerprint(tree, extra=["seglib/*.html"])}) == 3
    with pytest.raises(ValueError, match=r"no file matches seglib/\*\.js"):
        fingerprint(tree, extra=["seglib/*.js"])


def test_an_inert_module_counts_where_it_is_an_entry(tree: Path):
    found = Fingerprinter(tree).modules(["stages.train", "seglib.pipeline.tracking"], uses=USES)
    assert set(found) == {*CLOSURE, "seglib.pipeline.tracking", "seglib.mlflow"}


@pytest.mark.parametrize(("changed", "says"), [
    ({"entries": ["stages.trains"]}, "there is no module stages.trains"),
    ({"uses": {"seglib.model:KINDS": {"munet"}}}, "there is no module seglib.model in"),
    ({"uses": {"seglib.models:KIND": {"munet"}}}, "seglib.models has no registry KIND"),
    ({"uses": {"seglib.models:KINDS": {"munets"}}}, "seglib.models has no entry 'munets' in KINDS"),
    ({"uses": {"seglib.tasks:NAMES": {"instance"}}}, "seglib.tasks has no entry 'instance' in NAMES"),
    ({"uses": {"seglib.configs": {"Trains"}}}, "seglib.configs has no class Trains"),
])
def test_what_does_not_exist_is_refused(tree: Path, changed: dict[str, object], says: str):
    with pytest.raises(ValueError, match=re.escape(says)):
        fingerprint(tree, **changed)


def test_code_of_the_closure_that_is_no_python_is_refused(tree: Path):
    append(tree / "seglib/models/munet.py", "def f(:")
    with pytest.raises(ValueError, match=r"munet\.py, line 5: invalid syntax"):
        fingerprint(tree)


def test_a_fingerprinter_keeps_to_the_code_that_it_has_read(tree: Path):
    """So that all fingerprints of one `resolve` are of the same code; what is new needs a new one."""
    first = Fingerprinter(tree)
    before = first.of(["stages.train"], uses=USES)
    append(tree / "seglib/models/munet.py", "y = 1")
    assert first.of(["stages.train"], uses=USES) == before != fingerprint(tree)


# Our own code.


def file_of(root: Path, name: str) -> Path:
    place = root.joinpath(*name.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A copy of our packages, to change."""
    for package in ("seglib", "stages"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize("name", sorted(INERT | WORDS))
def test_modules_that_do_not_count_exist(name: str):
    assert file_of(ROOT, name).is_file()


@pytest.mark.parametrize("stage", STAGES)
def test_a_closure_is_what_grimp_finds_with_the_packages_and_what_registries_name(stage: str):
    graph = grimp.build_graph("seglib", "stages", exclude_type_checking_imports=True, cache_dir=None)
    named = re.compile(r'"(seglib(?:\.\w+)+)(?::\w+)?"')
    expected, waiting = set(), {f"stages.{stage}"}
    while waiting:
        name = waiting.pop()
        expected.add(name)
        text = file_of(ROOT, name).read_text(encoding="utf-8")
        found = graph.find_modules_directly_imported_by(name) | (set(named.findall(text)) & graph.modules)
        if name == "seglib.tasks":
            found |= {"seglib.tasks.multilabel", "seglib.tasks.multiclass"}
        found.add(name.rpartition(".")[0] or name)
        waiting |= found - expected - INERT - WORDS
    closure = set(Fingerprinter(ROOT).modules([f"stages.{stage}"]))
    # A package is run even if only one of its inert modules is imported; its own file is empty then.
    assert closure - expected <= {"seglib.pipeline"} and expected <= closure


def test_no_edit_outside_the_closure_changes_a_training(own: Path):
    before, closure = Fingerprinter(own).of(["stages.train"]), Fingerprinter(own).modules(["stages.train"])
    others = set(own.rglob("*.py")) - {file_of(own, name) for name in closure}
    assert {file_of(own, name) for name in ("seglib.report.builder", "stages.evaluate", "seglib.params")} <= others
    for path in others:
        append(path, "def half_written(:")
    (own / "seglib/models/new.py").write_text("def half_written(:")
    assert Fingerprinter(own).of(["stages.train"]) == before


def test_any_statement_of_the_closure_that_is_taken_away_changes_a_training(own: Path):
    """One statement of each module, chosen by chance."""
    before, closure = Fingerprinter(own).of(["stages.train"]), Fingerprinter(own).modules(["stages.train"])
    chance = random.Random(0)
    for name in closure:
        path = file_of(own, name)
        original = path.read_bytes()
        statements = [node for node in ast.walk(ast.parse(original)) if isinstance(node, DOING)]
        if statements:
            taken = chance.choice(statements)
            path.write_text(ast.unparse(Without(taken).visit(ast.parse(original))), encoding="utf-8")
            assert Fingerprinter(own).of(["stages.train"]) != before, f"{name}, line {taken.lineno}"
            path.write_bytes(original)
    assert Fingerprinter(own).of(["stages.train"]) == before


DOING = ast.Assign | ast.AugAssign | ast.Return | ast.For | ast.While | ast.With


class Without(ast.NodeTransformer):
    """Code without the statement that stands where `taken` does."""

    def __init__(self, taken: ast.stmt):
        self.taken = taken

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, DOING) and (node.lineno, node.col_offset) == (self.taken.lineno, self.taken.col_offset):
            return ast.Pass()
        return super().generic_visit(node)


def test_a_predictor_brings_its_own_module_alone():
    found = Fingerprinter(ROOT).modules(["seglib.prediction"], uses={"seglib.prediction:KINDS": {"otsu"}})
    assert "seglib.prediction.otsu" in found and "seglib.prediction.baselines" not in found


def test_a_fingerprint_imports_nothing_of_what_it_is_about():
    code = ("import sys\nfrom seglib.pipeline.fingerprint import Fingerprinter\n"
            "Fingerprinter().of(['stages.train'])\nprint(*sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    loaded = {name for name in done.stdout.split() if name.partition(".")[0] in ("seglib", "stages", "torch", "numpy")}
    assert loaded == {"seglib", "seglib.pipeline", "seglib.pipeline.fingerprint", "seglib.pipeline.normal_form",
                      "seglib.pipeline.source"}
