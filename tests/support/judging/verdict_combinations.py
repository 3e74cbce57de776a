"""Every combination of outcomes that the table of verdicts has to decide, without listing them: each further
gate would multiply them.

A row accepts a set of outcomes per condition, so what it matches is a box: it is counted by a product, and
what a row leaves to those below it is a few smaller boxes.
"""

from collections.abc import Sequence
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
    """Assert that every combination that can occur has a row that decides it, and every row decides some."""
    left = list(possible())
    for row in rows:
        taken = matched(row)
        rest = [piece for box in left for piece in _without(box, taken)]
        assert sum(map(size, rest)) < sum(map(size, left)), f"{row.id} never decides"
        left = rest
    assert left == [], f"no row decides {left[0]}"


def _without(box: Box, taken: Sequence[Box]) -> list[Box]:
    """Return what is left of a box once others are cut out of it, as boxes that do not overlap."""
    left = [box]
    for hole in taken:
        left = [piece for one in left for piece in _cut(one, hole)]
    return left


def _cut(box: Box, hole: Box) -> list[Box]:
    if not all(box[name] & hole[name] for name in box):
        return [box]
    pieces, inner = [], dict(box)
    for name in box:
        if outside := inner[name] - hole[name]:
            pieces.append(inner | {name: outside})
        inner = inner | {name: inner[name] & hole[name]}
    return pieces
