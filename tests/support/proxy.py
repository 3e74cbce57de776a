"""A TCP proxy before the S3 server: it notes requests, stops in the midst of them, and cuts connections."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

PIECE_BYTES = 64 << 10
REQUEST = re.compile(rb"(GET|PUT|HEAD|POST|DELETE) (/\S*) HTTP/1\.1\r\n(?:[^\r\n]+\r\n)*?\r\n")
RANGE = re.compile(rb"range: bytes=(\d+)-", re.IGNORECASE)


class Request(NamedTuple):
    """A request that passed: its method, the object's key, and where its range begins."""

    method: str
    key: str
    start: int


class Proxy:
    """Passes connections on to a server of 127.0.0.1, until it is told to misbehave."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[Request] = []
        self.allowance_bytes: int | None = None  # once it is used up, nothing passes in either direction
        self.cuts_left = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def blob_requests(self, method: str) -> list[Request]:
        """Requests for bytes of blobs, in the order in which they came."""
        return [one for one in self.requests if one.method == method and "/blobs/" in one.key]

    def close(self) -> None:
        """Take no further connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((self._target.hostname or "", self._target.port or 0))
                threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, upwards: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                if upwards:
                    self._note(piece)
                elif len(piece) > PIECE_BYTES // 2 and self._cut():
                    break
                self._wait_for_allowance(len(piece))
                sink.sendall(piece)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _note(self, piece: bytes) -> None:
        for match in REQUEST.finditer(piece):
            start = RANGE.search(match[0])
            key = match[2].decode().partition("?")[0]
            self.requests.append(Request(match[1].decode(), key, int(start[1]) if start else 0))

    def _cut(self) -> bool:
        with self._lock:
            cut = self.cuts_left > 0
            self.cuts_left -= cut
            return cut

    def _wait_for_allowance(self, count: int) -> None:
        while True:
            with self._lock:
                if self.allowance_bytes is None:
                    return
                if self.allowance_bytes > 0:
                    self.allowance_bytes -= count
                    return
            time.sleep(0.01)


@contextlib.contextmanager
def before(target: str) -> Iterator[Proxy]:
    """Run a proxy before a server."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
