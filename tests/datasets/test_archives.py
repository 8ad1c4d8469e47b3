"""Tar archives: read by name, never unpacked, damage always noticed."""

import gzip
import io
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from seglib.datasets import archives
from tests.conftest import ROOT
from tests.datasets.hostile_archives import END, GIGABYTE, member, packed, patch, sparse, zeros, zip_of

FILES = {"a/1.txt": b"one", "a/2.txt": b"two" * 50000, "b.txt": b""}


@pytest.fixture(params=["", ":gz", ":bz2"])
def archive(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "archive"
    with tarfile.open(path, f"w{request.param}") as file:
        for name, content in FILES.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
        for kind, name in ((tarfile.DIRTYPE, "a"), (tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            file.addfile(member)
    return path


def test_what_may_ask_for_any_memory_is_not_undone(tmp_path: Path):
    """An LZMA stream's header says how large a dictionary is to be: four gigabytes, in these 21 bytes."""
    path = tmp_path / "archive"
    path.write_bytes(b"~\xff\xff\xff\xff\x1f\x8b\x08" + bytes(13))
    assert not archives.is_tar(path)
    with tarfile.open(path, "w:xz"):
        pass
    with pytest.raises(ValueError, match="archive is not a whole tar archive"):
        archives.file_names(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as bundle:
        bundle.writestr("a", "content")
    with pytest.raises(ValueError, match="its compression, method 14, is not undone here"):
        archives.read_zip_member(path, "a")


def test_plain_files_are_named_and_read_in_order(archive: Path):
    assert archives.file_names(archive) == list(FILES)
    assert list(archives.read_files(archive, ["b.txt", "a/2.txt", "absent", "link"])) == [
        ("a/2.txt", FILES["a/2.txt"]), ("b.txt", b"")]


def test_an_archive_cut_anywhere_is_an_error(archive: Path):
    data = archive.read_bytes()
    for share in (0, 0.2, 0.5, 0.7, 0.9):
        archive.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ValueError, match="archive is not a whole tar archive"):
            archives.file_names(archive)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path):
    path = tmp_path / "archive"
    with tarfile.open(path, "w:gz") as file:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    data = bytearray(path.read_bytes())
    with gzip.open(path) as file:
        plain = bytearray(file.read())
    plain[1024] ^= 1  # the second header's name, which its checksum covers
    crc = data[-8:]
    changed = bytearray(gzip.compress(bytes(plain)))
    changed[-8:] = crc
    path.write_bytes(changed)
    with pytest.raises(ValueError, match="not a whole tar archive.*CRC"):
        archives.file_names(path)


def test_names_that_lead_elsewhere_are_names_and_nothing_is_written(tmp_path: Path):
    names = ["../../up", "/absolute", "a/../../up", "..", "a" * 5000, "line\nend", "é", "\\\\host\\share", "C:\\x"]
    path = packed(tmp_path / "a.tar.gz", *(pax(name, b"x") for name in names), END)
    before = set(tmp_path.rglob("*"))
    assert archives.file_names(path) == names
    assert [name for name, _ in archives.read_files(path, names)] == names
    assert set(tmp_path.rglob("*")) == before and not Path("/absolute").exists()


def pax(name: str, content: bytes) -> bytes:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    return header.tobuf(tarfile.PAX_FORMAT) + content + b"\0" * (-len(content) % tarfile.BLOCKSIZE)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
                                  tarfile.DIRTYPE], ids=["symlink", "hard link", "tty", "disk", "fifo", "folder"])
def test_what_is_no_plain_file_is_passed_over(tmp_path: Path, kind: bytes):
    odd = member("odd", type=kind, linkname="/etc/passwd", devmajor=1, devminor=5)
    path = packed(tmp_path / "a.tar.gz", odd, member("plain", b"x"), odd, END)
    assert archives.file_names(path) == ["plain"]
    assert list(archives.read_files(path, ["odd", "plain"])) == [("plain", b"x")]


def test_a_name_that_is_there_twice_is_refused_where_it_is_read(tmp_path: Path):
    path = packed(tmp_path / "a.tar.gz", member("a", b"1"), member("b", b"2"), member("./a", b"3"), END)
    assert list(archives.read_files(path, ["b"])) == [("b", b"2")]
    with pytest.raises(ValueError, match="a.tar.gz holds a twice"):
        list(archives.read_files(path, ["a"]))


HUGE = 8 * GIGABYTE
LIMIT = 128 << 20  # in place of MOST_BYTES, for bombs that are quick to make
TAR_BOMBS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "zeros in a file that is not asked for": (
        "larger than 134 MB", lambda path: zeros(path, member("other", size=256 << 20), 256, member("a", b"x") + END)),
    "zeros in the file itself": (
        "larger than 134 MB", lambda path: zeros(path, member("a", size=256 << 20), 256, END)),
    "zeros after the end": ("larger than 134 MB", lambda path: zeros(path, member("a", b"x") + END, 256)),
    "a file said to be huge": ("a has 8589934592 bytes", lambda path: packed(path, member("a", size=HUGE), END)),
    "a file said to be larger than it is": ("ends too early|unexpected end",
                                            lambda path: packed(path, member("a", b"x" * 600, size=70_000))),
    "a sparse file": ("is sparse", lambda path: packed(path, sparse("a", HUGE), END)),
    "a huge name": ("a part of it is said to have", lambda path: zeros(
        path, member("././@LongLink", type=tarfile.GNUTYPE_LONGNAME, size=256 << 20), 256, member("a", b"x") + END)),
    "a huge comment": ("a part of it is said to have", lambda path: zeros(
        path, member("comment", type=tarfile.XHDTYPE, size=256 << 20), 256, member("a", b"x") + END)),
    "a member before itself": ("overlap|negative|invalid|is not a whole", lambda path: packed(
        path, member("other", b"x" * 512), member("a", size=-1024), END)),
}


