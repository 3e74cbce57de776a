"""The standard variables that point a command to the local stack, unless the user has set them."""

import os
from collections.abc import Mapping

from artifacts.settings import Settings
from flows.stack.system.state import StackPaths, read_state

# If any of these is set, the user means a store, or a Prefect server, of their own. Mixing the two would send
# credentials to the wrong server, so each group is used as a whole or not at all.
STORE_CHOICES = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_PROFILE",
)
PREFECT_CHOICES = ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE")


def local_environment(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that lead to the running local stack, without those that the user has set.

    Empty if no stack is running. A component that is down contributes nothing.
    """
    paths = StackPaths.below(settings.home)
    if not paths.state_file.exists():
        return {}
    return {
        **_unless(STORE_CHOICES, environ, _store_variables(paths)),
        **_unless(PREFECT_CHOICES, environ, _prefect_variables(paths)),
    }


def stack_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that lead to the running local stack, whatever the user's environment says."""
    return local_environment(settings, {})


def _unless(choices: tuple[str, ...], environ: Mapping[str, str], ours: dict[str, str]) -> dict[str, str]:
    return {} if any(environ.get(name) for name in choices) else ours


def _store_variables(paths: StackPaths) -> dict[str, str]:
    from flows.stack.components.object_store import NAME
    from flows.stack.components.worker import store_environment

    url = _url(paths, NAME)
    return store_environment(paths, url) if url else {}


def _prefect_variables(paths: StackPaths) -> dict[str, str]:
    from flows.stack.components.prefect_server import NAME, client_environment

    url = _url(paths, NAME)
    return client_environment(paths, url) if url else {}


def _url(paths: StackPaths, name: str) -> str:
    from flows.stack.system.liveness import is_running

    component = read_state(paths).components.get(name)
    return component.url if component and is_running(component) else ""
