"""The Prefect server of the local stack, with its own data, profile and credentials.

Its API is open to whoever has the credentials: Prefect's clients, and the UI, which asks for them once.
"""

import os
import secrets
import sys

from artifacts.ports import HOST
from flows.stack.components.prefect_api import API_URL, AUTH_STRING, PrefectApi
from flows.stack.system.child_environment import SERVERS, inherited, python_path
from flows.stack.system.ports import OWN_NAMES
from flows.stack.system.private_files import write_private
from flows.stack.system.state import StackPaths

NAME = "prefect-server"
PORT = "prefect"
DEFAULT_PORT = 4200

# Nothing that runs here sends telemetry.
NO_TELEMETRY = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
_USER = "enginery"


def command() -> list[str]:
    """Return the command that serves the API and the UI."""
    return [sys.executable, "-m", "flows.stack.components.prefect_app"]


def auth_string(paths: StackPaths) -> str:
    """Return the login of clients and the UI, "user:password".

    It is created on first use, in a file that only its owner can read.
    """
    if not paths.prefect_auth_file.exists():
        write_private(paths.prefect_auth_file, f"{_USER}:{secrets.token_urlsafe(24)}".encode())
    return paths.prefect_auth_file.read_text()


def stack_variables(paths: StackPaths) -> dict[str, str]:
    """Return the variables of every program of the stack that uses Prefect: its directory, no telemetry."""
    return NO_TELEMETRY | {"PREFECT_HOME": str(paths.prefect_home)}


def server_environment(paths: StackPaths, url: str, port: int) -> dict[str, str]:
    """Return the environment of the server itself.

    Without PREFECT_SERVER_UI_API_URL its UI would send requests to port 4200, whatever the server's port is.
    """
    return {
        **inherited(SERVERS),
        **stack_variables(paths),
        "PYTHONPATH": python_path(),
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_API_URL": api_url(url),
        "PREFECT_UI_URL": url,
        "PREFECT_SERVER_API_AUTH_STRING": auth_string(paths),
        # The server's own services use its API as clients do.
        AUTH_STRING: auth_string(paths),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{name}:{port}" for name in OWN_NAMES),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }


def client_environment(paths: StackPaths, url: str) -> dict[str, str]:
    """Return the variables that lead Prefect's clients to the server, and turn their telemetry off."""
    return NO_TELEMETRY | {API_URL: api_url(url), AUTH_STRING: auth_string(paths)}


def api(paths: StackPaths, url: str) -> PrefectApi:
    """Return the server's API, given the server's address."""
    return PrefectApi(api_url(url), auth_string(paths))


def api_url(url: str) -> str:
    """Return the address of the API, given that of the server."""
    return f"{url}/api"


def protect_temporary_server() -> None:
    """If Prefect is going to start a server for this run alone, protect it like the stack's own.

    Such a server listens on a port of this host and uses the user's own Prefect database.
    """
    for name, value in NO_TELEMETRY.items():
        os.environ.setdefault(name, value)
    import prefect.context
    from prefect.settings import get_current_settings

    # Apart from the variable, a profile or a file of the user may name a server.
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
