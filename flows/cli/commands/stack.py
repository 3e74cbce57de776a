"""`enginery up`, `down`, `status`."""

import shlex
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from artifacts.settings import Settings, load_settings
from flows.cli.console import emit, emit_json, emit_table, say
from flows.cli.context import require_local
from flows.errors import StackDown

if TYPE_CHECKING:
    from flows.stack.status import StackStatus


def up(
    *,
    prefect_port: Annotated[int | None, Parameter(help="Port of the Prefect server.")] = None,
    s3_port: Annotated[int | None, Parameter(help="Port of the S3 server.")] = None,
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
) -> None:
    """Start the local stack on 127.0.0.1 (S3 server, Prefect server with its UI, worker); deploy the flows.

    What is already running is left alone; what has died is restarted. If no port is given, the last one is
    used again, otherwise the default one, otherwise a free one.

    Exit codes: 0 everything runs; 1 a component did not become ready; 2 a port is taken or invalid.

    For example:

        enginery up
        enginery up --prefect-port 4300 --s3-port 9000
    """
    require_local()
    from flows.stack.lifecycle import up as start

    settings = load_settings()
    status = start(settings, say, prefect_port=prefect_port, s3_port=s3_port)
    if json:
        emit_json(status)
        return
    for component in status.components:
        emit(f"{component.name:<15} {component.url}")
    _say_login(status, settings)
    say('enginery finds the stack by itself; other programs do after: eval "$(enginery status --env)"')


def down() -> None:
    """Stop what `up` started, including the worker's flow runs.

    Data, credentials and ports are kept for the next `up`.

    Exit codes: 0 done, or nothing was running; 1 this host's disk is full or not writable.

    For example:

        enginery down
    """
    require_local()
    from flows.stack.lifecycle import down as stop

    count = stop(load_settings(), say)
    say(f"stopped {count} process{'' if count == 1 else 'es'}" if count else "nothing was running")


def status(
    *,
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
    env: Annotated[
        bool, Parameter(help="Print export lines for a shell, credentials included.", negative="")
    ] = False,
) -> int:
    """Show the status of the local stack, how to log in to its UI, and when the next nightly run is.

    Exit codes: 0 everything works; 5 a component does not.

    For example:

        enginery status
        enginery status --json
    """
    require_local()
    from flows.stack.status import status as stack_status

    settings = load_settings()
    found = stack_status(settings)
    if env:
        _emit_exports(settings)
    elif json:
        emit_json(found)
    else:
        rows = [
            (each.name, each.state, each.url, str(each.pid or ""), each.reason) for each in found.components
        ]
        emit_table(("component", "state", "address", "pid", "detail"), rows, empty="")
        _emit_nightly(found)
        _say_login(found, settings)
    if not found.all_up:
        say("start it with: enginery up")
    return 0 if found.all_up else StackDown.exit_code


def _emit_nightly(found: "StackStatus") -> None:
    nightly = found.nightly
    if nightly is not None:
        when = f"{nightly.time:%Y-%m-%d %H:%M} UTC" if nightly.time else f"none ({nightly.reason})"
        emit(f"next nightly run: {when}")


def _say_login(found: "StackStatus", settings: Settings) -> None:
    """Say how to log in; the UI asks for the whole string, user and password together."""
    from flows.stack.components import prefect_server
    from flows.stack.system.state import StackPaths

    server = found.component(prefect_server.NAME)
    if server.state == "up":
        secret = prefect_server.auth_string(StackPaths.below(settings.home))
        say(f"Prefect UI: {server.url}, log in with {secret} (kept in {found.auth_file})")


def _emit_exports(settings: Settings) -> None:
    from flows.stack.environment import stack_environment

    for name, value in stack_environment(settings).items():
        emit(f"export {name}={shlex.quote(value)}")
