"""TCP ports of this host: a free one, whether one can be taken, and whether a server answers on one."""

import errno
import http.client
import random
import socket

from tasks.errors import PortUnusable, ServerNotReady

HOST = "127.0.0.1"
# Below the range that Linux gives to outgoing connections (32768 and up), so that none of those takes a port
# between its being found free and the server's taking it.
PORTS = range(20_000, 32_000)
PROBE_TIMEOUT_S = 5.0
VALID = range(1, 65536)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as candidate:
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerNotReady(
        f"no port of {HOST} between {PORTS.start} and {PORTS.stop} is free", fix="end other servers"
    )


def require_port(host: str, port: int) -> None:
    """Check that a server can listen on this address now, by listening there.

    Raises:
        PortUnusable: it cannot, with the reason in words.
    """
    where = f"{host}:{port}"
    if port not in VALID:
        raise PortUnusable(
            f"{port} is no port.", where=where, fix=f"name one from {VALID.start} to {VALID.stop - 1}"
        )
    # As the servers choose it: a literal IPv6 address, or IPv4.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
            candidate.listen(1)
        except (
            OSError,
            UnicodeError,
        ) as error:  # UnicodeError: a name that no name server could be asked for
            raise _unusable(error, host, port) from error


def _unusable(error: OSError | UnicodeError, host: str, port: int) -> PortUnusable:
    where = f"{host}:{port}"
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            return PortUnusable(
                f"Port {port} is taken by another program.", where=where, fix="name another port"
            )
        case errno.EACCES | errno.EPERM:
            fix = "name a port from 1024 on, or run it as a user who may use this one"
            return PortUnusable(f"This user may not listen on port {port}.", where=where, fix=fix)
    fix = "name an address of this host, such as 127.0.0.1, or 0.0.0.0 for all of them"
    return PortUnusable(f"{host!r} is no address that a server can listen on: {error}.", where=where, fix=fix)


def probe(port: int, path: str, host: str = HOST) -> bool:
    """Whether a GET of this path is answered with 200."""
    connection = http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
