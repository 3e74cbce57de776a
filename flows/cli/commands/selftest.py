"""`enginery selftest`."""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from flows.cli.console import emit, emit_json, say
from tasks.judging.selftest import REPETITIONS, markdown_page, run_selftest

WRONG_TOO_OFTEN = 1


def selftest(
    *,
    repetitions: Annotated[
        int, Parameter(help="Simulated judgements per scenario and true value.", validator=Number(gte=1))
    ] = REPETITIONS,
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
) -> int:
    """Simulate how often the judge is wrong, with the functions that judge.

    Every scenario of speed is one kind of noise: at the bar, an engine must not be called faster; 5 % above
    it, it has to be found, or called inconclusive if the budget does not allow that. Every scenario of depth
    is one kind of damage late in answers or after long contexts: it must not pass, and a sound engine must
    not be rejected. The same seed is used every time.

    Exit codes: 0 both errors are as rare as declared; 1 one of them is not.

    For example:

        enginery selftest
        enginery selftest --repetitions 1000 > docs/selftest.md
    """
    found = run_selftest(repetitions, say=say)
    if json:
        emit_json({**found.model_dump(mode="json"), "failing": found.failing})
    else:
        emit(markdown_page(found).rstrip())
    for scenario in found.failing:
        say(f"wrong in more than 5 % of judgements: {scenario}")
    return WRONG_TOO_OFTEN if found.failing else 0
