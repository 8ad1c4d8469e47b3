"""Downloads against a local server that misbehaves on purpose, and against mirror folders."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from seglib.datasets import download
from seglib.datasets.download import Checksum, Downloader, DownloadError

BODY = b"picture" * 1000


class Host(http.server.BaseHTTPRequestHandler):
    """Serves BODY after what the path asks for: /STATUS-TIMES/... fails so often first, /short cuts the body."""

    asked: dict[str, int] = {}

    def do_GET(self) -> None:
        self.asked[self.path] = times = self.asked.get(self.path, 0) + 1
        kind = self.path.split("/")[1]
        if "-" in kind:
            status, failures = map(int, kind.split("-"))
            if times <= failures:
                self.send_error(status)
                return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[:100] if kind == "short" else BODY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    Host.asked = {}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def downloader(**settings: object) -> Downloader:
    return Downloader(**{"mirror": None, "workers": 2, "retries": 3, "timeout": 2.0} | settings)


def left_behind(root: Path) -> list[Path]:
    return [path for path in (root / ".work").rglob("*") if path.is_file()]


def test_a_file_comes_whole_and_once(host: str):
    sums = Checksum("sha256", hashlib.sha256(BODY).hexdigest(), "this test")
    path = downloader().fetch(f"{host}/plain", published=sums)
    assert path.read_bytes() == BODY
    assert downloader().fetch(f"{host}/plain", published=sums) == path
    assert Host.asked == {"/plain": 1}


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_failures_are_tried_again_up_to_the_limit(host: str, status: int):
    assert downloader().fetch(f"{host}/{status}-2/file").read_bytes() == BODY
    with pytest.raises(DownloadError, match=f"3 tries: the host answered {status}.*fetch.mirror"):
        downloader().fetch(f"{host}/{status}-3/file")


def test_a_truncated_body_is_never_taken_for_whole(host: str, tmp_path: Path):
    with pytest.raises(DownloadError, match="in 3 tries"):
        downloader().fetch(f"{host}/short")
    assert left_behind(tmp_path) == []


def test_a_wrong_checksum_names_both(host: str, tmp_path: Path):
    wrong = Checksum("md5", "0" * 32, "a paper")
    with pytest.raises(DownloadError, match=f"has md5 {hashlib.md5(BODY).hexdigest()}, expected 0+ \\(from a paper\\)"):
        downloader().fetch(f"{host}/plain", published=wrong)
    assert left_behind(tmp_path) == []


def test_content_that_fails_its_check_is_tried_again(host: str):
    seen = []

    def check(path: Path) -> None:
        seen.append(path.read_bytes())
        if len(seen) < 3:
            raise ValueError("not a picture")
    downloader().fetch(f"{host}/plain", check=check)
    assert seen == [BODY] * 3


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
])
def test_a_mirror_that_cannot_be_trusted_says_why(mirror: Path, spoil, said: str):
    spoil(mirror)
    with pytest.raises(DownloadError, match=said):
        downloader(mirror=str(mirror)).fetch("http://host.org/a/file")
