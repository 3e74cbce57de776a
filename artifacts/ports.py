"""TCP ports of 127.0.0.1: a free one, and whether one is free."""

import random
import socket
from collections.abc import Collection

from artifacts.errors import NoFreePort

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
