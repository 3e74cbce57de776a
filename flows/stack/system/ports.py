"""Choosing ports on 127.0.0.1."""

import socket
from collections.abc import Collection

from flows.errors import PortBusy

HOST = "127.0.0.1"
# Names under which a browser on this host reaches HOST; nobody else can make them lead elsewhere.
OWN_NAMES = (HOST, "localhost")
VALID = range(1, 65536)


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def any_free(taken: Collection[int] = ()) -> int:
    """A free port that is not among those already given out."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def require_valid(use: str, asked: int | None) -> None:
    """Raise PortBusy where a port was asked for that cannot exist."""
    if asked is not None and asked not in VALID:
        raise PortBusy(
            f"{asked} is no port.",
            where=f"asked for {use}",
            fix=f"name one from {VALID.start} to {VALID.stop - 1}, or none to let one be chosen",
        )


def choose(name: str, *, asked: int | None, preferred: int, taken: Collection[int] = ()) -> tuple[int, str]:
    """A port and the reason for it: the one asked for, else the preferred one, else any free one.

    Raises:
        PortBusy: the port asked for is taken.
    """
    if asked is not None:
        if not is_free(asked):
            raise PortBusy(
                f"Port {asked} is taken by another program.",
                where=f"{HOST}:{asked}, asked for the {name}",
                fix="name another port, or none to let one be chosen",
            )
        return asked, "as asked"
    if preferred not in taken and is_free(preferred):
        return preferred, "free"
    return any_free(taken), f"{preferred} is taken by another program"
