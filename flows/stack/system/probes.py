"""Health probes of the components."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from flows.errors import ComponentFailed
from flows.stack.system.liveness import is_running
from flows.stack.system.processes import tail
from flows.stack.system.state import Component

HEALTH_PATHS = {"object-store": "/healthz", "prefect-server": "/api/health", "worker": "/health"}


def answers(component: Component, timeout_s: float = 3.0) -> bool:
    """Return whether the component reports itself healthy."""
    url = component.url + HEALTH_PATHS[component.name]
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:  # noqa: S310  always http on 127.0.0.1
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def listens(component: Component) -> bool:
    """Return whether the component's own processes listen on its port."""
    import psutil  # not in the light install, which never starts a stack

    port = urlsplit(component.url).port
    try:
        process = psutil.Process(component.pid)
        processes = [process, *process.children(recursive=True)]
        sockets = [socket for each in processes for socket in each.net_connections("tcp")]
    except psutil.NoSuchProcess:
        return False
    return any(socket.status == psutil.CONN_LISTEN and socket.laddr.port == port for socket in sockets)


def wait_ready(component: Component, limit_s: float, ready: Callable[[], bool] | None = None) -> None:
    """Wait until the component is healthy and listens on its own port.

    Two stacks that start at once may choose the same port, and only one of them gets it.

    Raises:
        ComponentFailed: it ended, or was not ready in time; with the tail of its log.
    """
    ready = ready or (lambda: answers(component))
    deadline = time.monotonic() + limit_s
    while not (ready() and listens(component)):
        if not is_running(component):
            raise _failed(component, "ended while starting")
        if time.monotonic() > deadline:
            raise _failed(component, f"was not ready within {limit_s:.0f} s")
        time.sleep(0.1)


def _failed(component: Component, how: str) -> ComponentFailed:
    return ComponentFailed(
        f"The {component.name} of the local stack {how}.",
        where=f"{component.log}, last lines:\n{tail(Path(component.log))}",
        fix="fix what the log reports, then run `enginery up` again",
    )