@pytest.mark.parametrize("name", TAR_BOMBS)
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path, name: str):
    said, make = TAR_BOMBS[name]
    path = make(tmp_path / "bomb.tar.gz")
    assert path.stat().st_size < 3 << 20
    error, megabytes = measured("archives.is_tar(path), list(archives.read_files(path, ['a']))", path)
    assert re.search(said, error) and "\n" not in error, error
    assert megabytes < 64


def test_more_members_than_an_archive_may_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = packed(tmp_path / "a.tar.gz", member("a") * 101, END)
    monkeypatch.setattr(archives, "MOST_MEMBERS", 101)
    assert len(archives.file_names(path)) == 101
    monkeypatch.setattr(archives, "MOST_MEMBERS", 100)
    with pytest.raises(ValueError, match="holds more than 100 members"):
        archives.file_names(path)


def test_an_archive_in_an_archive_stays_packed(tmp_path: Path):
    inner = packed(tmp_path / "inner.tar.gz", member("a", b"x" * 10**6), END).read_bytes()
    path = packed(tmp_path / "a.tar.gz", member("inner.tar.gz", inner), END)
    assert list(archives.read_files(path, archives.file_names(path))) == [("inner.tar.gz", inner)]


LOCAL, DIRECTORY = b"PK\3\4", b"PK\1\2"  # a zip's two headers of a member
ZIP_LIES = {
    "encrypted": (patch(DIRECTORY, 8, "<H", 1), "encrypted"),
    "a compression that is not known": (patch(DIRECTORY, 10, "<H", 99), "compression"),
    "another checksum": (patch(DIRECTORY, 16, "<I", 1), "Bad CRC"),
    "said to be smaller": (patch(DIRECTORY, 24, "<I", 10), "Bad CRC"),
    "said to be larger": (patch(DIRECTORY, 24, "<I", 10**6), "of 1000000 bytes are there"),
    "said to be huge": (patch(DIRECTORY, 24, "<I", 2**32 - 2), "said to have 4294967294 bytes"),
    "elsewhere": (patch(DIRECTORY, 42, "<I", 10**6), "whole: "),
    "another name in its header": (patch(LOCAL, 30, "<H", 0x2E2E), "differ"),
    "no header": (patch(LOCAL, 0, "<I", 0), "Bad magic"),
    "cut": (lambda data: data.__delitem__(slice(-30, None)), "not a zip file"),
    "empty": (lambda data: data.clear(), "not a zip file"),
}


@pytest.mark.parametrize("lie", ZIP_LIES)
def test_a_zip_that_lies_is_a_one_line_error(tmp_path: Path, lie: str):
    change, said = ZIP_LIES[lie]
    path = zip_of(tmp_path / "a.zip", "dir/file.json", b"content " * 1000, change=change)
    with pytest.raises(ValueError, match=said) as error:
        archives.read_zip_member(path, "dir/file.json")
    assert str(error.value).startswith("a.zip does not give dir/file.json whole: ") and "\n" not in str(error.value)


def test_a_zip_gives_what_it_is_asked_for_and_nothing_of_another_name(tmp_path: Path):
    path = zip_of(tmp_path / "a.zip", "../up", b"content")
    assert archives.read_zip_member(path, "../up") == b"content"
    assert sorted(tmp_path.parent.rglob("up")) == []
    with pytest.raises(ValueError, match="a.zip does not give up whole: "):
        archives.read_zip_member(path, "up")


def test_a_zip_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle, bundle.open("a", "w", force_zip64=True) as file:
        for _ in range(17):
            file.write(b"\0" * (1 << 24))
    error, megabytes = measured("archives.read_zip_member(path, 'a')", path)
    assert f"more than {2 * LIMIT}" in error and megabytes < 64


def measured(work: str, path: Path) -> tuple[str, float]:
    """What `archives` says to this, and the memory it took, MB, in a process of its own."""
    code = f"""
import sys
from pathlib import Path
from seglib.datasets import archives
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
archives.MOST_BYTES, archives.MOST_BYTES_OF_ONE, archives.MOST_TIMES = {LIMIT}, {2 * LIMIT}, 20
path, before, said = Path(sys.argv[1]), peak(), "nothing"
try:
    {work}
except ValueError as error:
    said = str(error)
print(peak() - before, said)
"""
    process = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True,
                             cwd=ROOT)
    megabytes, _, said = process.stdout.strip().partition(" ")
    return said, float(megabytes)
