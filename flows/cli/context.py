"""What commands work with: the environment of the local stack, the store."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from artifacts.settings import Settings
from flows.cli.console import say
from flows.errors import INSTALL_FIX, ExtraMissing, StackDown

if TYPE_CHECKING:
    from artifacts.releases import Release
    from artifacts.store import Store


def use_local_stack(settings: Settings) -> None:
    """Point the standard variables that the user has not set to the running local stack, and say so."""
    from flows.stack.environment import local_environment

    found = local_environment(settings)
    if not found:
        return
    os.environ.update(found)
    parts = [
        f"{label} {found[name]}"
        for label, name in (("S3", "AWS_ENDPOINT_URL_S3"), ("Prefect", "PREFECT_API_URL"))
        if name in found
    ]
    say(f"using the local stack: {', '.join(parts)}")


def require_orchestrator(settings: Settings) -> None:
    """Use the local stack for a command that runs flows; check that the configured Prefect server answers.

    If none is configured, check that `orchestrator` may start one.

    Raises:
        PrefectUnreachable: the server does not answer, or denies access; or a new one is forbidden.
        artifacts.errors.SettingsInvalid: Prefect's client would refuse a proxy or certificates.
        LocalDiskError, BadPath: Prefect cannot keep a new server's data on this host.
    """
    from flows.stack.components.prefect_server import NO_TELEMETRY

    use_local_stack(settings)
    # Prefect reads it once, so it is set before anything else that reads Prefect's settings.
    for name, value in NO_TELEMETRY.items():
        os.environ.setdefault(name, value)
    from flows.stack.components.configured_server import configured_url, require_answer
    from flows.stack.components.temporary_server import require_allowed

    if configured_url():
        require_answer()
    else:
        require_allowed()
        require_writable(Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser())


@contextmanager
def orchestrator() -> Iterator[None]:
    """Provide a Prefect server for the flows that run inside, of which `require_orchestrator` was true.

    It is the local stack's or the configured one; otherwise one is started that ends with this context.

    Raises:
        PrefectUnreachable: a new server cannot start.
    """
    from flows.stack.components.configured_server import configured_url
    from flows.stack.components.temporary_server import temporary_server

    if configured_url():
        yield
        return
    say("starting a Prefect server for this run alone; `enginery up` starts one that stays, with its UI")
    with temporary_server():
        from flows.prefect_run import deliver

        try:
            yield
        finally:
            deliver()


def open_local_or_configured_store(settings: Settings) -> "Store":
    """Open the store that the environment names, otherwise that of the local stack.

    Raises:
        StackDown: there is neither.
        StoreUnreachable: the AWS configuration cannot be read.
    """
    from artifacts.store import has_access, open_store
    from flows.stack.environment import STORE_CHOICES

    use_local_stack(settings)
    store = open_store(settings)
    if not any(os.environ.get(name) for name in STORE_CHOICES) and not has_access(settings):
        raise StackDown(
            "the local stack's S3 server is not running, and no other store is configured",
            fix="enginery up; or set AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for "
            "another store",
        )
    return store


def named_release(store: "Store", reference: str) -> "Release":
    """Return the release that a reference names; say which one it is if the reference leaves that open."""
    from artifacts.releases import resolve

    resolved = resolve(store, reference)
    if resolved.reason:
        say(resolved.reason)
    return resolved.release


def require_pipeline() -> None:
    """Check that the packages that a building host needs are installed.

    Raises:
        ExtraMissing: one of them is not.
    """
    from importlib.util import find_spec

    missing = [
        name
        for name in ("prefect", "huggingface_hub", "scipy", "aiohttp", "jinja2")
        if find_spec(name) is None
    ]
    if missing:
        raise ExtraMissing(
            f"this command needs packages that are not installed: {', '.join(missing)}",
            fix=INSTALL_FIX,
        )


def require_local() -> None:
    """Check that the packages of the local stack are installed.

    Raises:
        ExtraMissing: one of them is not.
    """
    from importlib.util import find_spec

    missing = [name for name in ("prefect", "psutil") if find_spec(name) is None]
    if missing:
        raise ExtraMissing(
            f"the local stack needs packages that are not installed: {', '.join(missing)}",
            fix=INSTALL_FIX,
        )


def require_writable(directory: Path) -> None:
    """Make a directory if it is missing, and check that it can be written to.

    Raises:
        LocalDiskError, BadPath: it cannot.
    """
    from artifacts.disk import disk_errors

    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=directory) as file:
            file.write(b"enginery")
