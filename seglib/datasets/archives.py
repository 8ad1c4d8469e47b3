"""Tar archives from elsewhere, distrusted: a member's content is read by its name, its path is written to nowhere."""

import lzma
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from seglib.datasets.download import CHUNK


def file_names(archive: Path) -> list[str]:
    """The paths of the plain files in a tar archive, compressed or not, in its order; "./" before one is left off.

    Reads through the whole archive. Raises ValueError where it is damaged, cut short, or no tar archive.
    """
    return [name for name, _ in _files(archive)]


def read_files(archive: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """The named files, as `file_names` names them, in the archive's order: one pass, one file in memory.

    A name that is not there is passed over; one that is there twice comes twice. Raises ValueError as `file_names`.
    """
    return ((name, content) for name, content in _files(archive, names) if name in names)


def _files(archive: Path, wanted: Collection[str] = ()) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(archive) as members:
            for member in members:
                if member.isfile():
                    name = str(PurePosixPath(member.name))
                    yield name, members.extractfile(member).read() if name in wanted else b""
            # tarfile takes a damaged header for the archive's end: only the compression's own checksum, which stands
            # after the last byte, tells.
            while members.fileobj.read(CHUNK):
                pass
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{archive.name} is not a whole tar archive: {error}") from None
