"""What the tests of the `seglib` command share."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the committed params.yaml, bridges.yaml and published.yaml, which is DVC's root."""
    for name in ("params.yaml", "bridges.yaml", "published.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path
