"""A Hub that misbehaves as Hubs, mirrors and proxies can: the demo's server with faults on top."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from http import HTTPStatus
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from flows.demo.hub_repo import Repo, RepoFile
from flows.demo.hub_server import HubHandler, HubServer, Refusal

ALWAYS = 1_000_000


@dataclass
class Fault:
    """What goes wrong, on which URL paths (a shell pattern), and how many more times.

    truncate: the connection closes half way. short: half the file under a matching Content-Length.
    flip: one byte is another. status: 500. stall: half the file, then nothing. hang: no answer.
    missing: listed, but not there. html: a web page instead. busy: 429 with the fault's headers.
    no-ranges: the whole file, whatever range is asked for.
    """

    kind: Literal[
        "truncate", "short", "flip", "status", "stall", "hang", "missing", "html", "busy", "no-ranges"
    ]
    pattern: str
    times: int = ALWAYS
    headers: tuple[tuple[str, str], ...] = ()


class FaultyHub(HubServer):
    """A Hub with faults, which remembers what was asked of it."""

    def __init__(self, root: Path, *faults: Fault) -> None:
        super().__init__(root, handler=FaultyHandler)
        self.faults = list(faults)
        self.requests: list[tuple[str, str]] = []
        self.ranges: list[tuple[str, str]] = []
        self.closing = threading.Event()

    def count(self, method: str, pattern: str) -> int:
        """How many requests of a method there were whose path matches."""
        return sum(m == method and fnmatch(path, pattern) for m, path in self.requests)

    def starts(self, pattern: str) -> list[str]:
        """The first byte of every range that was asked for of paths that match, in order."""
        return [
            asked.removeprefix("bytes=").partition("-")[0]
            for path, asked in self.ranges
            if fnmatch(path, pattern)
        ]

    def take(self, kinds: tuple[str, ...], path: str) -> Fault | None:
        """Use up one matching fault."""
        for fault in self.faults:
            if fault.kind in kinds and fault.times > 0 and fnmatch(path, fault.pattern):
                fault.times -= 1
                return fault
        return None


class FaultyHandler(HubHandler):
    """Answers one connection, badly where a fault says so."""

    server: FaultyHub

    def answer(self) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append((self.command, path))
        if self.command == "GET" and "Range" in self.headers:
            self.server.ranges.append((path, self.headers["Range"]))
        kinds = ("html", "busy")
        if self.command == "GET" or "/resolve/" not in path:
            kinds += ("status", "hang", "missing")
        fault = self.server.take(kinds, path)
        match fault.kind if fault else "":
            case "status":
                self.refuse(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "", "something broke"))
            case "missing":
                self.refuse(Refusal(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found"))
            case "hang":
                self.server.closing.wait(30)
                self.close_connection = True
            case "html":
                self.send_page()
            case "busy":
                assert fault is not None
                self.send_json({"error": "slow down"}, HTTPStatus.TOO_MANY_REQUESTS, dict(fault.headers))
            case _:
                super().answer()

    def send_page(self) -> None:
        page = b"<!DOCTYPE html><title>Please log in</title>"
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)

    def answer_file(self, repo: Repo, path: str) -> None:
        url = urlsplit(self.path).path
        if self.command == "GET" and self.server.take(("no-ranges",), url):
            del self.headers["Range"]
        if self.command != "GET" or not self.server.take(("short",), url):
            super().answer_file(repo, path)
            return
        file = repo.file(path)
        assert file is not None
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(file.size_bytes // 2))
        self.end_headers()
        super().send_bytes(file, 0, file.size_bytes // 2)

    def send_bytes(self, file: RepoFile, start: int, stop: int) -> None:
        fault = self.server.take(("truncate", "flip", "stall"), urlsplit(self.path).path)
        match fault.kind if fault else "":
            case "truncate":
                super().send_bytes(file, start, (start + stop) // 2)
                self.close_connection = True
            case "flip":
                content = bytearray(file.source.read_bytes()[start:stop])
                content[len(content) // 2] ^= 1
                self.wfile.write(content)
            case "stall":
                super().send_bytes(file, start, (start + stop) // 2)
                self.server.closing.wait(30)
                self.close_connection = True
            case _:
                super().send_bytes(file, start, stop)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):  # the client was killed, as tests do
            self.close_connection = True


@contextmanager
def faulty_hub(root: Path, *faults: Fault) -> Iterator[FaultyHub]:
    """Serve `root` until the block is left."""
    server = FaultyHub(root, *faults)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
