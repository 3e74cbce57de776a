"""Every combination of outcomes that the table of verdicts has to decide, without listing them: each further
gate would multiply them.

A row accepts a set of outcomes per condition, so what it matches is a box: it is counted by a product, and
two rows match a common combination if their sets overlap in every condition.
"""

from collections.abc import Sequence
from itertools import combinations
from math import prod

from tasks.judging.decide.table import Row, conditions
from tasks.judging.gates import HOST_BUSY, NOT_MEASURED, all_gates

Box = dict[str, frozenset[str]]
UNMEASURED = frozenset({NOT_MEASURED, HOST_BUSY})


def timed_conditions() -> tuple[str, ...]:
    """Return the conditions that timed rounds decide."""
    gates = (gate for gate in all_gates() if gate.asks != "answers")
    return tuple(condition.name for gate in gates for condition in gate.conditions)


def possible() -> tuple[Box, Box]:
    """Return all that can occur: rounds are timed for every gate that reads them, or for none."""
    timed = timed_conditions()
    known = {name: frozenset(outcomes) for name, outcomes in conditions().items()}
    return (
        {name: outcomes - UNMEASURED if name in timed else outcomes for name, outcomes in known.items()},
        {name: outcomes & UNMEASURED if name in timed else outcomes for name, outcomes in known.items()},
    )


def size(box: Box) -> int:
    """Return the number of combinations in a box."""
    return prod(len(outcomes) for outcomes in box.values())


def matched(row: Row) -> list[Box]:
    """Return the combinations that a row matches; no boxes without any."""
    boxes = [
        {name: outcomes & frozenset(row.when.get(name, outcomes)) for name, outcomes in box.items()}
        for box in possible()
    ]
    return [box for box in boxes if size(box)]


def require_total(rows: Sequence[Row]) -> None:
    """Assert that every combination that can occur matches exactly one row, and every row matches one."""
    for one, other in combinations(rows, 2):
        common = [
            (a, b) for a in matched(one) for b in matched(other) if all(a[name] & b[name] for name in a)
        ]
        assert not common, f"{one.id} and {other.id} match a common combination"
    assert [row.id for row in rows if not matched(row)] == []
    counted = sum(size(box) for row in rows for box in matched(row))
    assert counted == sum(size(box) for box in possible())
