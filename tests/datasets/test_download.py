"""Downloads against a local server that misbehaves on purpose, and against mirror folders."""

import email.utils
import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from seglib.configs import DownloadConfig
from seglib.datasets import download
from seglib.datasets.download import Checksum, Downloader, DownloadError
from tests.conftest import ROOT
from tests.datasets.hosts import BODY, Host, serving

SUM = Checksum("sha256", hashlib.sha256(BODY).hexdigest(), "this test")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited between tries; nothing is waited for."""
    waited: list[float] = []
    monkeypatch.setattr(download.time, "sleep", waited.append)
    return waited


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> Iterator[str]:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with serving() as address:
        yield address


def downloader(**settings: Any) -> Downloader:
    return Downloader(DownloadConfig(**{"mirror": None, "workers": 2, "retries": 3, "timeout": 0.4} | settings))


def left_behind(root: Path) -> list[Path]:
    return [path for path in (root / ".work").rglob("*") if path.is_file()]


def refused(url: str, tmp_path: Path, said: str, *, tries: int, **options: Any) -> None:
    """A one-line error after so many tries, and nothing is left that could be taken for the file."""
    with pytest.raises(DownloadError, match=said) as error:
        downloader().fetch(url, **options)
    assert "\n" not in str(error.value) and str(error.value).startswith(url)
    assert "fetch.mirror=PATH" in str(error.value)
    assert sum(Host.asked.values()) == tries
    assert left_behind(tmp_path) == []


def test_a_file_comes_whole_and_once(host: str):
    path = downloader().fetch(f"{host}/plain", published=SUM)
    assert path.read_bytes() == BODY
    assert downloader().fetch(f"{host}/plain", published=SUM) == path
    assert Host.asked == {"/plain": 1}


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_an_answer_that_may_be_another_soon_is_asked_for_again(host: str, tmp_path: Path, pauses: list[float],
                                                               status: int):
    assert downloader().fetch(f"{host}/{status}-2").read_bytes() == BODY
    assert pauses == [1.0, 2.0]
    (left,) = left_behind(tmp_path)
    left.unlink()
    Host.asked.clear()
    refused(f"{host}/{status}-9", tmp_path, f"in 3 tries: the host answered {status}", tries=3)


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 403, 404, 410, 416, 451, 501])
def test_an_answer_that_will_stay_ends_it_at_once(host: str, tmp_path: Path, status: int):
    refused(f"{host}/{status}-9", tmp_path, f"the host answered {status}", tries=1)


@pytest.mark.parametrize(("after", "waited"), [("7", 7.0), ("0", 1.0), ("soon", 1.0), ("-5", 1.0), ("", 1.0)])
@pytest.mark.parametrize("status", [429, 503])
def test_a_host_may_ask_to_wait(host: str, pauses: list[float], status: int, after: str, waited: float):
    assert downloader().fetch(f"{host}/{status}-1?after={after}").read_bytes() == BODY
    assert pauses == [waited]


def test_a_host_may_ask_to_wait_until(host: str, pauses: list[float]):
    date = email.utils.formatdate(time.time() + 60, usegmt=True).replace(" ", "%20")
    assert downloader().fetch(f"{host}/429-1?after={date}").read_bytes() == BODY
    assert 30 < pauses[0] <= 60


@pytest.mark.parametrize("after", ["3600", "99999999999", "Sat,%2001%20Jan%202180%2000:00:00%20GMT"])
def test_who_asks_to_wait_too_long_is_not_waited_for(host: str, tmp_path: Path, pauses: list[float], after: str):
    refused(f"{host}/429-9?after={after}", tmp_path, "429 .* asks to wait .* seconds: try again then", tries=1)
    assert pauses == []


BROKEN = {"cut": "IncompleteRead", "torn": "IncompleteRead|ended", "shred": "IncompleteRead|ended",
          "garbage": "BadStatusLine|aborted", "silent": "[Tt]imed out|timeout", "stall": "[Tt]imed out|timeout",
          "dribble": "stalled: .* bytes came in", "reset": "[Rr]eset"}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_transfer_is_tried_again_up_to_the_limit_and_never_taken_for_whole(host: str, tmp_path: Path,
                                                                                    kind: str):
    refused(f"{host}/{kind}", tmp_path, f"in 3 tries: .*({BROKEN[kind]})", tries=3)
    assert downloader().fetch(f"{host}/{kind}-2").read_bytes() == BODY


@pytest.mark.parametrize("kind", ["unmeasured", "chunked", "longer"])
def test_a_body_that_only_its_checksum_tells_from_the_whole_is_tried_again(host: str, tmp_path: Path, kind: str):
    refused(f"{host}/{kind}", tmp_path, "in 3 tries: it has sha256 .*, expected", tries=3, published=SUM)
    assert downloader().fetch(f"{host}/{kind}-2", published=SUM).read_bytes() == BODY


def test_a_wrong_checksum_names_both(host: str, tmp_path: Path):
    wrong = Checksum("md5", "0" * 32, "a paper")
    said = f"has md5 {hashlib.md5(BODY).hexdigest()}, expected 0+ \\(from a paper\\)"
    refused(f"{host}/plain", tmp_path, said, tries=3, published=wrong)


def test_content_that_fails_its_check_is_tried_again(host: str, tmp_path: Path):
    seen = []

    def check(path: Path) -> None:
        seen.append(path.read_bytes())
        if len(seen) != 3:
            raise ValueError("not a\npicture")
    downloader().fetch(f"{host}/plain", check=check)
    assert seen == [BODY] * 3
    left_behind(tmp_path)[0].unlink()
    Host.asked.clear()
    refused(f"{host}/other", tmp_path, "in 3 tries: not a picture", tries=3, check=check)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/", "data:,x", "java:1"])
def test_a_redirect_to_another_scheme_is_not_followed(host: str, tmp_path: Path, target: str):
    refused(f"{host}/redirect?to={target}", tmp_path, "leads to .*, which is not followed", tries=1)


def test_a_redirect_within_http_is_followed_and_a_loop_is_not(host: str, tmp_path: Path):
    there = host.replace("127.0.0.1", "localhost")  # another host
    assert downloader().fetch(f"{host}/redirect?to={there}/plain").read_bytes() == BODY
    left_behind(tmp_path)[0].unlink()
    Host.asked.clear()
    refused(f"{host}/loop", tmp_path, "Exceeded 5 redirects", tries=6)


@pytest.mark.parametrize("query", ["", "?chunked"])
def test_the_body_of_a_redirect_is_not_read(host: str, query: str):
    assert downloader(timeout=20).fetch(f"{host}/flood{query}").read_bytes() == BODY
    assert Host.flooded < 64 << 20  # what the sockets hold


@pytest.mark.parametrize(("here", "there", "followed"), [
    ("https://a.org/x", "https://b.org/x", True), ("https://a.org/x", "/y", True),
    ("https://a.org/x", "//b.org/y", True), ("http://a.org/x", "https://b.org/x", True),
    ("http://a.org/x", "http://b.org/x", True),
    ("https://a.org/x", "http://a.org/x", False), ("https://a.org/x", "HTTP://a.org/x", False),
    ("https://a.org/x", "file:///etc/passwd", False)])
def test_https_is_left_for_nothing_less(here: str, there: str, followed: bool):
    response = requests.Response()
    response.raw = io.BytesIO()
    response.status_code, response.url, response.headers["Location"] = 302, here, there
    session = downloader()._session
    if followed:
        assert session.get_redirect_target(response) == there
    else:
        with pytest.raises(DownloadError, match="which is not followed"):
            session.get_redirect_target(response)


def test_what_the_host_packs_for_the_way_stays_as_it_came(host: str):
    assert downloader().fetch(f"{host}/packed").read_bytes() == BODY


def test_a_body_larger_than_the_disk_is_refused_before_it_comes(host: str, tmp_path: Path):
    refused(f"{host}/huge", tmp_path, "it has 1000000.0 GB, for .* there are", tries=1)


def test_a_body_without_an_end_is_refused_at_the_limit(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "MOST_BYTES", 10**6)
    refused(f"{host}/endless", tmp_path, "more than 0 GB came", tries=1)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/etc/passwd", "ftp://host.org/a", "http:///a", "http://", "",
                                 "http://host.org/../../etc/passwd", "http://../a", "http://host.org/a/..",
                                 "http://host.org/a\\..\\b", "http://host.org/a\0b", "http://[host/a"])
@pytest.mark.parametrize("mirrored", [True, False])
def test_an_address_that_is_no_file_on_a_host_is_refused(mirror: Path, url: str, mirrored: bool):
    (mirror / "SHA256SUMS").write_text("".join(f"{'0' * 64}  {name}\n" for name in ("../../etc/passwd", "/etc/passwd")))
    with pytest.raises(DownloadError, match="no address|leads out of its folder"):
        downloader(mirror=str(mirror) if mirrored else None).fetch(url)


KILLED = """
import sys
from seglib.configs import DownloadConfig
from seglib.datasets.download import Downloader
print(Downloader(DownloadConfig(mirror=None, workers=1, retries=1, timeout=20)).fetch(sys.argv[1]))
"""


def test_a_download_killed_midway_is_not_taken_for_whole_by_the_next(host: str, tmp_path: Path):
    command = [sys.executable, "-c", KILLED, f"{host}/stall-5"]
    for _ in range(5):
        before = [path.stat().st_mtime_ns for path in left_behind(tmp_path)]
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"DVC_ROOT": str(tmp_path)})
        while process.poll() is None and not any(status.st_size and status.st_mtime_ns not in before for status
                                                 in (path.stat() for path in left_behind(tmp_path))):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"DVC_ROOT": str(tmp_path)}, capture_output=True,
                          text=True, check=True)
    whole = Path(done.stdout.strip())
    assert whole.read_bytes() == BODY and left_behind(tmp_path) == [whole]
    assert Host.asked == {"/stall-5": 6}


def test_no_network_names_the_mirror_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with pytest.raises(DownloadError, match="Without network, name a folder that mirrors the host.*fetch.mirror=PATH"):
        downloader(retries=1).fetch("http://127.0.0.1:9/nothing")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository at tmp_path/repo with a mirror beside it."""
    (tmp_path / "repo").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repo"))
    folder = tmp_path / "mirror"
    (folder / "host.org/a").mkdir(parents=True)
    (folder / "host.org/a/file").write_bytes(BODY)
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(BODY).hexdigest()}  host.org/a/file\n")
    return folder


def test_a_relative_mirror_starts_at_the_repositorys_root(mirror: Path, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path / "repo")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    published = Checksum("md5", "0" * 32, "the mirror is a sample: its own sums stand in for these")
    path = downloader(mirror="../mirror").fetch("http://host.org/a/file", published=published)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda folder: (folder / "SHA256SUMS").unlink(), "holds no SHA256SUMS"),
    (lambda folder: (folder / "host.org/a/file").write_bytes(b"other"), "has sha256 .*, expected"),
    (lambda folder: (folder / "host.org/a/file").unlink(), "it lacks the file"),
    (lambda folder: (folder / "SHA256SUMS").write_text(""), "it lacks a line for it in SHA256SUMS"),
    (lambda folder: (folder / "SHA256SUMS").write_text("one-word\n"), "is not in the format of sha256sum"),
    (lambda folder: (folder / "SHA256SUMS").write_bytes(b"\xff\xfe"), "is not in the format of sha256sum"),
])
def test_a_mirror_that_cannot_be_trusted_says_why(mirror: Path, spoil, said: str):
    spoil(mirror)
    with pytest.raises(DownloadError, match=said):
        downloader(mirror=str(mirror)).fetch("http://host.org/a/file")
