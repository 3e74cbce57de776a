"""The Prefect server of the local stack, with data and profile of its own."""

import os
import sys

from flows.stack.ports import HOST
from flows.stack.state import StackPaths

NAME = "prefect-server"
PORT = "prefect"
DEFAULT_PORT = 4200

# What is run here reports to nobody.
QUIET = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


def command(ports: dict[str, int]) -> list[str]:
    """The argument list that serves API and UI."""
    return [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(ports[PORT])]


def environment(paths: StackPaths) -> dict[str, str]:
    """Our environment without any Prefect setting of the user's, and with the stack's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | QUIET | {"PREFECT_HOME": str(paths.prefect_home)}


def server_environment(paths: StackPaths, url: str) -> dict[str, str]:
    """The environment of the server itself. Its UI asks port 4200, whatever the server's own port is,
    unless told.
    """
    return environment(paths) | {"PREFECT_SERVER_UI_API_URL": api_url(url), "PREFECT_UI_URL": url}


def api_url(url: str) -> str:
    """Address of the API, given that of the server."""
    return f"{url}/api"
