"""TCP ports of 127.0.0.1: a free one, whether one is free, and whose processes listen on one."""

import random
import socket
from collections.abc import Collection

import psutil

from artifacts.errors import NoFreePort
from artifacts.processes import family

HOST = "127.0.0.1"
VALID = range(1, 65536)
# Below the range that Linux gives to outgoing connections (32768 and up), so that none of those takes a port
# between its being found free and the server's taking it.
PORTS = range(20_000, 32_000)


def free_port(taken: Collection[int] = ()) -> int:
    """A port that nobody listens on now, and that is not among those given out already.

    Raises:
        NoFreePort: all of them are taken.
    """
    for port in random.sample(PORTS, len(PORTS)):
        if port not in taken and _can_bind(port, reuse=False):
            return port
    raise NoFreePort(
        f"no port of {HOST} from {PORTS.start} to {PORTS.stop - 1} is free", fix="end other servers"
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    return _can_bind(port, reuse=True)


def listens(port: int, ancestor: int | None) -> bool:
    """Whether a process, or a descendant of it, listens on a port."""
    return bool(_listeners(port) & family(ancestor))


def strangers_at(port: int, ancestor: int | None) -> list[str]:
    """Name the processes that listen on a port, but are neither `ancestor` nor descend from it.

    Servers may share a port (SO_REUSEPORT), so one of `ancestor` does not exclude others.
    """
    strangers = _listeners(port) - family(ancestor)
    return sorted("a process of another user" if pid is None else f"process {pid}" for pid in strangers)


def _listeners(port: int) -> set[int | None]:
    """The ids of the processes that listen on a port; None for one of another user."""
    return {
        one.pid
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port
    }


def _can_bind(port: int, *, reuse: bool) -> bool:
    """`reuse`: as servers ask for ports, which connections that are closing do not keep from them."""
    with socket.socket() as candidate:
        if reuse:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
    return True
