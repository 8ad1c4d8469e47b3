"""A stage refuses to write if its code was edited since `resolve` ran."""

import functools
from pathlib import Path

import pytest

from seglib.files import write_json
from seglib.pipeline import code
from seglib.pipeline.code import RunningCode
from seglib.pipeline.fingerprint import Fingerprinter


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stage that imports one module, a template, and the file in conf/ that names both."""
    for name, text in (("stages/__init__.py", ""), ("stages/train.py", "from seglib import loop\n"),
                       ("seglib/__init__.py", ""), ("seglib/loop.py", "x = 1\n"), ("seglib/page.html", "<p>")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(code, "Fingerprinter", functools.partial(Fingerprinter, tmp_path))
    arguments = {"entries": ["stages.train"], "uses": {}, "messages": False, "extra": ["seglib/*.html"]}
    write_json(tmp_path / "train.json", {
        "code": arguments | {"fingerprint": Fingerprinter(tmp_path).of(**arguments)}, "config": {}})
    return tmp_path


def test_code_that_stays_the_same_is_written(tree: Path):
    running = RunningCode(tree / "train.json")
    (tree / "seglib/loop.py").write_text("x = 1  # the first\n")
    running.check()


@pytest.mark.parametrize(("name", "text", "named"), [
    ("seglib/loop.py", "x = 2\n", "seglib.loop"), ("seglib/page.html", "<b>", "a template"),
    ("stages/train.py", "from seglib import loop, other\n", "stages.train")])
def test_an_edit_while_a_stage_runs_is_refused(tree: Path, name: str, text: str, named: str):
    running = RunningCode(tree / "train.json")
    (tree / name).write_text(text)
    with pytest.raises(ValueError, match=rf"^the code was edited while it ran \({named}\), so no output was written"):
        running.check()


def test_an_edit_since_resolve_is_refused_before_the_stage_begins(tree: Path):
    (tree / "seglib/loop.py").write_text("x = 2\n")
    with pytest.raises(ValueError, match=f"^the code was edited since {tree}/train.json was written; run `dvc repro`"):
        RunningCode(tree / "train.json")


def test_an_edit_that_was_taken_back_counts_for_nothing(tree: Path):
    running = RunningCode(tree / "train.json")
    for text in ("x = 2\n", "x = 1\n"):
        (tree / "seglib/loop.py").write_text(text)
    running.check()
