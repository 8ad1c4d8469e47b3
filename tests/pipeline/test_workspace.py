"""What git calls the files that a result was made from."""

import shlex
import subprocess
from pathlib import Path

import pytest

from seglib.pipeline.workspace import revision


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("seglib/a.py", "stages/b.py", "dvc.yaml", "params.yaml", "claims.yaml", "published.yaml", "dvc.lock",
                 "README.md"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("before")
    for command in ("init -q", "add -A", "-c user.name=test -c user.email=test@example.org commit -q -m start"):
        subprocess.run(["git", *shlex.split(command)], check=True)
    return tmp_path


@pytest.mark.parametrize("changed", ["dvc.lock", "README.md", "notes.txt", "metrics.json"])
def test_what_no_result_depends_on_leaves_a_revision_clean(repository: Path, changed: str):
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    Path(changed).write_text("changed")
    assert commit.startswith(revision()) and len(revision()) >= 7


@pytest.mark.parametrize("changed", ["seglib/a.py", "seglib/new.py", "stages/b.py", "dvc.yaml", "params.yaml",
                                     "claims.yaml", "published.yaml"])
def test_changed_code_params_or_claims_make_it_dirty(repository: Path, changed: str):
    clean = revision()
    Path(changed).write_text("changed")
    assert revision() == f"{clean}-dirty"


def test_a_folder_without_git_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision() == ""
