"""Answers of an S3 server as they come through a faulty path: altered, cut, or lost."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

NO_BODY = (204, 304)
_flips = itertools.count(1)


class Request(NamedTuple):
    """A request that passed: its method, the object's key, and the range it asked for (length 0: none)."""

    method: str
    key: str
    start: int
    length: int


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; `sent` is how much of the body arrives before the connection is cut (-1: all)."""

    status: int
    headers: dict[str, str]
    body: bytes
    sent: int = -1
    chunked: bool = False

    @property
    def wire(self) -> bytes:
        """The bytes that the client receives."""
        framing = (
            {"transfer-encoding": "chunked"} if self.chunked else {"content-length": str(len(self.body))}
        )
        headers = {**framing, **self.headers}
        lines = [f"HTTP/1.1 {self.status} x", *(f"{name}: {value}" for name, value in headers.items())]
        body = self.body if self.sent < 0 else self.body[: self.sent]
        if self.chunked:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


Whole = Callable[[str], bytes]
Fault = Callable[[Request, Answer, Whole], Answer | None]
"""Makes another answer of a request's; the third argument reads whole objects. None: as it is."""


def overlong(request: Request, answer: Answer, whole: Whole) -> Answer | None:
    """The range, and wrong bytes after it."""
    if not request.length:
        return None
    beyond = bytes(byte ^ 0xFF for byte in whole(request.key)[request.start + request.length :]) + b"beyond"
    return replace(answer, body=answer.body + beyond)


def overlong_chunked(request: Request, answer: Answer, whole: Whole) -> Answer | None:
    """The range and wrong bytes after it, whose count no header says."""
    longer = overlong(request, answer, whole)
    return replace(longer, chunked=True) if longer else None


def range_ignored(request: Request, answer: Answer, whole: Whole) -> Answer | None:
    """Status 200 and the whole object."""
    if not request.length:
        return None
    headers = {name: value for name, value in answer.headers.items() if name != "content-range"}
    return Answer(200, headers, whole(request.key))


def another_range(request: Request, answer: Answer, whole: Whole) -> Answer | None:
    """Bytes of another range, which the answer names."""
    if not request.length:
        return None
    data, start = whole(request.key), 0 if request.start else 1
    body = data[start : start + request.length]
    content_range = f"bytes {start}-{start + len(body) - 1}/{len(data)}"
    return Answer(206, {**answer.headers, "content-range": content_range}, body)


def another_etag(request: Request, answer: Answer, _whole: Whole) -> Answer | None:
    """The range of an object that was replaced in between, by one whose first byte is another."""
    if not request.length:
        return None
    body = bytes([answer.body[0] ^ 1]) + answer.body[1:]
    return replace(answer, headers={**answer.headers, "etag": '"another"'}, body=body)


def only_another_etag(request: Request, answer: Answer, _whole: Whole) -> Answer | None:
    """The right bytes, under another ETag."""
    return replace(answer, headers={**answer.headers, "etag": '"another"'}) if request.length else None


def broken_body(request: Request, answer: Answer, _whole: Whole) -> Answer | None:
    """A small object whose second half does not come."""
    if request.method != "GET" or request.length or answer.status != 200:
        return None
    return replace(answer, sent=len(answer.body) // 2)


def flipped_bit(request: Request, answer: Answer, _whole: Whole) -> Answer | None:
    """A small object with a wrong bit, another one each time."""
    if request.method != "GET" or request.length or answer.status != 200 or not answer.body:
        return None
    at, bit = divmod(next(_flips) * 7919 % (8 * len(answer.body)), 8)
    return replace(
        answer, body=answer.body[:at] + bytes([answer.body[at] ^ 1 << bit]) + answer.body[at + 1 :]
    )


def no_json(request: Request, answer: Answer, _whole: Whole) -> Answer | None:
    """A small object that begins with another wrong byte each time; the server's checksum is left out."""
    if request.method != "GET" or request.length or answer.status != 200:
        return None
    headers = {name: value for name, value in answer.headers.items() if not name.startswith("x-amz-checksum")}
    return Answer(200, headers, bytes([ord("a") + next(_flips) % 26]) + answer.body[1:])


def lost_answer(request: Request, answer: Answer, _whole: Whole) -> Answer | None:
    """A record that was written, and an answer that does not come."""
    if request.method != "PUT" or answer.status != 200 or "/blobs/" in request.key:
        return None
    return replace(answer, headers={**answer.headers, "content-length": "1"}, body=b" ", sent=0)


def read_answer(stream: BinaryIO, method: str) -> Answer:
    """Read one answer from a connection, after which nothing has been read of the next."""
    status = int(stream.readline().split()[1])
    headers: dict[str, str] = {}
    while (line := stream.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    if method == "HEAD" or status in NO_BODY or status < 200:
        return Answer(status, headers, b"")
    if headers.pop("transfer-encoding", "") == "chunked":
        return Answer(status, headers, b"".join(_chunks(stream)))
    length = int(headers.pop("content-length", "0"))
    return Answer(status, headers, stream.read(length))


def _chunks(stream: BinaryIO) -> "list[bytes]":
    pieces: list[bytes] = []
    while size := int(stream.readline(), 16):
        pieces.append(stream.read(size))
        stream.readline()
    stream.readline()
    return pieces
