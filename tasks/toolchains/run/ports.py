"""Whether a server can listen on an address of this host, and whether one answers there."""

import errno
import http.client
import socket

from artifacts.ports import HOST, VALID
from tasks.errors import PortUnusable

PROBE_TIMEOUT_S = 5.0
NO_ADDRESS = "{!r} is not an address that a server can listen on: {}"
ADDRESS_FIX = "name an address of this host, such as 127.0.0.1, or 0.0.0.0 for all of them"


def require_port(host: str, port: int) -> None:
    """Check that a server can listen on this address now, by listening there.

    Raises:
        PortUnusable: it cannot; the error gives the reason.
    """
    if port not in VALID:
        fix = f"name one from {VALID.start} to {VALID.stop - 1}"
        raise PortUnusable(f"{port} is not a port", where=f"{host}:{port}", fix=fix)
    # The same choice that servers make: a literal IPv6 address, or IPv4.
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            if not host:
                raise OSError("it is empty")  # noqa: TRY301  bind would take it for all addresses
            candidate.bind((host, port))
            candidate.listen(1)
        except OSError as error:
            what, fix = _in_words(error, host, port)
            raise PortUnusable(what, where=f"{host}:{port}", fix=fix) from error
        except UnicodeError as error:  # no name server could be asked for such a name
            raise PortUnusable(NO_ADDRESS.format(host, error), where=host, fix=ADDRESS_FIX) from error


def _in_words(error: OSError, host: str, port: int) -> tuple[str, str]:
    """What is wrong with an address, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken by another program", "name another port"
    if error.errno in (errno.EACCES, errno.EPERM):
        fix = "name a port of 1024 or above, or run it as a user who may use this one"
        return f"this user may not listen on port {port}", fix
    return NO_ADDRESS.format(host, error.strerror or error), ADDRESS_FIX


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
