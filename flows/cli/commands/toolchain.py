"""`enginery toolchain list|install`."""

from collections.abc import Iterator
from typing import Annotated

from cyclopts import App, Parameter

from artifacts.settings import Settings, load_settings
from flows.cli.console import emit, emit_json, emit_table, say
from flows.errors import BadArgument
from tasks.toolchains import Declaration, NotInstalled, Toolchain, declared, ensure, status

app = App(
    name="toolchain",
    help="The isolated environments of the heavy tools: list, install.",
    help_format="markdown",
)


@app.command(name="list")
def list_all(
    *, json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False
) -> None:
    """List the toolchains, which are installed, and why this host cannot have some of them.

    Exit codes: 0 done.

    For example:

        enginery toolchain list
        enginery toolchain list --json
    """
    settings = load_settings()
    found = {each.name: (each, status(each.name, settings)) for each in declared().values()}
    if json:
        emit_json([_document(*each) for each in found.values()])
        return
    columns = ("name", "tool", "accelerator", "state", "end of life", "purpose")
    emit_table(
        columns, [_row(*each) for each in found.values()], empty="no toolchain is declared", wraps="purpose"
    )
    for name, (_, state) in found.items():
        for obstacle in state.obstacles if isinstance(state, NotInstalled) else ():
            say(f"{name}: {obstacle.reason}")


@app.command
def install(
    name: Annotated[str, Parameter(help="Name of a toolchain, or `all` for all that this host can hold.")],
) -> None:
    """Install a toolchain, or find it installed; prints its directory.

    Exit codes: 0 done; 1 it could not be installed; 2 there is none of that name; 4 this host cannot hold it.

    For example:

        enginery toolchain install aot-serve-cpu
        enginery toolchain install all
    """
    settings = load_settings()
    if name not in {"all", *declared()}:
        raise BadArgument(
            f"There is no toolchain {name!r}.", fix=f"name one of {', '.join(declared())}, or all"
        )
    for each in _possible(settings) if name == "all" else (name,):
        emit(str(ensure(each, settings, say).root))


def _possible(settings: Settings) -> Iterator[str]:
    for name in declared():
        found = status(name, settings)
        if isinstance(found, NotInstalled) and found.obstacles:
            say(f"{name}: left out, {found.reason}")
        else:
            yield name


def _row(declaration: Declaration, found: Toolchain | NotInstalled) -> tuple[str, ...]:
    end = declaration.end_of_life
    return (
        declaration.name,
        f"{declaration.tool} {declaration.tool_version()}",
        declaration.accelerator,
        _state(found),
        str(end.date) if end else "",
        declaration.purpose,
    )


def _state(found: Toolchain | NotInstalled) -> str:
    if isinstance(found, Toolchain):
        return "installed"
    return "not on this host" if found.obstacles else "not installed"


def _document(declaration: Declaration, found: Toolchain | NotInstalled) -> dict[str, object]:
    installed = found if isinstance(found, Toolchain) else None
    missing = found if isinstance(found, NotInstalled) else None
    return {
        "name": declaration.name,
        "tool": f"{declaration.tool} {declaration.tool_version()}",
        "accelerator": declaration.accelerator,
        "machine": declaration.machine,
        "state": _state(found),
        "installed": installed is not None,
        "reason": missing and missing.reason,
        "obstacles": [each.model_dump() for each in missing.obstacles] if missing else [],
        "end_of_life": declaration.end_of_life and declaration.end_of_life.model_dump(mode="json"),
        "purpose": declaration.purpose,
        "identity": installed and installed.identity,
        "root": installed and str(installed.root),
    }
