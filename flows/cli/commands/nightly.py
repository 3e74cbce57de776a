"""`enginery nightly`: the flow `nightly`, run in this process and shown in the Prefect UI."""

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from artifacts.hosts import probe_host
from artifacts.settings import Settings, load_settings
from engine_specs.reading import SpecInvalid, SpecNotFound
from engine_specs.spec import Spec, list_specs, load_spec, resolve_variants
from flows.cli.console import emit_json, emit_table
from flows.cli.context import (
    open_local_or_configured_store,
    orchestrator,
    require_orchestrator,
    require_pipeline,
    require_writable,
)


def nightly(
    *specs: Annotated[str, Parameter(help="Names of specs; default: all.")],
    force: Annotated[bool, Parameter(help="Build every spec, changed or not.", negative="")] = False,
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
) -> int:
    """Build the specs that have changed, and say why the others are skipped.

    A spec that fails does not keep the others from being built. Specs for other hosts are left to them.

    Exit codes: 0 done, or nothing to do; 1 a spec failed; 2 there is no such spec; 3 a required variant has
    nothing to deploy; 5 the store or the Prefect server does not answer.

    For example:

        enginery nightly
        enginery nightly demo qwen3-8b --force
    """
    require_pipeline()
    settings = load_settings()
    to_build = [spec for spec in _readable(specs, settings) if _has_work_here(spec)]
    require_writable(settings.home)
    require_orchestrator(settings)
    if to_build:  # the flow does not use the store for the others either
        open_local_or_configured_store(settings).ensure_bucket()
    with orchestrator():
        from flows.nightly import NightlySummary
        from flows.nightly import nightly as run

        state = run(list(specs) or None, force=force, return_state=True)
        summary: NightlySummary | Exception = state.result(raise_on_failure=False)
    if isinstance(summary, Exception):
        raise summary
    if json:
        emit_json(summary)
    else:
        rows = [
            (row.spec, row.verdict or row.outcome, row.release or "", row.reason.splitlines()[0])
            for row in summary.rows
        ]
        emit_table(("spec", "verdict", "release", "why"), rows, empty="there are no specs", wraps="why")
    return summary.exit_code


def _readable(named: tuple[str, ...], settings: Settings) -> Iterator[Spec]:
    """Yield the specs of this run that can be read; the flow reports the others and continues.

    Raises, before Prefect starts:
        SpecNotFound: a named spec does not exist.
        SpecInvalid: the only named spec cannot be read.
    """
    for name in named or tuple(path.stem for path in list_specs(settings.specs_dir)):
        try:
            yield load_spec(name, settings.specs_dir)
        except SpecNotFound:
            if named:
                raise
        except SpecInvalid:
            if len(named) == 1:
                raise


def _has_work_here(spec: Spec) -> bool:
    from tasks.comparison import divide_by_host

    return bool(divide_by_host(resolve_variants(spec), probe_host()).here)
