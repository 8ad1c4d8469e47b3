"""A local host that misbehaves on purpose: what it does with BODY stands in the path it is asked for."""

import contextlib
import http.server
import socket
import struct
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

BODY = b"picture" * 100_000


class Host(http.server.BaseHTTPRequestHandler):
    """/STATUS-TIMES answers so first, so many times, with `?after=` as Retry-After; /redirect?to= leads there; the
    others are methods here, of which each may stop after so many times: /cut-2. Anything else serves BODY.
    """

    protocol_version = "HTTP/1.1"
    asked: dict[str, int] = {}
    flooded = 0
    released = threading.Event()  # who stalls waits for it

    def do_GET(self) -> None:
        self.close_connection = True
        self.asked[self.path] = times = self.asked.get(self.path, 0) + 1
        url = urlsplit(self.path)
        kind, _, most = url.path.split("/")[1].partition("-")
        query = {key: value for key, (value,) in parse_qs(url.query).items()}
        with contextlib.suppress(OSError):  # who is asked has had enough
            if most and times > int(most):
                self.whole()
            elif kind.isdecimal():
                self.answer(int(kind), {"Retry-After": query["after"]} if "after" in query else {})
            elif kind == "redirect":
                self.answer(302, {"Location": query["to"], "Content-Length": "0"})
            else:
                getattr(self, kind, self.whole)()

    def answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def loop(self) -> None:
        self.answer(302, {"Location": "/loop", "Content-Length": "0"})

    def flood(self) -> None:
        """A redirect to /plain with a body of 128 MB, of which `flooded` counts what was sent."""
        self.answer(302, {"Location": "/plain", **({"Transfer-Encoding": "chunked"} if "chunked" in self.path else {})})
        for _ in range(128):
            self.wfile.write(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")
            Host.flooded += 1 << 20

    def whole(self) -> None:
        self.answer(200, {"Content-Length": str(len(BODY))})
        self.wfile.write(BODY)

    def cut(self) -> None:
        self.answer(200, {"Content-Length": str(len(BODY))})
        self.wfile.write(BODY[:100])

    def longer(self) -> None:
        self.answer(200, {"Content-Length": str(len(BODY) - 100)})
        self.wfile.write(BODY)

    def unmeasured(self) -> None:
        self.answer(200, {})
        self.wfile.write(BODY[:100])

    def chunked(self) -> None:
        self.answer(200, {"Transfer-Encoding": "chunked"})
        self.wfile.write(b"64\r\n" + BODY[:100] + b"\r\n0\r\n\r\n")

    def torn(self) -> None:
        """Cut between two chunks."""
        self.answer(200, {"Transfer-Encoding": "chunked"})
        self.wfile.write(b"64\r\n" + BODY[:100] + b"\r\n")

    def shred(self) -> None:
        """Cut within a chunk."""
        self.answer(200, {"Transfer-Encoding": "chunked"})
        self.wfile.write(b"64\r\n" + BODY[:50])

    def packed(self) -> None:
        """A bomb, were it unpacked on its way."""
        self.answer(200, {"Content-Encoding": "gzip", "Content-Length": str(len(BODY))})
        self.wfile.write(BODY)

    def garbage(self) -> None:
        self.wfile.write(b"\x00\xff no protocol\r\n\r\n")

    def silent(self) -> None:
        """No headers."""
        self.released.wait(20)

    def stall(self) -> None:
        self.answer(200, {"Content-Length": str(len(BODY))})
        self.wfile.write(BODY[:350_000])
        self.released.wait(20)

    def dribble(self) -> None:
        self.answer(200, {"Content-Length": str(len(BODY))})
        for n in range(400):
            self.wfile.write(BODY[n:n + 1])
            if self.released.wait(0.05):
                return

    def reset(self) -> None:
        self.answer(200, {"Content-Length": str(len(BODY))})
        self.wfile.write(BODY[:100])
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def huge(self) -> None:
        self.answer(200, {"Content-Length": str(10**15)})
        self.wfile.write(BODY)

    def endless(self) -> None:
        self.answer(200, {})
        while not self.released.is_set():
            self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The address of a host that has not been asked yet."""
    Host.asked, Host.flooded, Host.released = {}, 0, threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            Host.released.set()
            server.shutdown()
