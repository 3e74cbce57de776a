"""Applying prefect.yaml to the stack's Prefect server."""

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from flows.errors import ComponentFailed
from flows.stack.components.prefect_api import PrefectApi
from flows.stack.system.processes import tail

_TIME_LIMIT_S = 120


def digest(checkout: Path, server_url: str) -> str:
    """Return a digest of everything that deploying depends on: prefect.yaml, the flows and the spec files."""
    sources = [
        checkout / "prefect.yaml",
        *checkout.glob("flows/*.py"),
        *checkout.glob("engine_specs/**/*.yaml"),
    ]
    digest = hashlib.sha256(server_url.encode())
    for path in sorted(path for path in sources if path.exists()):
        digest.update(f"{path.relative_to(checkout)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def missing(checkout: Path, api: PrefectApi) -> tuple[str, ...]:
    """Return the names of the deployments of prefect.yaml that the server does not have.

    Somebody may have deleted one in the UI, or the server's database: then no schedule would ever fire.
    Raises OSError if the server does not answer.
    """
    declared = yaml.safe_load((checkout / "prefect.yaml").read_bytes())["deployments"]
    names = [entry["name"] for entry in declared]
    answer = api.post("deployments/filter", {"deployments": {"name": {"any_": names}}})
    known = {entry["name"] for entry in answer}
    return tuple(name for name in names if name not in known)


def deploy(checkout: Path, *, env: Mapping[str, str], log: Path) -> None:
    """Apply every deployment of prefect.yaml.

    Raises:
        ComponentFailed: Prefect refused one of them, or took too long.
    """
    argv = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            subprocess.run(
                argv,
                cwd=checkout,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_TIME_LIMIT_S,
                check=True,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise ComponentFailed(
                "the deployments of prefect.yaml could not be applied",
                where=f"{log}, last lines:\n{tail(log)}",
                fix="fix what the log reports, then run `enginery up` again; the servers themselves are up",
            ) from error
