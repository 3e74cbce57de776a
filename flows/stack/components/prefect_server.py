"""The Prefect server of the local stack, with data, profile and credentials of its own.

Its API is open to whoever has the credentials: clients of Prefect, and the UI, which asks for them once.
"""

import os
import secrets
import sys

from flows.stack.components.prefect_api import API_URL, AUTH_STRING, PrefectApi
from flows.stack.system.child_environment import SERVERS, inherited, python_path
from flows.stack.system.ports import HOST, OWN_NAMES
from flows.stack.system.private_files import write_private
from flows.stack.system.state import StackPaths

NAME = "prefect-server"
PORT = "prefect"
DEFAULT_PORT = 4200

# What is run here reports to nobody.
QUIET = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
_USER = "enginery"


def command() -> list[str]:
    """The argument list that serves API and UI."""
    return [sys.executable, "-m", "flows.stack.components.prefect_app"]


def auth_string(paths: StackPaths) -> str:
    """What clients and the UI show to be let in, "user:password"; made on first use, in a file that its owner
    alone can read.
    """
    if not paths.prefect_auth_file.exists():
        write_private(paths.prefect_auth_file, f"{_USER}:{secrets.token_urlsafe(24)}".encode())
    return paths.prefect_auth_file.read_text()


def own_variables(paths: StackPaths) -> dict[str, str]:
    """What every program of the stack that uses Prefect is given: the stack's own directory, no telemetry."""
    return QUIET | {"PREFECT_HOME": str(paths.prefect_home)}


def server_environment(paths: StackPaths, url: str, port: int) -> dict[str, str]:
    """The environment of the server itself. Its UI asks port 4200, whatever the server's own port is,
    unless told.
    """
    return {
        **inherited(SERVERS),
        **own_variables(paths),
        "PYTHONPATH": python_path(),
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_API_URL": api_url(url),
        "PREFECT_UI_URL": url,
        "PREFECT_SERVER_API_AUTH_STRING": auth_string(paths),
        # Services of the server use its API as clients do.
        AUTH_STRING: auth_string(paths),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{name}:{port}" for name in OWN_NAMES),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }


def client_environment(paths: StackPaths, url: str) -> dict[str, str]:
    """The variables that lead Prefect's clients to the server; clients send nobody figures of their use."""
    return QUIET | {API_URL: api_url(url), AUTH_STRING: auth_string(paths)}


def api(paths: StackPaths, url: str) -> PrefectApi:
    """The server's API, given the server's address."""
    return PrefectApi(api_url(url), auth_string(paths))


def api_url(url: str) -> str:
    """Address of the API, given that of the server."""
    return f"{url}/api"


def protect_temporary_server() -> None:
    """Where Prefect will start a server for this one run, keep others out of it, as of the stack's own.

    Such a server listens on a port of this host, with the user's own Prefect database behind it.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import prefect.context
    from prefect.settings import get_current_settings

    # Besides the variable, a profile or a file of the user's may name a server.
    if get_current_settings().api.url:
        return
    secret = f"{_USER}:{secrets.token_urlsafe(24)}"
    os.environ.update(
        {
            "PREFECT_SERVER_API_AUTH_STRING": secret,
            AUTH_STRING: secret,
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",
        }
    )
    prefect.context.refresh_global_settings_context()
