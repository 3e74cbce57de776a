"""The process worker of the local stack: runs flows of the pool `enginery-cpu` on this machine.

Run as a program, it first closes the runs that a former worker left behind, then becomes Prefect's worker.
"""

import json
import os
import sys
import urllib.error
from http import HTTPStatus

from artifacts.ports import HOST
from artifacts.settings import Settings
from flows.stack.components import object_store, prefect_server
from flows.stack.components.prefect_api import PrefectApi
from flows.stack.system.child_environment import WORKER, checkout, inherited, python_path
from flows.stack.system.state import StackPaths

NAME = "worker"
HEALTH_PORT = "worker.health"
POOL = "enginery-cpu"


def command() -> list[str]:
    """Return the command that starts this module as a program."""
    return [sys.executable, "-m", "flows.stack.components.worker"]


def has_pool(api: PrefectApi) -> bool:
    """Return whether the server knows the worker's pool, which the worker creates once it is up.

    Raises urllib.error.HTTPError if the server refuses to answer.
    """
    try:
        api.get(f"work_pools/{POOL}")
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return False
        raise
    except OSError:  # too busy to answer; the caller's time limit decides how long that may be
        return False
    return True


def environment(
    paths: StackPaths, settings: Settings, ports: dict[str, int], urls: dict[str, str]
) -> dict[str, str]:
    """Return the environment of the worker and its flow runs: the stack's servers, this host's settings.

    Args:
        paths: directories of the stack.
        settings: resolved settings; passed on because the worker may have another working directory.
        ports: ports of the stack.
        urls: addresses of the object store and the Prefect server, by component name.
    """
    return {
        **inherited(WORKER),
        **prefect_server.stack_variables(paths),
        **prefect_server.client_environment(paths, urls[prefect_server.NAME]),
        **store_environment(paths, urls[object_store.NAME]),
        **_settings_environment(settings),
        "PREFECT_WORKER_WEBSERVER_HOST": HOST,
        "PREFECT_WORKER_WEBSERVER_PORT": str(ports[HEALTH_PORT]),
        # Half the default: a run that someone starts in the UI should begin soon.
        "PREFECT_WORKER_QUERY_SECONDS": "5",
        "PYTHONPATH": python_path(),
        "ENGINERY_CHECKOUT": str(checkout()),
    }


def store_environment(paths: StackPaths, url: str) -> dict[str, str]:
    """Return the standard AWS variables that lead to the stack's store."""
    key, secret = object_store.credentials(paths)
    return {
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": object_store.REGION,
        "AWS_DEFAULT_REGION": object_store.REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _settings_environment(settings: Settings) -> dict[str, str]:
    values = settings.model_dump(mode="json", exclude_none=True)
    return {f"ENGINERY_{name.upper()}": _as_text(value) for name, value in values.items()}


def _as_text(value: object) -> str:
    """A setting as its variable holds it."""
    return json.dumps(value) if isinstance(value, dict) else str(value)


def main() -> None:
    """Close the runs that a former worker left, then become Prefect's worker."""
    from flows.stack.components.orphans import reconcile_orphans

    for line in reconcile_orphans(PrefectApi.of(os.environ)):
        print(line, flush=True)
    argv = [
        sys.executable,
        "-m",
        "prefect",
        "worker",
        "start",
        "--pool",
        POOL,
        "--type",
        "process",
        "--with-healthcheck",
    ]
    os.execv(sys.executable, argv)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main()
