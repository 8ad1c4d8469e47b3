"""Get files from their hosts or from a mirror folder; each is checked, and moved into place whole.

Downloads stay in a cache of their own, because DVC deletes a stage's outputs before the stage runs. So a second run
fetches only what is missing.
"""

import dataclasses
import functools
import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from seglib.configs import DownloadConfig
from seglib.files import atomic_file, repository_root, work_dir

CHUNK = 1 << 20  # bytes read at a time
LONGEST_PAUSE = 30.0  # seconds between two tries
LONGEST_ASKED = 120.0  # seconds that a host may ask to wait (Retry-After); a host that asks for more is not asked again
SLOWEST = 1000  # bytes per second: a host that is slower over `timeout` seconds has stalled
MOST_BYTES = 16 << 30  # of one download; the largest known is below 1 GB
MOST_REDIRECTS = 5
PASSING = {408, 425, 429, 500, 502, 503, 504}  # status codes of answers that may change soon

# Errors that no other try will change.
_FINAL = (requests.TooManyRedirects, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema,
          requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader)


class DownloadError(ValueError):
    """A file that could not be fetched, and what to do."""


class _Again(Exception):
    """A try failed, and another may succeed. pause: seconds that the host asks to wait before it."""

    def __init__(self, reason: str, pause: float | None = None):
        super().__init__(reason)
        self.pause = pause


@dataclasses.dataclass(frozen=True)
class Checksum:
    """An expected digest: `algorithm` as hashlib names it, and the place where the value was published."""

    algorithm: str
    digest: str
    source: str


class _Session(requests.Session):
    """Follows a redirect only to the network, and from https only to https. The redirect's body is not read."""

    def get_redirect_target(self, response: requests.Response) -> str | None:
        target = super().get_redirect_target(response)
        if target:
            response.close()  # else the whole body would be read into memory before the redirect is followed
            here, there = urlsplit(response.url).scheme, urlsplit(urljoin(response.url, target)).scheme
            if there not in ("https", here):
                raise DownloadError(f"{response.url} leads to {target:.200}, from {here} to {there}, which is not "
                                    "followed")
        return target


