"""`enginery doctor`."""

from typing import Annotated

from cyclopts import Parameter

from artifacts.settings import load_settings
from flows.cli.console import emit, emit_json
from flows.cli.context import use_local_stack
from flows.doctor.check import Check, Group

FAILED = 1


def doctor(
    *,
    only: Annotated[Group | None, Parameter(help="Run only this group of checks.")] = None,
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
) -> int:
    """Check this machine, and say how to fix what it lacks.

    With the light install of a serving host, nothing of the local stack is checked.

    Exit codes: 0 no check fails; 1 one does.

    For example:

        enginery doctor
        enginery doctor --only toolchains
    """
    from flows.doctor.examine import examine

    settings = load_settings()
    use_local_stack(settings)
    checks = list(examine(settings, only))
    if json:
        emit_json(checks)
    else:
        for check in checks:
            _emit(check)
    return FAILED if any(check.outcome == "fail" for check in checks) else 0


def _emit(check: Check) -> None:
    emit(f"{check.outcome:<5} {check.group:<10} {check.name:<20} {check.found}")
    if check.remedy:
        emit(f"{'':<38}fix: {check.remedy}")
