"""TCP ports of this host: a free one, and whether a server answers on one."""

import http.client
import random
import socket

from tasks.errors import ServerNotReady

HOST = "127.0.0.1"
# Below the range that Linux gives to outgoing connections (32768 and up), so that none of those takes a port
# between its being found free and the server's taking it.
PORTS = range(20_000, 32_000)
PROBE_TIMEOUT_S = 5.0


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


def probe(port: int, path: str) -> bool:
    """Whether a GET of this path on 127.0.0.1 is answered with 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
