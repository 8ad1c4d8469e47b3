"""Archives from elsewhere, distrusted: a member's content is read by its name, and its path leads nowhere.

What an archive may make of itself is limited, before it is unpacked: see the constants.
"""

import contextlib
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from seglib.datasets.download import CHUNK

MOST_MEMBERS = 1_000_000
MOST_BYTES_OF_ONE = 2 << 30  # of a file that is read, which is held in memory; COCO's largest is 448 MB
# Unpacked, an archive may hold so many times its own bytes, or so many bytes where that is more. Text of a few numbers
# over and over, as Stanford's labels are, shrinks to a fortieth; a bomb to a thousandth and less.
MOST_TIMES, MOST_BYTES = 200, 1 << 30

# No others are undone: the header of an LZMA stream may ask for 4 GB of memory.
TAR_METHODS = {name: tarfile.TarFile.OPEN_METH[name] for name in ("tar", "gz", "bz2")}
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)

_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, zlib.error, struct.error, KeyError, OverflowError,
           RuntimeError)  # the last: an encrypted member


class _TooMuch(ValueError):
    """More than an archive may hold."""


class _Limited(io.BufferedIOBase):
    """The unpacked bytes of an archive of `size` bytes: forward only, to a limit."""

    def __init__(self, file: Any, size: int):
        self._file, self._most = file, max(MOST_TIMES * size, MOST_BYTES)

    def check(self, position: int) -> None:
        """Raises ValueError where it may not go on so far."""
        if position > self._most:
            raise _TooMuch(f"unpacked, it is larger than {self._most / 1e6:.0f} MB")

    def read(self, size: int = -1) -> bytes:
        # A member's name or comment is read at once, however long its header says it is; contents are, by the chunk.
        if not 0 <= size <= CHUNK:
            raise _TooMuch(f"a part of it is said to have {size} bytes")
        self.check(self._file.tell())
        return self._file.read(size)

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or position < self._file.tell():
            raise _TooMuch("its members overlap")  # and would be read for ever
        self.check(position)
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


class _Tar(tarfile.TarFile):
    """Opened by `open`, which finds the compression and comes here with the stream that undoes it."""

    OPEN_METH = TAR_METHODS

    @classmethod
    def taropen(cls, name: Any, mode: Any = "r", fileobj: Any = None, **others: Any) -> tarfile.TarFile:
        stream = fileobj or Path(name).open("rb")  # noqa: SIM115 (the archive closes it)
        try:
            return super().taropen(name, mode, _Limited(stream, Path(name).stat().st_size), **others)
        except BaseException:
            stream.close()
            raise


def is_tar(path: Path) -> bool:
    """Whether this is a tar archive, compressed or not, as far as its beginning tells."""
    try:
        with _Tar.open(path):
            return True
    except (*_DAMAGE, ValueError):
        return False


def file_names(archive: Path) -> list[str]:
    """The paths of the plain files in a tar archive, compressed or not, in its order; "./" before one is left off.

    Reads through the whole archive. Raises ValueError where it is damaged, cut short, or no tar archive, and where it
    holds more than it may (see the constants).
    """
    return [name for name, _ in _files(archive)]


def read_files(archive: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """The named files, as `file_names` names them, in the archive's order: one pass, one file in memory.

    A name that is not there is passed over. Raises ValueError as `file_names`, and for a name that is there twice.
    """
    seen = set()
    for name, content in _files(archive, names):
        if name in names:
            if name in seen:
                raise ValueError(f"{archive.name} holds {name} twice")
            seen.add(name)
            yield name, content


def extract(archive: Path, targets: Mapping[str, Path]) -> None:
    """Write files of a tar archive where the caller has them: name to path.

    Raises ValueError as `read_files`, and for two files that would come to one path: nobody knows which is meant.
    """
    name_of: dict[Path, str] = {}
    for name, target in targets.items():
        if (other := name_of.setdefault(target, name)) != name:
            raise ValueError(f"{archive.name} holds {other} and {name}, expected one {target.name}")
    for name, content in read_files(archive, targets):
        targets[name].write_bytes(content)


def _files(archive: Path, wanted: Collection[str] = ()) -> Iterator[tuple[str, bytes]]:
    with _said_of(archive.name), _Tar.open(archive) as members:
        for number, member in enumerate(iter(members.next, None), 1):
            if number > MOST_MEMBERS:
                raise _TooMuch(f"it holds more than {MOST_MEMBERS:,} members")
            members.members.clear()  # tarfile keeps them all, to find one by name
            if member.isfile():
                name = str(PurePosixPath(member.name))
                yield name, _content(members, member) if name in wanted else b""
        # tarfile takes a damaged header for the archive's end: only the compression's own checksum, which stands
        # after the last byte, tells.
        while members.fileobj.read(CHUNK):
            pass


def _content(members: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.issparse() or member.size > MOST_BYTES_OF_ONE:  # of a sparse file a few bytes may say that it is as large
        raise _TooMuch(f"{member.name} has {member.size} bytes" + " and is sparse" * member.issparse())
    members.fileobj.check(member.offset_data + member.size)
    file = members.extractfile(member)
    content = b"".join(iter(lambda: file.read(CHUNK), b""))
    if len(content) < member.size:
        raise EOFError(f"{member.name} ends too early")
    return content


def read_zip_member(archive: Path, name: str) -> bytearray:
    """A file of a zip archive, held once. Raises ValueError where it is not there, encrypted, too large or damaged."""
    content = bytearray()  # grows in place; ZipFile.read holds the whole twice
    with _said_of(f"{archive.name} does not give {name} whole", ": "), zipfile.ZipFile(archive) as bundle:
        if (method := bundle.getinfo(name).compress_type) not in ZIP_METHODS:
            raise ValueError(f"its compression, method {method}, is not undone here")
        stated = bundle.getinfo(name).file_size  # nothing beyond it is unpacked
        if stated > MOST_BYTES_OF_ONE:
            raise _TooMuch(f"it is said to have {stated} bytes, more than {MOST_BYTES_OF_ONE}")
        with bundle.open(name) as file:
            while chunk := file.read(CHUNK):
                content += chunk
        if len(content) != stated:
            raise EOFError(f"{len(content)} of {stated} bytes are there")
    return content


@contextlib.contextmanager
def _said_of(what: str, middle: str = " is not a whole tar archive: ") -> Iterator[None]:
    """Whatever is wrong with an archive, as one line."""
    try:
        yield
    except (*_DAMAGE, ValueError) as error:
        raise ValueError(f"{what}{middle}{' '.join(str(error).split()):.300}") from None
