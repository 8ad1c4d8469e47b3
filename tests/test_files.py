"""Writing whole: a failure leaves what was there, a success leaves nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seglib import files
from tests.conftest import ROOT


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), files.atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_write_left_is_taken_over_by_the_next(tmp_path: Path):
    """DVC would take it for a part of the output: `compare` depends on whole folders of runs."""
    path = tmp_path / "a.json"
    subprocess.run([sys.executable, "-c", "import os, sys; from pathlib import Path; from seglib import files\n"
                    "with files.atomic_file(Path(sys.argv[1])) as temporary:\n"
                    "    temporary.write_text('far more than is written next'); os._exit(9)", str(path)],
                   cwd=ROOT, check=False)
    left, = tmp_path.iterdir()
    assert left.read_text() == "far more than is written next"
    with files.atomic_file(path) as temporary:
        assert temporary.read_bytes() == b""
        temporary.write_text("new")
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "new"


def test_two_that_write_the_same_file_at_once_do_not_meet(tmp_path: Path):
    path = tmp_path / "a.json"
    with files.atomic_file(path) as first:
        first.write_text("first")
        with files.atomic_file(path) as second:
            second.write_text("second")
        assert path.read_text() == "second" and first.read_text() == "first"
        with files.atomic_file(path) as third:
            third.write_text("third")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_the_old_folder(tmp_path: Path):
    path = tmp_path / "out"
    with files.atomic_folder(path) as folder:
        (folder / "old").touch()
    with pytest.raises(RuntimeError), files.atomic_folder(path) as folder:
        (folder / "new").touch()
        raise RuntimeError
    assert [p.name for p in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_the_old_one_and_clears_what_a_killed_run_left(tmp_path: Path):
    path = tmp_path / "out"
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial/leftover").touch()
    for name in ("first", "second"):
        with files.atomic_folder(path) as folder:
            (folder / name).touch()
    assert [p.name for p in path.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [path]


def test_written_files_follow_the_umask(tmp_path: Path):
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.touch()
    files.write_json(ours, {})
    assert ours.stat().st_mode == plain.stat().st_mode


def test_json_is_canonical_and_refuses_nan():
    assert files.canonical_json({"b": 1, "a": "é"}) == '{\n  "a": "é",\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="nan"):
        files.canonical_json(float("nan"))


def test_links_fall_back_to_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = tmp_path / "source"
    source.write_text("x")

    def refuse(*_: object) -> None:
        raise OSError
    files.link_or_copy(source, tmp_path / "sub/linked")
    assert (tmp_path / "sub/linked").samefile(source)
    monkeypatch.setattr(files.os, "link", refuse)
    files.link_or_copy(source, tmp_path / "copied")
    assert (tmp_path / "copied").read_text() == "x" and not (tmp_path / "copied").samefile(source)


def test_what_a_full_disk_says_names_the_file_and_what_to_do(tmp_path: Path):
    """/dev/full takes no byte, as a full disk does, and its error names no file."""
    path = tmp_path / "one"
    with pytest.raises(OSError) as caught, files.atomic_file(path), Path("/dev/full").open("wb", 0) as full:
        full.write(b"1")
    assert files.explain(caught.value) == (
        f"[Errno 28] No space left on device: '{path}'; free some space (`seglib clean --dry-run` lists what can go), "
        "then run the same command again")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", ["seglib", "resolve"])
@pytest.mark.parametrize("below", [".", "resolve", "seglib/models", "resolve/deeper"])
def test_the_repository_is_found_from_every_folder_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
                                                         below: str):
    """The first stage has a dvc.yaml of its own in resolve/, and a clone may have any name."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    root = tmp_path / name
    for folder in (root / below, root / "resolve"):
        folder.mkdir(parents=True, exist_ok=True)
    for path in (root / "dvc.yaml", root / "resolve/dvc.yaml"):
        path.touch()
    monkeypatch.chdir(root / below)
    assert files.repository_root() == root
