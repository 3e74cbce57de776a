"""`enginery nightly`: the flow `nightly`, run in this process and seen in the Prefect UI."""

from typing import Annotated

from cyclopts import Parameter

from flows.commands.console import emit_json, emit_table
from flows.commands.context import load_settings, require_pipeline, use_orchestrator


def nightly(
    *specs: Annotated[str, Parameter(help="Names of specs; none: all.")],
    force: Annotated[bool, Parameter(help="Build every spec, changed or not.", negative="")] = False,
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
) -> int:
    """Build what changed among all specs; say why what did not was skipped. Exit code 1 where one failed."""
    require_pipeline()
    use_orchestrator(load_settings())
    from flows.nightly import NightlySummary
    from flows.nightly import nightly as run

    state = run(list(specs) or None, force=force, return_state=True)
    summary: NightlySummary | Exception = state.result(raise_on_failure=False)
    if isinstance(summary, Exception):
        raise summary
    if json:
        emit_json(summary)
    else:
        rows = [(row.spec, row.outcome, row.reason.splitlines()[0]) for row in summary.rows]
        emit_table(("spec", "outcome", "why"), rows, empty="there are no specs")
    return summary.exit_code
