"""A Prefect server for one run, where neither the stack runs nor the user's settings name a server.

Promises: it is the stack's application, closed to others in the same way; it keeps its data where Prefect's
own temporary server does (PREFECT_HOME); that it cannot start is known when it ends, and reported with the
end of its log; it ends with the run, however the run ends.

Prefect can start such a server by itself. It gives up after 20 s, less than a first start takes on a busy
host, starts one that fails again and again, and leaves it running if the run is killed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from artifacts.ports import HOST, free_port, strangers_at
from flows.errors import ComponentFailed, PrefectUnreachable
from flows.stack.components import prefect_server
from flows.stack.components.prefect_api import API_URL, AUTH_STRING
from flows.stack.system.child_environment import python_path
from flows.stack.system.liveness import birth, is_running
from flows.stack.system.probes import wait_ready
from flows.stack.system.processes import OWNER, end, spawn, tail
from flows.stack.system.state import Component

READY_LIMIT_S = 180.0  # the first start sets up a database, perhaps on a busy machine
GRACE_S = 10.0
PORT_ATTEMPTS = 3
TITLE = "Prefect's temporary server"
FIX = "fix what they report; or start the local stack (`enginery up`), which has its own data"


@contextmanager
def temporary_server() -> Iterator[None]:
    """Start a server, lead Prefect's clients in this process to it for good, and end it on leaving.

    Raises:
        PrefectUnreachable: it did not become ready.
    """
    import prefect.context

    with TemporaryDirectory(prefix="enginery-prefect-") as folder, _started(Path(folder)) as variables:
        os.environ.update(variables)
        prefect.context.refresh_global_settings_context()
        yield


def require_allowed() -> None:
    """Check that Prefect's settings allow a temporary server.

    Raises:
        PrefectUnreachable: they do not.
    """
    from prefect.settings import get_current_settings

    if not get_current_settings().server.ephemeral.enabled:
        raise PrefectUnreachable(
            "no Prefect server is configured, and Prefect's settings forbid a temporary one",
            where="PREFECT_SERVER_ALLOW_EPHEMERAL_MODE (`prefect config view` shows what sets it)",
            fix="enginery up; or set PREFECT_API_URL",
        )


@contextmanager
def _started(folder: Path) -> Iterator[dict[str, str]]:
    """Run a server with its log in a folder; yield the variables that lead clients to it."""
    secret = prefect_server.new_auth_string()
    component = _ready(folder, secret)
    try:
        # Its UI ends with it, so no message should lead there.
        yield {API_URL: prefect_server.api_url(component.url), AUTH_STRING: secret, "PREFECT_UI_URL": ""}
    finally:
        _end(component)


def _ready(folder: Path, secret: str) -> Component:
    """Start a server and wait for it; on another port if a stranger took the chosen one meanwhile."""
    for attempt in range(1, PORT_ATTEMPTS + 1):
        port = free_port()
        component = _spawn(folder / f"server-{attempt}.log", port, secret)
        try:
            wait_ready(component, READY_LIMIT_S, title=TITLE)
        except ComponentFailed as error:
            _end(component)
            if attempt == PORT_ATTEMPTS or not strangers_at(port, component.pid):
                raise PrefectUnreachable(
                    error.what, where=f"its last lines:\n{tail(Path(component.log))}", fix=FIX
                ) from error
        except BaseException:
            _end(component)
            raise
        else:
            return component
    raise AssertionError("unreachable: the last attempt returns or raises")


def _spawn(log: Path, port: int, secret: str) -> Component:
    url = f"http://{HOST}:{port}"
    own = {
        "PYTHONPATH": python_path(),
        "PREFECT_SERVER_UI_ENABLED": "false",
        OWNER: str(os.getpid()),
    }
    env = {**os.environ, **prefect_server.protection(port, secret), **own}
    process = spawn(prefect_server.command(), env=env, cwd=log.parent, log=log)
    return Component(
        name=prefect_server.NAME, pid=process.pid, birth=birth(process.pid), url=url, log=str(log)
    )


def _end(component: Component) -> None:
    if is_running(component):
        end([psutil.Process(component.pid)], GRACE_S)
