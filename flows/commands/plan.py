"""`enginery plan`: what a build would do, and why."""

from typing import Annotated

from cyclopts import Parameter

from artifacts.settings import Settings
from flows.commands.console import emit, emit_json, say
from flows.commands.context import load_settings, open_local_or_configured_store, require_pipeline


def plan(
    *specs: Annotated[str, Parameter(help="Names or paths of specs; none: all.")],
    variant: Annotated[str | None, Parameter(help="This variant alone.")] = None,
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
) -> None:
    """Say for each stage whether the store holds its result, and if not, what is different from last time."""
    require_pipeline()
    from engine_specs.load import load_spec
    from tasks.hub_access import HubAccess
    from tasks.pipeline import Pipeline
    from tasks.plan import plan_spec

    settings = load_settings()
    pipeline = Pipeline(settings, open_local_or_configured_store(settings), say=say)
    access = HubAccess.from_environment()
    names = specs or _all(settings)
    plans = [plan_spec(pipeline, load_spec(name, settings.specs_dir), access, variant) for name in names]
    if json:
        emit_json([one.model_dump(mode="json") for one in plans])
        return
    for one in plans:
        emit(f"{one.spec} {one.version}: {one.checkpoint}@{one.commit[:12]} ({one.commit_reason})")
        for stage in one.stages:
            first, *others = stage.reasons
            emit(f"  {stage.state:<8} {stage.stage:<9} {stage.variant:<12} {first}")
            for reason in others:
                emit(f"  {'':<31} {reason}")


def _all(settings: Settings) -> tuple[str, ...]:
    from engine_specs.load import list_specs

    return tuple(path.stem for path in list_specs(settings.specs_dir))
