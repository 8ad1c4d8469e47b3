"""Files from their hosts or from a mirror folder, each checked and moved into place whole.

Downloads stay in a cache of their own, because DVC deletes a stage's outputs before it runs: a second run fetches
only what is missing.
"""

import dataclasses
import functools
import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from seglib.files import atomic_file, repository_root, work_dir

CHUNK = 1 << 20  # bytes read at a time
LONGEST_PAUSE = 30.0  # seconds between two tries


class DownloadError(ValueError):
    """A file that could not be had, and what to do."""


class _Again(Exception):
    """A try that failed in a way another may not."""


@dataclasses.dataclass(frozen=True)
class Checksum:
    """An expected digest: `algorithm` as hashlib names it, and where the value was published."""

    algorithm: str
    digest: str
    source: str


class Downloader:
    """Fetches URLs into `$DVC_ROOT/.work/downloads/`.

    mirror: a folder laid out as HOST/PATH with a SHA256SUMS, read in place of the network; a relative path starts
    at the repository's root, in temporary experiments too.
    """

    def __init__(self, *, mirror: str | None, workers: int, retries: int, timeout: float):
        self.cache = work_dir() / "downloads"
        self.mirror = (repository_root() / mirror).resolve() if mirror else None
        self.workers, self.retries, self.timeout = workers, retries, timeout
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=workers))

    @functools.cached_property
    def _mirror_sums(self) -> dict[str, str]:
        path = self.mirror / "SHA256SUMS"
        if not path.is_file():
            raise DownloadError(f"fetch.mirror is {self.mirror}, which holds no SHA256SUMS: give a folder laid out as "
                                "HOST/PATH with that file at its top")
        lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        return {name.strip().lstrip("*"): digest for digest, name in lines}

    def fetch(self, url: str, *, published: Checksum | None = None,
              check: Callable[[Path], None] = lambda path: None) -> Path:
        """The path of `url`'s content in the cache, fetched if it is not there.

        published: the checksum to hold a download to; a mirror's own SHA256SUMS stands in its place, since a mirror
        may be a sample. check: raises ValueError for content that is not what it should be; a reason to try again.
        Raises DownloadError.
        """
        parts = urlsplit(url)
        path_on_host = f"{parts.netloc}{parts.path}"
        expected = self._expected(path_on_host, published)
        key = hashlib.sha256(f"{url}\n{expected.digest if expected else ''}".encode()).hexdigest()
        cached = self.cache / key[:2] / key
        if not cached.exists():
            with atomic_file(cached) as temporary:
                if self.mirror is not None:
                    shutil.copyfile(self.mirror / path_on_host, temporary)
                    _verify(temporary, expected, f"{self.mirror}/{path_on_host}")
                else:
                    self._download(url, temporary, expected, check)
        return cached

    def _expected(self, path_on_host: str, published: Checksum | None) -> Checksum | None:
        if self.mirror is None:
            return published
        digest = self._mirror_sums.get(path_on_host)
        if digest is None or not (self.mirror / path_on_host).is_file():
            lacks = "a line for it in SHA256SUMS" if digest is None else "the file"
            raise DownloadError(f"the mirror {self.mirror} does not hold {path_on_host}: it lacks {lacks}")
        return Checksum("sha256", digest, "the mirror's SHA256SUMS")

    def _download(self, url: str, path: Path, expected: Checksum | None, check: Callable[[Path], None]) -> None:
        reason = ""
        for attempt in range(self.retries):
            if attempt:
                time.sleep(min(2.0 ** attempt / 2, LONGEST_PAUSE))
            try:
                self._transfer(url, path)
                _verify(path, expected, url)
                check(path)
                return
            except (requests.RequestException, _Again, ValueError) as error:
                reason = str(error)
        raise DownloadError(
            f"{url} could not be downloaded in {self.retries} tries: {reason}. Without network, name a folder that "
            "mirrors the host: `dvc exp run -S fetch.mirror=PATH` (README, section Data)")

    def _transfer(self, url: str, path: Path) -> None:
        with self._session.get(url, stream=True, timeout=self.timeout) as response, path.open("wb") as file:
            if response.status_code != 200:
                raise _Again(f"the host answered {response.status_code} {response.reason}")
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
            length = response.headers.get("Content-Length")
            if length is not None and "Content-Encoding" not in response.headers and file.tell() != int(length):
                raise _Again(f"{file.tell()} of {length} bytes came")


def _verify(path: Path, expected: Checksum | None, what: str) -> None:
    if expected is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, expected.algorithm).hexdigest()
    if found != expected.digest:
        raise DownloadError(f"{what} has {expected.algorithm} {found}, expected {expected.digest} "
                            f"(from {expected.source})")
