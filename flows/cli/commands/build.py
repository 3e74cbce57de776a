"""`enginery build`: the flow `build`, run in this process and shown in the Prefect UI."""

from typing import Annotated

from cyclopts import Parameter

from artifacts.hosts import probe_host
from artifacts.settings import load_settings
from engine_specs.spec import load_spec
from flows.cli.commands.plan import show_plans
from flows.cli.console import emit, emit_json
from flows.cli.context import (
    open_local_or_configured_store,
    orchestrator,
    require_orchestrator,
    require_pipeline,
    require_writable,
)
from flows.errors import BadArgument


def build(
    spec: Annotated[str, Parameter(help="Name or path of a spec.")],
    /,
    *,
    variant: Annotated[str | None, Parameter(help="Build only this variant.")] = None,
    publish: Annotated[bool, Parameter(help="Publish a release if the verdicts allow it.")] = True,
    force: Annotated[
        bool, Parameter(help="Run every stage again, even if its result is stored.", negative="")
    ] = False,
    require_cached: Annotated[
        bool, Parameter(help="Fail if a stage would have to run.", negative="")
    ] = False,
    dry_run: Annotated[
        bool, Parameter(help="Print every command that would run, and run nothing.", negative="")
    ] = False,
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
) -> int:
    """Build, judge and publish one spec.

    Builds the variants that this host can build, in this process; the Prefect UI shows the run. Stages that
    ran before with the same inputs are reused. `--dry-run` prints what `enginery plan SPEC --commands` does.

    Exit codes: 0 done; 1 a stage failed; 2 the spec or an argument is wrong, or pre-flight refuses the spec;
    3 a required variant has nothing to deploy, or `--require-cached` found a stage that would have to run; 4
    this host can build none of the variants or cannot hold a toolchain, or the Hub does not have the
    checkpoint; 5 the Hub, the store or the Prefect server does not answer; 6 bytes do not match their digest.

    For example:

        enginery build demo
        enginery build demo --dry-run
        enginery build demo --variant cpu-int8 --no-publish
        enginery build ./my-spec.yaml --require-cached
    """
    require_pipeline()
    from flows.readiness import require_first_toolchains
    from flows.selection import variants_here

    if force and require_cached:
        raise BadArgument(
            "--force runs every stage again, and --require-cached lets none run",
            fix="give only one of them",
        )
    settings = load_settings()
    loaded = load_spec(spec, settings.specs_dir)
    if dry_run:
        return show_plans([loaded], variant, settings, commands=True, json=json)
    # The flow checks this again; checking here reports a mistake before Prefect starts.
    chosen = variants_here(loaded, variant, probe_host())
    require_first_toolchains(chosen.here, settings)
    require_writable(settings.home)
    require_orchestrator(settings)
    open_local_or_configured_store(settings).ensure_bucket()
    with orchestrator():
        from flows.build import build as run
        from flows.prefect_run import BuildSummary, describe

        summary: BuildSummary = run(
            spec, variant=variant, publish=publish, force=force, require_cached=require_cached
        )
    if json:
        emit_json(summary)
    else:
        emit(describe(summary))
    return summary.exit_code
