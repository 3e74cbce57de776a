"""`enginery toolchain list|install|adopt|forget`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from artifacts.settings import Settings, load_settings
from flows.cli.console import emit, emit_json, emit_table, say
from flows.errors import BadArgument
from tasks.toolchains import Declaration, NotInstalled, Toolchain, adopt, declared, ensure, forget, status

app = App(
    name="toolchain",
    help="The isolated environments of the heavy tools: list, install, adopt, forget.",
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
    columns = ("name", "tool", "accelerator", "provider", "state", "end of life", "purpose")
    emit_table(
        columns, [_row(*each) for each in found.values()], empty="no toolchain is declared", wraps="purpose"
    )
    for name, (_, state) in found.items():
        for obstacle in state.obstacles if isinstance(state, NotInstalled) else ():
            say(f"{name}: {obstacle.reason}")


@app.command
def install(
    name: Annotated[str, Parameter(help="Name of a toolchain, or `all` for all that this host can hold.")],
    /,
) -> None:
    """Install a toolchain, or find it there; prints where it is.

    Exit codes: 0 done; 1 it could not be installed; 2 there is none of that name; 4 this host cannot hold it.

    For example:

        enginery toolchain install aot-serve-cpu
        enginery toolchain install all
    """
    settings = load_settings()
    if name != "all":
        _require_declared(name, ", or all")
    for each in _possible(settings) if name == "all" else (name,):
        emit(ensure(each, settings, say).place)


@app.command(name="adopt")
def adopt_interpreter(
    name: Annotated[str, Parameter(help="Name of a toolchain.")],
    python: Annotated[Path, Parameter(help="Interpreter of this host that has its tool.")],
    /,
    *,
    extra_path: Annotated[
        tuple[Path, ...], Parameter(help="Directory of packages to import before its own; may be repeated.")
    ] = (),
) -> None:
    """Use an interpreter that is already there instead of installing a toolchain; it is not changed.

    Its tool has to be the version that the toolchain is for. What else differs from the lock is shown here,
    and recorded with all that is made. `[toolchains.NAME]` in enginery.toml says the same and counts first.

    Exit codes: 0 done; 2 there is no such toolchain, or enginery.toml says what serves it; 4 the interpreter
    cannot be it: nothing is changed.

    For example:

        enginery toolchain adopt aot-cpu /opt/conda/bin/python
        enginery toolchain adopt vllm-cuda /usr/bin/python3 --extra-path /opt/more
    """
    settings = load_settings()
    _require_declared(name)
    _require_not_in_settings(name, settings)
    extra = [str(path.absolute()) for path in extra_path]
    table = {"python": str(python.absolute())} | ({"extra_paths": extra} if extra else {})
    found = ensure(name, settings.model_copy(update={"toolchains": {name: table}}), say)
    adopt(name, table, settings)
    for difference in found.differences:
        say(f"  {difference}")
    emit(found.place)


@app.command(name="forget")
def forget_adopted(name: Annotated[str, Parameter(help="Name of a toolchain that was adopted.")], /) -> None:
    """Take an adoption back: the toolchain is installed from its lock again when it is needed.

    Exit codes: 0 done; 2 it was not adopted.

    For example:

        enginery toolchain forget aot-cpu
    """
    settings = load_settings()
    _require_declared(name)
    _require_not_in_settings(name, settings)
    if not forget(name, settings):
        raise BadArgument(f"toolchain {name} was not adopted", fix="`enginery toolchain list` shows what was")
    say(f"{name}: its interpreter is no longer used, and was not changed")


def _require_declared(name: str, also: str = "") -> None:
    if name not in declared():
        raise BadArgument(f"there is no toolchain {name!r}", fix=f"name one of {', '.join(declared())}{also}")


def _require_not_in_settings(name: str, settings: Settings) -> None:
    if name in settings.toolchains:
        raise BadArgument(
            f"the settings say what serves toolchain {name}, and they count first",
            where=f"[toolchains.{name}] in enginery.toml, or ENGINERY_TOOLCHAINS",
            fix="change or remove it there",
        )


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
        found.provider,
        _state(found),
        str(end.date) if end else "",
        declaration.purpose,
    )


def _state(found: Toolchain | NotInstalled) -> str:
    if isinstance(found, Toolchain):
        return "adopted" if found.adopted else "installed"
    return "not on this host" if found.obstacles else "not installed"


def _document(declaration: Declaration, found: Toolchain | NotInstalled) -> dict[str, object]:
    installed = found if isinstance(found, Toolchain) else None
    missing = found if isinstance(found, NotInstalled) else None
    return {
        "name": declaration.name,
        "tool": f"{declaration.tool} {declaration.tool_version()}",
        "accelerator": declaration.accelerator,
        "machine": declaration.machine,
        "provider": found.provider,
        "state": _state(found),
        "installed": installed is not None,
        "reason": missing and missing.reason,
        "obstacles": [each.model_dump() for each in missing.obstacles] if missing else [],
        "end_of_life": declaration.end_of_life and declaration.end_of_life.model_dump(mode="json"),
        "purpose": declaration.purpose,
        "identity": installed and installed.identity,
        "place": installed and installed.place,
        "differences": [each.model_dump() for each in installed.differences] if installed else [],
    }
