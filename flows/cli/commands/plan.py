"""`enginery plan`: what would be built, whether it can work, what a build would do, and why."""

from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from artifacts.settings import Settings, load_settings
from flows.cli.console import emit, emit_json, say
from flows.cli.context import open_local_or_configured_store, require_pipeline
from flows.errors import StackDown

if TYPE_CHECKING:
    from artifacts.store import Store
    from engine_specs.spec import Spec

REFUSED = 2


def plan(
    *specs: Annotated[str, Parameter(help="Names or paths of specs; default: all.")],
    variant: Annotated[str | None, Parameter(help="Plan only this variant.")] = None,
    commands: Annotated[bool, Parameter(help="Print every command that would run.", negative="")] = False,
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
) -> int:
    """Show what a build would do, and why.

    Examines every variant by the checkpoint's metadata, with a calculation of its memory, and says for each
    stage whether the store holds its result and, if not, what has changed since last time. Works for every
    target on every host, without a GPU, a network or a store. `--commands` prints every command that a build
    would run, as a shell transcript.

    Exit codes: 0 every variant can work; 2 pre-flight refuses one, or a spec or an argument is wrong.

    For example:

        enginery plan
        enginery plan demo --commands
        enginery plan llama-3.3-70b-instruct --variant h100-tp2
    """
    require_pipeline()
    from engine_specs.spec import load_spec

    settings = load_settings()
    loaded = [load_spec(name, settings.specs_dir) for name in specs or _all(settings)]
    return show_plans(loaded, variant, settings, commands=commands, json=json)


def show_plans(
    specs: "Sequence[Spec]", variant: str | None, settings: Settings, *, commands: bool, json: bool
) -> int:
    """Print the plans of specs; return 2 if pre-flight refuses one, otherwise 0.

    Raises:
        BadArgument: none of the specs has a variant of that name.
        TaskError: a kind refuses a variant's options, or a file that a spec names cannot be used.
    """
    from artifacts.store import Snapshot
    from flows.selection import variants_named
    from flows.text.commands import transcript
    from flows.text.plan import plan_lines
    from tasks.hub import HubAccess
    from tasks.plan import plan_spec
    from tasks.runs import Pipeline
    from tasks.toolchains import status

    chosen = variants_named(specs, variant)
    pipeline = Pipeline(settings, Snapshot(_store(settings)), say=say)
    # Each toolchain is examined once, as that runs interpreters.
    access, find_toolchain = HubAccess.from_environment(), cache(partial(status, settings=settings))
    plans = [
        plan_spec(pipeline, spec, access, variants, find_toolchain, commands=commands)
        for spec, variants in chosen
    ]
    if json:
        emit_json([plan.model_dump(mode="json") for plan in plans])
    elif commands:
        for line in (line for plan in plans for line in transcript(plan)):
            emit(line)
    else:
        for line in plan_lines(plans):
            emit(line)
    return REFUSED if any(plan.refused for plan in plans) else 0


def _store(settings: Settings) -> "Store":
    """Open the store; if there is none, one that never answers: a plan says what is then unknown."""
    from artifacts.store import open_store

    try:
        return open_local_or_configured_store(settings)
    except StackDown as error:
        say(f"{error.what}; without one, the plan cannot say what is already built ({error.fix}).")
        return open_store(settings)


def _all(settings: Settings) -> tuple[str, ...]:
    from engine_specs.spec import list_specs

    return tuple(path.stem for path in list_specs(settings.specs_dir))
