"""Health probes of the components."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from artifacts.ports import listens
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


def port_of(component: Component) -> int:
    """Return the port that the component's server listens on."""
    return int(component.url.rsplit(":", 1)[1])


def wait_ready(
    component: Component, limit_s: float, ready: Callable[[], bool] | None = None, title: str = ""
) -> None:
    """Wait until the component is healthy and listens on its own port; an error calls it by the title.

    Two stacks that start at once may choose the same port, and only one of them gets it.

    Raises:
        ComponentFailed: it ended, or was not ready in time; with the tail of its log.
    """
    ready = ready or (lambda: answers(component))
    title = title or f"the {component.name} of the local stack"
    deadline = time.monotonic() + limit_s
    while not (ready() and listens(port_of(component), component.pid)):
        if not is_running(component):
            raise _failed(component, f"{title} ended while starting")
        if time.monotonic() > deadline:
            raise _failed(component, f"{title} was not ready within {limit_s:.0f} s")
        time.sleep(0.1)


def _failed(component: Component, what: str) -> ComponentFailed:
    return ComponentFailed(
        what,
        where=f"{component.log}, last lines:\n{tail(Path(component.log))}",
        fix="fix what the log reports, then run `enginery up` again",
    )
