"""`enginery build`: the flow `build`, run in this process and seen in the Prefect UI."""

from typing import Annotated

from cyclopts import Parameter

from engine_specs.load import load_spec
from flows.commands.console import emit, emit_json
from flows.commands.context import load_settings, require_pipeline, use_orchestrator


def build(
    spec: Annotated[str, Parameter(help="Name or path of a spec.")],
    *,
    variant: Annotated[str | None, Parameter(help="Build this variant alone.")] = None,
    publish: Annotated[bool, Parameter(help="Publish a release where the verdicts allow it.")] = True,
    force: Annotated[bool, Parameter(help="Run every stage again.", negative="")] = False,
    require_cached: Annotated[
        bool, Parameter(help="Fail where a stage would have to run.", negative="")
    ] = False,
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
) -> int:
    """Build, judge and publish one spec. Exit code 3 where a required variant did not convince."""
    require_pipeline()
    settings = load_settings()
    load_spec(spec, settings.specs_dir)  # a mistake in it is told at once, not after Prefect has started
    use_orchestrator(settings)
    from flows.build import build as run
    from flows.summary import BuildSummary, describe

    summary: BuildSummary = run(
        spec, variant=variant, publish=publish, force=force, require_cached=require_cached
    )
    if json:
        emit_json(summary)
    else:
        emit(describe(summary))
    return summary.exit_code
