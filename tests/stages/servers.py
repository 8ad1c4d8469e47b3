"""Tracking servers as a night may find them: away, silent, slow, failing."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

NEVER = 1000.0  # seconds


class Server(ThreadingHTTPServer):
    """Answers every request alike: after `delay` seconds, or not at all where it ends before."""

    daemon_threads = True

    def __init__(self, *, delay: float = 0.0, status: int = 200, headers: dict[str, str] | None = None,
                 body: bytes = b"{}"):
        self.delay, self.status, self.headers, self.body = delay, status, headers or {}, body
        self.asked, self.ended = threading.Semaphore(0), threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.release()
        if self.server.ended.wait(self.server.delay):
            return
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_POST = do_PUT = do_PATCH = do_GET

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # who asked has gone
            super().handle()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(server: Server) -> Iterator[str]:
    """The server's address."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    """One that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[subprocess.Popen]:
    """A real one, that keeps what it is told in `folder`."""
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("a") as log, subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
             "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "kept")],
            stdout=log, stderr=log, env=_quiet(), start_new_session=True) as process:
        try:
            while not _answers(port):
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.2)
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen) -> None:
    """The server and its workers, at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=1).ok
    return False


def _quiet() -> dict[str, str]:
    return os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
