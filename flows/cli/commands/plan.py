"""`enginery plan`: what would be built, whether it can work, and what a build would do, and why."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from artifacts.settings import Settings
from flows.cli.console import emit, emit_json, say
from flows.cli.context import load_settings, open_local_or_configured_store, require_pipeline
from flows.errors import StackDown

if TYPE_CHECKING:
    from artifacts.store import Store

REFUSED = 2


def plan(
    *specs: Annotated[str, Parameter(help="Names or paths of specs; none: all.")],
    variant: Annotated[str | None, Parameter(help="This variant alone.")] = None,
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
) -> int:
    """Show what a build would do, and why.

    Examines every variant from the checkpoint's metadata, with the arithmetic of its memory, and says for
    each stage whether the store holds its result, and if not, what is different from last time. Works for
    every target on every host, without a GPU, a network or a store.

    Exit codes: 0 every variant can work; 2 pre-flight refuses one, or a spec or an argument is wrong.

    For example:

        enginery plan
        enginery plan demo
        enginery plan llama-3.3-70b-instruct --variant h100-tp2
    """
    require_pipeline()
    from engine_specs.spec import load_spec
    from flows.selection import require_variant
    from flows.text import lines_of
    from tasks.hub import HubAccess
    from tasks.plan import HostToolchains, plan_spec
    from tasks.runs import Pipeline

    settings = load_settings()
    loaded = [load_spec(name, settings.specs_dir) for name in specs or _all(settings)]
    require_variant(loaded, variant)
    pipeline = Pipeline(settings, _store(settings), say=say)
    access = HubAccess.from_environment()
    toolchains = HostToolchains(settings)
    plans = [plan_spec(pipeline, spec, access, variant, toolchains) for spec in loaded]
    if json:
        emit_json([one.model_dump(mode="json") for one in plans])
    else:
        for line in lines_of(plans):
            emit(line)
    return REFUSED if any(one.refused for one in plans) else 0


def _store(settings: Settings) -> "Store":
    """The store; where there is none, one that never answers: a plan says what is unknown for that."""
    from artifacts.store import open_store

    try:
        return open_local_or_configured_store(settings)
    except StackDown as error:
        say(f"{error.what} A plan needs none, but does not know what was built ({error.fix}).")
        return open_store(settings)


def _all(settings: Settings) -> tuple[str, ...]:
    from engine_specs.spec import list_specs

    return tuple(path.stem for path in list_specs(settings.specs_dir))