class Downloader:
    """Fetches URLs into `$DVC_ROOT/.work/downloads/`.

    A relative path of a mirror starts at the repository's root, in temporary experiments too.
    """

    def __init__(self, config: DownloadConfig):
        self.cache = work_dir() / "downloads"
        self.mirror = (repository_root() / config.mirror).resolve() if config.mirror else None
        self.workers, self.retries, self.timeout = config.workers, config.retries, config.timeout
        self._session = _Session()
        self._session.max_redirects = MOST_REDIRECTS
        # Files as they are stored: a body that the host compresses could have any size once unpacked.
        self._session.headers["Accept-Encoding"] = "identity"
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=config.workers))

    @functools.cached_property
    def _mirror_sums(self) -> dict[str, str]:
        path = self.mirror / "SHA256SUMS"
        if not path.is_file():
            raise DownloadError(f"fetch.mirror is {self.mirror}, which holds no SHA256SUMS: give a folder laid out as "
                                "HOST/PATH with that file at its top")
        try:
            lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
            return {name.strip().lstrip("*"): digest for digest, name in lines}
        except ValueError as error:  # not text, or a line of one word
            raise DownloadError(f"{path} is not in the format of sha256sum, one digest and one name per line: "
                                f"{error}") from None

    def fetch(self, url: str, *, published: Checksum | None = None,
              check: Callable[[Path], None] = lambda path: None) -> Path:
        """The path of `url`'s content in the cache, fetched if it is not there.

        published: the checksum to hold a download to; a mirror's own SHA256SUMS stands in its place, since a mirror
        may be a sample. check: raises ValueError for content that is not what it should be; a reason to try again.
        Raises DownloadError.
        """
        path_on_host = _path_on_host(url)
        expected = self._expected(path_on_host, published)
        key = hashlib.sha256(f"{url}\n{expected.digest if expected else ''}".encode()).hexdigest()
        cached = self.cache / key[:2] / key
        if not cached.exists():
            with atomic_file(cached) as temporary:
                if self.mirror is not None:
                    shutil.copyfile(self.mirror / path_on_host, temporary)
                    if wrong := _mismatch(temporary, expected):
                        raise DownloadError(f"{self.mirror}/{path_on_host} {wrong}")
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
        reason, pause = "", 0.0
        for attempt in range(self.retries):
            if attempt:
                time.sleep(max(min(2.0 ** attempt / 2, LONGEST_PAUSE), pause))
            try:
                self._transfer(url, path)
                if wrong := _mismatch(path, expected):
                    raise _Again(f"it {wrong}")
                check(path)
                return
            except (DownloadError, *_FINAL) as error:
                raise DownloadError(f"{url} cannot be downloaded: {_line(error)}. {_INSTEAD}") from None
            except _Again as error:
                reason, pause = str(error), error.pause or 0.0
            except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
                reason, pause = _line(error), 0.0
        raise DownloadError(f"{url} could not be downloaded in {self.retries} tries: {reason}. {_INSTEAD}")

    def _transfer(self, url: str, path: Path) -> None:
        with self._session.get(url, stream=True, timeout=self.timeout) as response:
            if response.status_code != 200:
                self._refused(response)
            length = _length(response)
            if length is not None and length > (free := min(shutil.disk_usage(path.parent).free, MOST_BYTES)):
                raise DownloadError(f"it has {length / 1e9:.1f} GB, for {path.parent} there are {free / 1e9:.1f} GB")
            with path.open("wb") as file:
                self._receive(response.raw, file)
                if length is not None and file.tell() != length:
                    raise _Again(f"{file.tell()} of {length} bytes came")

    def _refused(self, response: requests.Response) -> None:
        answer = f"the host answered {response.status_code} {response.reason:.100}"
        if response.status_code not in PASSING:
            raise DownloadError(answer)
        try:
            pause = urllib3.Retry().get_retry_after(response.raw)
        except urllib3.exceptions.InvalidHeader:
            pause = None
        if pause is not None and pause > LONGEST_ASKED:
            raise DownloadError(f"{answer} and asks to wait {pause:.0f} seconds: try again then")
        raise _Again(answer, pause)

    def _receive(self, body: urllib3.BaseHTTPResponse, file: BinaryIO) -> None:
        """Receive bytes as they come: a whole chunk from a host that sends one byte per second would take days."""
        since, before = time.monotonic(), 0
        while chunk := body.read1(CHUNK):
            file.write(chunk)
            if file.tell() > MOST_BYTES:
                raise DownloadError(f"more than {MOST_BYTES / 1e9:.0f} GB came")
            if (passed := time.monotonic() - since) > self.timeout:
                if (came := file.tell() - before) < SLOWEST * passed:
                    raise _Again(f"it stalled: {came} bytes came in {passed:.0f} seconds")
                since, before = time.monotonic(), file.tell()


_INSTEAD = ("Without network, name a folder that mirrors the host: `dvc exp run -S fetch.mirror=PATH` "
            "(docs/own-data.md)")


def _path_on_host(url: str) -> str:
    """HOST/PATH, which is also the file's place in a mirror. Raises DownloadError if that is outside of the mirror."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise DownloadError(f"{url!r:.200} is no address: {error}") from None
    path = f"{parts.netloc}{parts.path}"
    if parts.scheme not in ("http", "https") or not parts.netloc or not path.isprintable() or "\\" in path:
        raise DownloadError(f"{url!r:.200} is no address of a file on a host: expected http or https")
    if {".", ".."} & set(path.split("/")):
        raise DownloadError(f"{url!r:.200} leads out of its folder")
    return path


def _length(response: requests.Response) -> int | None:
    """The size of the body as it is sent, in bytes, if the host tells it."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and "Transfer-Encoding" not in response.headers else None


def _mismatch(path: Path, expected: Checksum | None) -> str | None:
    """What is wrong with a file's checksum, if anything."""
    if expected is None:
        return None
    with path.open("rb") as file:
        found = hashlib.file_digest(file, expected.algorithm).hexdigest()
    if found == expected.digest:
        return None
    return f"has {expected.algorithm} {found}, expected {expected.digest} (from {expected.source})"


def _line(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.500}"
