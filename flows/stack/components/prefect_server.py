"""The Prefect server of the local stack, with its own data, profile and credentials.

Its API is open to whoever has the credentials: Prefect's clients, and the UI, which asks for them once.
"""

import re
import secrets
import sys

from artifacts.errors import BadPath
from artifacts.ports import HOST
from flows.errors import CredentialsDamaged
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
LOGIN = re.compile(r"[!-9;-~]+:[!-~]+")  # printable ASCII, which an HTTP header can carry


def command() -> list[str]:
    """Return the command that serves the API and the UI."""
    return [sys.executable, "-m", "flows.stack.components.prefect_app"]


def auth_string(paths: StackPaths) -> str:
    """Return the login of clients and the UI, "user:password".

    It is created on first use, in a file that only its owner can read.

    Raises:
        CredentialsDamaged: the file does not hold one.
    """
    path = paths.prefect_auth_file
    if not path.exists():
        write_private(path, new_auth_string().encode())
    login = path.read_text(encoding="utf-8", errors="replace").strip()  # an editor ends the line
    if not LOGIN.fullmatch(login):
        raise CredentialsDamaged.at(path)
    return login


def require_usable(paths: StackPaths) -> None:
    """Refuse a directory that cannot be part of the address of a database, where `?` begins the options.

    Prefect would keep its data in another directory, outside the stack's own.

    Raises:
        BadPath: it has a question mark.
    """
    if "?" in str(paths.prefect_home):
        raise BadPath(
            "a question mark cannot be part of the path of the local stack",
            where=str(paths.prefect_home),
            fix="choose another ENGINERY_HOME",
        )


def new_auth_string() -> str:
    """Return a login that nobody has yet, "user:password"."""
    return f"{_USER}:{secrets.token_urlsafe(24)}"


def stack_variables(paths: StackPaths) -> dict[str, str]:
    """Return the variables of every program of the stack that uses Prefect: its directory, no telemetry."""
    return NO_TELEMETRY | {"PREFECT_HOME": str(paths.prefect_home)}


def server_environment(paths: StackPaths, url: str, port: int) -> dict[str, str]:
    """Return the whole environment of the stack's server.

    Without PREFECT_SERVER_UI_API_URL its UI would send requests to port 4200, whatever the server's port is.
    """
    return {
        **inherited(SERVERS),
        **stack_variables(paths),
        "PYTHONPATH": python_path(),
        **protection(port, auth_string(paths)),
        "PREFECT_SERVER_UI_API_URL": api_url(url),
        "PREFECT_UI_URL": url,
    }


def protection(port: int, login: str) -> dict[str, str]:
    """Return the variables of a server that listens on this host alone, and asks for a login.

    Args:
        port: the port that it listens on.
        login: "user:password".
    """
    return {
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_AUTH_STRING": login,
        # The server's own services use its API as clients do.
        AUTH_STRING: login,
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
