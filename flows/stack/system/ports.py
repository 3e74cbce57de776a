"""Choosing ports on 127.0.0.1."""

import socket
from collections.abc import Collection

from flows.errors import PortBusy

HOST = "127.0.0.1"
# Names by which a browser on this host reaches HOST; nobody else can make them resolve to another address.
OWN_NAMES = (HOST, "localhost")
VALID = range(1, 65536)


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def any_free(taken: Collection[int] = ()) -> int:
    """Return a free port that is not among those already taken."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def require_valid(use: str, requested: int | None) -> None:
    """Raise PortBusy if the requested port is not a port."""
    if requested is not None and requested not in VALID:
        raise PortBusy(
            f"{requested} is not a port.",
            where=f"requested for {use}",
            fix=f"name one from {VALID.start} to {VALID.stop - 1}, or none to have one chosen",
        )


def choose(
    name: str, *, requested: int | None, preferred: int, taken: Collection[int] = ()
) -> tuple[int, str]:
    """Choose the requested port, otherwise the preferred one, otherwise any free one; say why.

    Raises:
        PortBusy: the requested port is taken.
    """
    if requested is not None:
        if not is_free(requested):
            raise PortBusy(
                f"Port {requested} is taken by another program.",
                where=f"{HOST}:{requested}, requested for the {name}",
                fix="name another port, or none to have one chosen",
            )
        return requested, "as requested"
    if preferred not in taken and is_free(preferred):
        return preferred, "free"
    return any_free(taken), f"{preferred} is taken by another program"
