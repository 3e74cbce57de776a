"""`enginery toolchain list|install`."""

from typing import Annotated

from cyclopts import App, Parameter

from artifacts.settings import Settings
from flows.commands.console import emit, emit_json, emit_table, say
from flows.commands.context import load_settings
from flows.errors import BadArgument
from tasks.toolchains import Declaration, Toolchain, declared, ensure, status

app = App(
    name="toolchain",
    help="The isolated environments of the heavy tools: list, install.",
    help_format="plaintext",
)


@app.command(name="list")
def list_all(
    *, json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False
) -> None:
    """List the toolchains, and which of them are installed."""
    settings = load_settings()
    found = [_describe(declaration, settings) for declaration in declared().values()]
    if json:
        emit_json(found)
        return
    columns = ("name", "tool", "accelerator", "state", "purpose")
    emit_table(
        columns, [tuple(str(entry[column]) for column in columns) for entry in found], empty="none declared"
    )


@app.command
def install(name: Annotated[str, Parameter(help="Name of a toolchain, or `all`.")]) -> None:
    """Install a toolchain, or find it installed; prints its directory."""
    settings = load_settings()
    if name not in {"all", *declared()}:
        raise BadArgument(
            f"There is no toolchain {name!r}.", fix=f"name one of {', '.join(declared())}, or all"
        )
    for each in declared() if name == "all" else (name,):
        emit(str(ensure(each, settings, say).root))


def _describe(declaration: Declaration, settings: Settings) -> dict[str, object]:
    found = status(declaration.name, settings)
    installed = isinstance(found, Toolchain)
    version = declaration.pins().get(declaration.tool, "")
    return {
        "name": declaration.name,
        "tool": f"{declaration.tool} {version}".strip(),
        "accelerator": declaration.accelerator,
        "state": "installed" if isinstance(found, Toolchain) else found.reason,
        "purpose": declaration.purpose,
        "identity": found.identity if isinstance(found, Toolchain) else None,
        "root": str(found.root) if isinstance(found, Toolchain) else None,
        "installed": installed,
    }
