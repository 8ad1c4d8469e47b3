"""Archives, damaged at random: 10,000 of them, a minute."""

import gzip
import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from seglib.datasets import archives

pytestmark = pytest.mark.fuzz


def test_of_ten_thousand_damaged_archives_each_is_read_or_refused_in_one_line(tmp_path: Path):
    contents = {"a": b"x" * 700, "b/c": bytes(range(256)) * 4}
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar, zipfile.ZipFile(tmp_path / "zip", "w") as bundle:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
            bundle.writestr(name, content, zipfile.ZIP_DEFLATED)
    whole = [memory.getvalue(), gzip.compress(memory.getvalue(), 1), (tmp_path / "zip").read_bytes()]
    path, drawn = tmp_path / "damaged", random.Random(2)
    counts = {"refused": 0, "read": 0}
    for n in range(10_000):
        data = bytearray(whole[n % 3])
        for _ in range(drawn.choice([1, 1, 3])):
            at = drawn.randrange(len(data))
            data[at:at + drawn.randrange(1, 3)] = drawn.choice([b"", drawn.randbytes(1), drawn.randbytes(12)])
        path.write_bytes(data)
        try:
            if n % 3 == 2:
                archives.read_zip_member(path, "b/c")
            else:
                list(archives.read_files(path, list(contents)))
            counts["read"] += 1
        except ValueError as error:
            assert str(error).startswith("damaged ") and "\n" not in str(error)
            counts["refused"] += 1
    assert min(counts.values()) > 100
