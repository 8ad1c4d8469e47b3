"""Tar archives: read by name, never unpacked, damage always noticed."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from seglib.datasets import archives

FILES = {"a/1.txt": b"one", "a/2.txt": b"two" * 50000, "b.txt": b""}


@pytest.fixture(params=["", ":gz", ":xz"])
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
