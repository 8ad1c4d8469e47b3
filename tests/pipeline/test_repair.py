"""Files of DVC that were cut short are repaired: DVC reads them again and makes nothing again that it has."""

import functools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.lock import make_lock
from ruamel.yaml import YAML
from typer.testing import CliRunner

from seglib import cli
from seglib.files import write_json
from seglib.pipeline import repair
from seglib.tools import doctor
from tests.road.clones import environment

LETTERS = "abc"
STAGES = {letter: {"cmd": f"echo {letter} >> made && echo {letter} > {letter}",
                   "deps": [before] if before else ["start"], "outs": [letter]}
          for before, letter in zip([None, *LETTERS], LETTERS, strict=False)}


def dvc(root: Path, *command: str) -> str:
    done = subprocess.run(["dvc", *command], cwd=root, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of three stages, each of what the one before it made; each says so in `made`."""
    root = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    dvc(root, "init", "--quiet")
    (root / "start").touch()
    write_json(root / "dvc.yaml", {"stages": STAGES})
    dvc(root, "repro")
    return root


@pytest.fixture
def root(reproduced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it."""
    root = tmp_path / "repository"
    shutil.copytree(reproduced, root)
    monkeypatch.setenv("DVC_ROOT", str(root))
    return root


def test_wherever_it_is_cut_dvc_reads_it_again_and_whole_stages_are_kept(root: Path):
    lock = root / "dvc.lock"
    text = lock.read_bytes()
    stages = YAML(typ="safe").load(text)["stages"]
    refused = 0
    for length in range(len(text)):
        lock.write_bytes(text[:length])
        done = repair.repair(root)
        assert repair.damaged(root) == []
        if not done:
            assert lock.read_bytes() == text[:length]
            continue
        refused += 1
        kept = YAML(typ="safe").load(lock.read_bytes())["stages"] if lock.exists() else {}
        begun = [letter for letter in LETTERS if f"\n  {letter}".encode() in text[:length]]
        assert kept == {letter: stages[letter] for letter in begun[:-1]}
        assert (root / ".work/dvc.lock.found").read_bytes() == text[:length]
    assert refused > len(text) / 10


def test_the_lock_of_the_stage_that_always_runs_is_repaired_too(root: Path):
    own = root / "resolve/dvc.lock"
    own.parent.mkdir()
    text = (root / "dvc.lock").read_bytes()
    own.write_bytes(text[:-9])
    for cut in range(9, 60):
        own.write_bytes(text[:-cut])
        if repair.damaged(root):
            break
    assert repair.damaged(root) == ["resolve/dvc.lock"]
    said, = repair.repair(root)
    assert said.startswith("resolve/dvc.lock was cut short: kept 2 whole stages")
    assert (root / ".work/resolve-dvc.lock.found").read_bytes() == text[:-cut] and not repair.damaged(root)
    assert (root / "dvc.lock").read_bytes() == text


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_what_was_made_is_not_made_again(root: Path, share: float):
    lock, text = root / "dvc.lock", (root / "dvc.lock").read_bytes()
    made = (root / "made").read_text()
    for length in range(int(share * len(text)), len(text)):
        lock.write_bytes(text[:length])
        if repair.damaged(root):
            break
    assert is_refused(root, text[:length])
    assert CliRunner().invoke(cli.app, ["repair"]).stdout.startswith("dvc.lock was cut short")
    dvc(root, "repro")
    assert (root / "made").read_text() == made == "a\nb\nc\n"
    assert lock.read_bytes() == text


def test_what_dvc_would_refuse_is_found(root: Path):
    text = (root / "dvc.lock").read_bytes()
    found = []
    for length in range(len(text)):
        (root / "dvc.lock").write_bytes(text[:length])
        found.append(bool(repair.damaged(root)))
    assert found[0] and 0.1 < sum(found) / len(found) < 0.9
    for length in range(0, len(text), len(text) // 6):
        assert is_refused(root, text[:length]) == found[length]


def is_refused(root: Path, beginning: bytes) -> bool:
    """By DVC itself, as dvc.lock."""
    (root / "dvc.lock").write_bytes(beginning)
    done = subprocess.run(["dvc", "status"], cwd=root, env=environment(), capture_output=True, text=True, check=False)
    return done.returncode != 0


def test_what_is_whole_is_left_alone(root: Path):
    before = (root / "dvc.lock").stat()
    assert repair.repair(root) == []
    after = (root / "dvc.lock").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def merged(text: str, letter: str) -> str:
    """As git leaves it where two changed that stage."""
    return text.replace(f"  {letter}:\n", f"<<<<<<< ours\n  {letter}:\n=======\n  {letter}:\n>>>>>>> theirs\n")


@pytest.mark.parametrize("damage", [
    *(functools.partial(merged, letter=letter) for letter in LETTERS),
    lambda text: merged(text[:text.index("  b:\n")], "a"),
    lambda text: text[:-40] + "\n" + "\0" * 40, lambda text: "\0" * len(text),
    lambda text: text.replace("  ", "    ") + "  x",
    lambda text: text.replace("outs:", "outs: 5\n    x:", 1)], ids=range(8))
def test_other_damage_is_the_users_to_repair(root: Path, damage: Callable[[str], str]):
    lock = root / "dvc.lock"
    damaged = damage(lock.read_text())
    assert is_refused(root, damaged.encode())
    with pytest.raises(ValueError, match="git checkout dvc.lock"):
        repair.repair(root)
    assert lock.read_text() == damaged


def test_a_list_of_readers_and_writers_that_was_cut_short_is_removed(root: Path):
    path = root / ".dvc/tmp/rwlock"
    whole = path.read_bytes()
    path.write_bytes(whole[:1])
    finding = {finding.name: finding for finding in doctor._repository(root)}["DVC's files"]
    assert not finding.ok and finding.fix == "seglib repair"
    (done,) = repair.repair(root)
    assert "rwlock" in done and not path.exists()
    dvc(root, "repro")
    assert path.read_bytes() == whole


def test_a_dvc_at_work_is_not_disturbed(root: Path):
    lock = root / "dvc.lock"
    lock.write_bytes(b"")
    with make_lock(str(root / ".dvc/tmp/lock")), pytest.raises(ValueError, match="DVC is running"):
        repair.repair(root)
    assert lock.read_bytes() == b""
