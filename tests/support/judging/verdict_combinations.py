"""Every combination of outcomes that the table of verdicts has to decide."""

from collections.abc import Iterator
from itertools import product

from tasks.judging.decide.table import conditions
from tasks.judging.gates import HOST_BUSY, NOT_MEASURED, all_gates


def timed_conditions() -> tuple[str, ...]:
    """Return the conditions that timed rounds decide."""
    gates = (gate for gate in all_gates() if gate.asks != "answers")
    return tuple(condition.name for gate in gates for condition in gate.conditions)


def all_combinations() -> Iterator[dict[str, str]]:
    """Yield all combinations that can occur: rounds are timed for every gate that reads them, or for none."""
    columns, timed = conditions(), timed_conditions()
    for values in product(*columns.values()):
        outcomes = dict(zip(columns, values, strict=True))
        if len({outcomes[name] in (NOT_MEASURED, HOST_BUSY) for name in timed}) == 1:
            yield outcomes
