"""Archives that lie: tar files made header by header, as no tool would write them."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

GIGABYTE = 1 << 30


def member(name: str, content: bytes = b"", **fields: object) -> bytes:
    """A tar member; `fields` of its header changed, which need not fit what follows."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    for field, value in fields.items():
        setattr(header, field, value)
    padding = -len(content) % tarfile.BLOCKSIZE
    return header.tobuf(tarfile.GNU_FORMAT) + content + b"\0" * padding


END = b"\0" * 2 * tarfile.BLOCKSIZE


def packed(path: Path, *parts: bytes) -> Path:
    with gzip.open(path, "wb", 1) as file:
        for part in parts:
            file.write(part)
    return path


def zeros(path: Path, before: bytes, megabytes: int, after: bytes = b"") -> Path:
    """A gzip file of `before`, so many zeros, `after`: a thousandth of its content's size."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    block = b"\0" * (1 << 20)
    with path.open("wb") as file:
        file.write(deflate.compress(before))
        for _ in range(megabytes):
            file.write(deflate.compress(block))
        file.write(deflate.compress(after) + deflate.flush())
    return path


def sparse(name: str, size: int) -> bytes:
    """GNU's old kind: a header that says the file is of `size`, and nothing but a hole."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    block[156:157] = tarfile.GNUTYPE_SPARSE
    block[386:410] = b"%011o\0%011o\0" % (0, 0)
    block[483:495] = b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def zip_of(path: Path, name: str, content: bytes, *, change: Callable[[bytearray], None] = lambda data: None) -> Path:
    """A zip archive of one member, its bytes changed."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr(name, content)
    data = bytearray(memory.getvalue())
    change(data)
    path.write_bytes(data)
    return path


def patch(signature: bytes, offset: int, kind: str, value: int) -> Callable[[bytearray], None]:
    """Changes a number of a zip header: of the member's (PK\\3\\4) or the directory's (PK\\1\\2)."""
    def change(data: bytearray) -> None:
        struct.pack_into(kind, data, data.index(signature) + offset, value)
    return change
