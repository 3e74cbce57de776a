"""`enginery selftest`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from artifacts.settings import load_settings
from flows.cli.commands.demo import SPEC, require_data, require_host, start_stack
from flows.cli.console import emit, emit_json, say
from flows.cli.context import require_local, require_pipeline
from flows.errors import BadArgument
from tasks.judging.selftest import REPETITIONS, SelfTest, markdown_page, run_selftest

if TYPE_CHECKING:
    from tasks.selftest.results import LiveSelfTest

WRONG_TOO_OFTEN = 1
REPEATS = 2


def selftest(
    *,
    repetitions: Annotated[
        int, Parameter(help="Simulated judgements per scenario and true value.", validator=Number(gte=1))
    ] = REPETITIONS,
    live: Annotated[
        bool,
        Parameter(help="Plant damage and cheats on a running engine as well; takes minutes.", negative=""),
    ] = False,
    repeats: Annotated[
        int, Parameter(help="Live trials per damage, each with another seed.", validator=Number(gte=1))
    ] = REPEATS,
    only: Annotated[
        tuple[str, ...],
        Parameter(help="Plant only this one, by its name; may be given several times.", negative=""),
    ] = (),
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
) -> int:
    """Find out how often the judge is wrong, with the functions that judge.

    Simulated: every scenario of speed is one kind of noise; at the bar, an engine must not be called faster,
    5 % above it, it has to be found, or called inconclusive if the budget does not allow that. Every scenario
    of depth is one kind of damage late in answers or after long contexts: it must not pass, and a sound
    engine must not be rejected. The same seed is used every time.

    Live: the demo's engine is built, unless the local stack's store has it, and served next to vLLM on this
    host. Damage and cheats are planted on it one after the other, and each has to be found; the undamaged
    engine, weights with a little noise, and vLLM itself must not be rejected. With `--only`, nothing is
    simulated.

    Exit codes: 0 all is as it has to be; 1 an error is more frequent than declared, a damage was not found,
    or something harmless was rejected; 2 there is nothing of that name; 4 this host cannot hold a toolchain.

    For example:

        enginery selftest
        enginery selftest --repetitions 1000 --live > docs/selftest.md
        enginery selftest --live --only garbage-after-8 --only undamaged
    """
    planted = _live(only, repeats) if live or only else None
    simulated = None if only else run_selftest(repetitions, say=say)
    if json:
        emit_json(_document(simulated, planted))
    else:
        emit(_page(simulated, planted).rstrip())
    for scenario in simulated.failing if simulated else ():
        say(f"wrong in more than 5 % of judgements: {scenario}")
    for name in planted.failing if planted else ():
        say(f"not as it has to be: {name}")
    wrong = [one for one in (simulated, planted) if one is not None and one.failing]
    return WRONG_TOO_OFTEN if wrong else 0


def _live(only: tuple[str, ...], repeats: int) -> "LiveSelfTest":
    """Plant damage on the demo's engine, with the local stack's store and the demo's Hub."""
    require_pipeline()
    require_local()
    from tasks.selftest.faults import names

    if unknown := sorted(set(only) - set(names())):
        raise BadArgument(
            f"nothing is planted under the name {unknown[0]!r}",
            where="--only",
            fix=f"one of: {', '.join(names())}",
        )
    require_data()
    settings = load_settings().model_copy(update={"quiet_host": "record"})
    require_host(settings)
    start_stack(settings)
    from flows.demo.environment import demo_hub, enter

    with demo_hub() as hub_url:
        enter(settings, hub_url)
        # Only now: the Hub's client reads its variables when it is imported.
        from artifacts.store import open_store
        from engine_specs.spec import load_spec
        from tasks.hub import HubAccess
        from tasks.runs import Pipeline
        from tasks.selftest.live import run_live

        pipeline = Pipeline(settings, open_store(settings), say=say)
        pipeline.store.ensure_bucket()
        return run_live(pipeline, load_spec(SPEC), HubAccess.from_environment(), only=only, repeats=repeats)


def _document(simulated: SelfTest | None, planted: "LiveSelfTest | None") -> dict[str, object]:
    document: dict[str, object] = {}
    if simulated is not None:
        document |= {**simulated.model_dump(mode="json"), "failing": simulated.failing}
    if planted is not None:
        document["live"] = {**planted.model_dump(mode="json"), "failing": planted.failing}
    return document


def _page(simulated: SelfTest | None, planted: "LiveSelfTest | None") -> str:
    pages = [markdown_page(simulated)] if simulated is not None else []
    if planted is not None:
        from tasks.selftest.page import live_section

        pages.append(live_section(planted))
    return "\n".join(pages)
