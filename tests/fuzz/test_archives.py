"""Archives, damaged."""

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given

from seglib.datasets import archives
from tests.datasets.hostile_archives import END, member
from tests.fuzz.mutation import damage, fuzzed

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(900, method="thread")]

CONTENTS = {"a": b"x" * 700, "b/c": bytes(range(256)) * 4}
TAR = b"".join(member(name, content) for name, content in CONTENTS.items()) + END
PACKED = gzip.compress(TAR, 1, mtime=0)
ZIP = io.BytesIO()
with zipfile.ZipFile(ZIP, "w", zipfile.ZIP_DEFLATED) as bundle:
    for name, content in CONTENTS.items():
        bundle.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archives") / "damaged"


def of_tar(path: Path) -> dict[str, bytes]:
    return dict(archives.read_files(path, CONTENTS))


def of_zip(path: Path) -> dict[str, bytes]:
    return {name: bytes(archives.read_zip_member(path, name)) for name in CONTENTS}


def read_or_refused(path: Path, data: bytes, read: Callable[[Path], dict[str, bytes]]) -> dict[str, bytes]:
    """What it holds; nothing where it is refused, in one line."""
    path.write_bytes(data)
    try:
        return read(path)
    except ValueError as error:
        assert str(error).startswith("damaged ") and "\n" not in str(error)
        return {}


@fuzzed(0.3)
@given(damage([TAR]))
def test_a_damaged_tar_is_read_or_refused_in_one_line(path: Path, data: bytes):
    assert read_or_refused(path, data, of_tar).keys() <= CONTENTS.keys()


@fuzzed(0.4)
@given(damage([PACKED]))
def test_what_a_damaged_packed_tar_gives_is_what_was_packed(path: Path, data: bytes):
    assert read_or_refused(path, data, of_tar).items() <= CONTENTS.items()


@fuzzed(0.3)
@given(damage([ZIP.getvalue()]))
def test_what_a_damaged_zip_gives_is_what_was_packed(path: Path, data: bytes):
    assert read_or_refused(path, data, of_zip).items() <= CONTENTS.items()


@pytest.mark.parametrize(("data", "read"), [(TAR, of_tar), (PACKED, of_tar), (ZIP.getvalue(), of_zip)])
def test_the_archives_that_are_damaged_are_whole(path: Path, data: bytes, read: Callable[[Path], dict[str, bytes]]):
    assert read_or_refused(path, data, read) == CONTENTS
