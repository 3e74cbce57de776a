"""A TCP proxy before the S3 server: it notes requests, counts the bytes of answers, stops in the midst of
them, cuts connections, and alters a share of the answers (`support.servers.answers`).
"""

import contextlib
import queue
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast
from urllib.parse import unquote, urlsplit

from support.servers.answers import Answer, Fault, Request, read_answer

PIECE_BYTES = 64 << 10
REQUEST = re.compile(rb"(GET|PUT|HEAD|POST|DELETE) (/\S*) HTTP/1\.1\r\n(?:[^\r\n]+\r\n)*?\r\n")
RANGE = re.compile(rb"range: bytes=(\d+)-(\d+)", re.IGNORECASE)

Asked = queue.SimpleQueue[Request | None]


class Proxy:
    """Passes connections on to a server of 127.0.0.1, until it is asked to misbehave."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[Request] = []
        self.allowance_bytes: int | None = None  # once it is used up, nothing passes in either direction
        self.cuts_left = 0
        self.altered = 0
        self.received_bytes: Counter[str] = Counter()  # of bodies, by key, once `count` was called
        self._alter: Callable[[Request, Answer], Answer | None] | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def blob_requests(self, method: str) -> list[Request]:
        """Requests for bytes of blobs, in the order in which they came."""
        return [one for one in self.requests if one.method == method and "/blobs/" in one.key]

    def count(self) -> None:
        """Count the bytes of the bodies that come back by connections that are opened from now on."""
        self._alter = lambda _request, _answer: None

    def blob_bytes(self) -> int:
        """Bytes of blobs that came back since `count`."""
        return sum(count for key, count in self.received_bytes.items() if "/blobs/" in key)

    def alter(self, fault: Fault, share: float, whole: Callable[[str], bytes], seed: int = 0) -> None:
        """Alter a share of the answers of connections that are opened from now on."""
        chance = random.Random(seed)

        def altered(request: Request, answer: Answer) -> Answer | None:
            with self._lock:
                chosen = chance.random() < share
            return fault(request, answer, whole) if chosen else None

        self._alter = altered

    def close(self) -> None:
        """Take no further connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((self._target.hostname or "", self._target.port or 0))
                asked: Asked = queue.SimpleQueue()
                back = self._pass_back if self._alter is None else self._pass_answers
                threading.Thread(target=self._pass_on, args=(client, server, asked), daemon=True).start()
                threading.Thread(target=back, args=(server, client, asked), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket, asked: Asked) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(PIECE_BYTES):
                for request in self._note(piece):
                    asked.put(request)
                self._wait_for_allowance(len(piece))
                server.sendall(piece)
        asked.put(None)
        _end(client, server)

    def _pass_back(self, server: socket.socket, client: socket.socket, _asked: Asked) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(PIECE_BYTES):
                if len(piece) > PIECE_BYTES // 2 and self._cut():
                    break
                self._wait_for_allowance(len(piece))
                client.sendall(piece)
        _end(client, server)

    def _pass_answers(self, server: socket.socket, client: socket.socket, asked: Asked) -> None:
        stream = cast("BinaryIO", server.makefile("rb"))
        with contextlib.suppress(OSError, IndexError):  # IndexError: the server has closed the connection
            request: Request | None = None
            while True:
                request = request or asked.get()
                if request is None:
                    break
                answer = read_answer(stream, request.method)
                altered = self._alter(request, answer) if self._alter and answer.status >= 200 else None
                self.altered += altered is not None
                with self._lock:
                    self.received_bytes[request.key] += len(answer.body)
                client.sendall((altered or answer).wire)
                if altered and altered.sent >= 0:
                    break
                request = None if answer.status >= 200 else request  # 100: the answer itself follows
        _end(client, server)

    def _note(self, piece: bytes) -> list[Request]:
        found: list[Request] = []
        for match in REQUEST.finditer(piece):
            span = RANGE.search(match[0])
            key = unquote(match[2].decode().partition("?")[0])
            start, length = (int(span[1]), int(span[2]) - int(span[1]) + 1) if span else (0, 0)
            found.append(Request(match[1].decode(), key, start, length))
        self.requests += found
        return found

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


def _end(*connections: socket.socket) -> None:
    for one in connections:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def before(target: str) -> Iterator[Proxy]:
    """Run a proxy before a server."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
