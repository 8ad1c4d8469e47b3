"""`seglib doctor` on this machine, and on folders, hosts and settings that lack something."""

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from seglib import cli
from seglib.files import canonical_json
from seglib.tools import doctor
from tests.conftest import ROOT


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a commit, DVC's files, and nothing that comes from a network; no git identity but its own."""
    for name in ("params.yaml", "constraints.txt", "dvc.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").touch()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    for variable in ("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(variable, raising=False)
    named = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (("init", "--quiet"), ("add", "--all"), (*named, "commit", "--quiet", "-m", "start")):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def only_local(root: Path, raw: dict[str, Any], **changes: Any) -> None:
    """params.yaml with no dataset and no weights that a network would be asked for."""
    raw["datasets"] = {"shapes": raw["datasets"]["shapes"] | changes}
    raw["models"] = {"munet": raw["models"]["munet"]}
    raw["studies"] = {}
    (root / "params.yaml").write_text(canonical_json(raw))


def findings(root: Path) -> dict[str, doctor.Finding]:
    found = list(doctor.examine(root))
    assert len({finding.name for finding in found}) == len(found)
    return {finding.name: finding for finding in found}


def test_this_machine_is_well_and_the_command_says_so(root: Path, raw_params: dict[str, Any]):
    only_local(root, raw_params)
    found = findings(root)
    for name in ("Python", "packages", "git", "repository", "dvc", "pipeline", "disk", "torch", "shapes"):
        assert found[name].ok, found[name]
    assert found["torch"].text == torch.__version__ and found["shapes"].text == "generated here"
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert result.exit_code == 0, result.output
    assert f"ok       torch       {torch.__version__}" in result.output and "missing" not in result.output


def test_what_is_needed_and_missing_fails_with_what_fixes_it(root: Path, raw_params: dict[str, Any]):
    only_local(root, raw_params, source="nowhere/at/all")
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert result.exit_code == 1
    assert f"missing  shapes      {root}/nowhere/at/all is not there\n" in result.output
    assert "-> say where it is: -S datasets.shapes.source=PATH" in result.output


def test_params_that_cannot_be_used(root: Path):
    (root / "params.yaml").write_text("run: 3")
    finding = [finding for finding in doctor.examine(root) if finding.name == "params"][-1]
    assert not finding.ok and finding.needed


def test_params_that_an_experiment_left_changed(root: Path, raw_params: dict[str, Any]):
    assert next(doctor._repository(root)).ok
    clean = {finding.name: finding for finding in doctor._repository(root)}
    assert clean["params"].ok
    only_local(root, raw_params)
    changed = {finding.name: finding for finding in doctor._repository(root)}
    assert not changed["params"].ok and not changed["params"].needed and changed["params"].fix.startswith("git check")


def test_git_must_know_in_whose_name_experiments_are(root: Path, monkeypatch: pytest.MonkeyPatch):
    def named() -> doctor.Finding:
        return {finding.name: finding for finding in doctor._repository(root)}["git user"]
    assert named().fix == "git config user.name YOURS && git config user.email YOURS"
    subprocess.run(["git", "-C", str(root), "config", "user.name", "test"], check=True)
    assert named().fix == "git config user.email YOURS"
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "test@example.org")
    assert named().ok


def test_a_folder_without_a_commit_or_a_pipeline(tmp_path: Path):
    found = {finding.name: finding for finding in doctor._repository(tmp_path)}
    assert not found["repository"].ok and not found["pipeline"].ok


def test_versions_other_than_those_that_were_tested(root: Path):
    constraints = (root / "constraints.txt").read_text()
    pinned = f"pillow=={metadata.version('pillow')}"
    assert pinned in constraints
    (root / "constraints.txt").write_text(constraints.replace(pinned, "pillow==0.1"))
    found = {finding.name: finding for finding in doctor._packages(root)}
    assert f"pillow {metadata.version('pillow')} (tested: 0.1)" in found["versions"].text
    assert not found["versions"].ok and not found["versions"].needed
    assert "torch" not in found["versions"].text  # the suffix of a build is no other version


def test_packages_that_are_not_installed(root: Path, monkeypatch: pytest.MonkeyPatch):
    wanted = ["torch", "no-such-package", 'no-such-tool; extra == "test"']
    monkeypatch.setattr(doctor.metadata, "requires", {"seglib": wanted}.get)
    found = {finding.name: finding for finding in doctor._packages(root)}
    assert found["packages"].text == "no-such-package not installed" and found["packages"].needed
    assert found["test tools"].text == "no-such-tool not installed" and not found["test tools"].needed


def test_a_mirror_is_looked_into(root: Path, raw_params: dict[str, Any]):
    def sources() -> dict[str, doctor.Finding]:
        return {finding.name: finding for finding in doctor._sources(root)}
    raw_params["datasets"] = {name: raw_params["datasets"][name] for name in ("shapes", "pets", "coco")}
    raw_params |= {"models": {"munet": raw_params["models"]["munet"]}, "studies": {}}
    raw_params["fetch"]["mirror"] = "mirror"
    raw_params["run"]["datasets"] = ["pets"]
    (root / "params.yaml").write_text(canonical_json(raw_params))
    at = root / "mirror/thor.robots.ox.ac.uk/datasets/pets/annotations.tar.gz"
    at.parent.mkdir(parents=True)
    at.touch()
    assert not sources()["pets"].ok  # no SHA256SUMS
    (root / "mirror/SHA256SUMS").touch()
    found = sources()
    assert found["pets"].ok and not found["coco"].ok
    assert found["pets"].needed and not found["coco"].needed
    (root / "data/raw/coco/fetched").mkdir(parents=True)
    assert sources()["coco"].text == "fetched: data/raw/coco/fetched"


@pytest.fixture
def host() -> Iterator[str]:
    """A host that answers HEAD with the status its path names."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(int(self.path.strip("/")))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_hosts_answers(host: str):
    assert doctor._answer(f"{host}/200") == ""
    assert doctor._answer(f"{host}/404") == "answers 404 Not Found"
    assert doctor._answer("http://127.0.0.1:1/x") == "does not answer (ConnectionError)"
