"""What somebody without credentials can get of the servers on this host."""

import encodings.idna  # noqa: F401  what looks names up would import it, and may not be able to as another user
import http.client
import multiprocessing
import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import psutil

T = TypeVar("T")
NOBODY = 65534
ANSWER_LIMIT_S = 10
METHODS = ("GET", "POST", "PUT", "DELETE")


class Answer(NamedTuple):
    """A request that was served."""

    owner: str
    method: str
    path: str
    status: int


class Door(NamedTuple):
    """A port that a process listens on."""

    owner: str
    port: int


def as_nobody(probe: Callable[[], T]) -> T:
    """Run a function as another user; returns what it does.

    In a fork: another user may not be able to read this interpreter. Only root can become another user; as
    anybody else the function runs without credentials all the same.
    """
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)

    def child() -> None:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        sending.send(probe())

    process = context.Process(target=child)
    process.start()
    sending.close()
    try:
        return receiving.recv()
    finally:
        process.join()


def _connections(process: psutil.Process, kind: str) -> list[Any]:
    """The connections of a process; none if it has ended since it was listed."""
    try:
        return list(process.net_connections(kind))
    except psutil.NoSuchProcess:
        return []


def doors(processes: Mapping[str, Iterable[psutil.Process]]) -> list[Door]:
    """The TCP ports that processes listen on."""
    return [
        Door(owner, connection.laddr.port)
        for owner, family in processes.items()
        for process in family
        for connection in _connections(process, "tcp")
        if connection.status == psutil.CONN_LISTEN
    ]


def sockets(processes: Mapping[str, Iterable[psutil.Process]]) -> list[Path]:
    """The Unix sockets that processes made."""
    found = {
        Path(process.cwd(), connection.laddr)
        for family in processes.values()
        for process in family
        for connection in _connections(process, "unix")
        if connection.laddr and not str(connection.laddr).startswith("@")
    }
    return sorted(path for path in found if path.is_socket())


def knock(at: Iterable[Door], paths: Iterable[str], headers: Mapping[str, str]) -> list[Answer]:
    """Ask every port for every path by every method, in plain text and by TLS; returns what was served."""
    wanted = [(method, path) for path in paths for method in METHODS]
    return [
        Answer(door.owner, method, path, status)
        for door in at
        for method, path in wanted
        for tls in (False, True)
        if (status := ask(door.port, method, path, headers, tls=tls)) is not None and status < 400
    ]


def ask(port: int, method: str, path: str, headers: Mapping[str, str], *, tls: bool = False) -> int | None:
    """The status of an answer; None where there was none."""
    if tls:
        anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=ANSWER_LIMIT_S, context=anything
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_LIMIT_S)
    body: Any = b"{}" if method in {"POST", "PUT"} else None
    try:
        connection.request(method, path, body=body, headers=dict(headers))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
