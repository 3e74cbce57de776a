"""A gate before the S3 server: it holds one kind of request back, so that a test can act meanwhile."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from support.servers.answers import Request
from support.servers.proxy import REQUEST, Proxy


class Gate(Proxy):
    """A proxy that stops at the first request whose "METHOD /key" matches, until it is opened."""

    def __init__(self, target: str) -> None:
        self._pattern: re.Pattern[str] | None = None
        self._reached = threading.Event()
        self._open = threading.Event()
        super().__init__(target)

    def close_at(self, pattern: str) -> None:
        """Hold the next request that matches, and every later one."""
        self._reached.clear()
        self._open.clear()
        self._pattern = re.compile(pattern)

    @property
    def reached(self) -> bool:
        """Whether a request is held."""
        return self._reached.is_set()

    def open(self) -> None:
        """Let everything pass again; what was held belongs to a process that is gone."""
        self._pattern = None
        self._open.set()

    def _note(self, piece: bytes) -> list[Request]:
        noted = super()._note(piece)
        for match in REQUEST.finditer(piece):
            line = f"{match[1].decode()} {match[2].decode()}"
            if self._pattern is not None and self._pattern.search(line):
                self._reached.set()
                self._open.wait()
                raise OSError("held until its sender was gone")
        return noted


@contextmanager
def gate_before(target: str) -> Iterator[Gate]:
    """Run a gate before a server."""
    gate = Gate(target)
    try:
        yield gate
    finally:
        gate.open()
        gate.close()
