"""The table of verdicts, made of the rules of all gates.

Invariants:
- The first row that matches decides. Every combination of outcomes has one, and every row decides some;
  `tests/unit/tasks/judging` checks all of them.
- Rows decide in this order: the baseline; what rejects, by answers and then by rounds; what lets vLLM stay;
  gates on answers that could not decide; that no round was timed; the other rules of gates on rounds. So an
  engine that is not fast enough needs no further texts: whatever they showed, vLLM would stay.
- A row states which outcomes of a gate no row above it has decided by that gate alone.

`docs/verdicts.md` is this table rendered by `markdown_table()`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, get_args

from tasks.judging.gates import HOST_BUSY, NOT_MEASURED, UNTIMED, Gate, Rule, VerdictName, all_gates

BASELINE, COMPILE = "baseline", "compile"
PUBLISHES: Mapping[VerdictName, str] = {
    "compile": "the engine tree and its serve command, and that of vLLM",
    "stay-on-vllm": "vLLM's serve command and the tree that it serves",
    "rejected": "nothing to deploy; the report is kept",
    "inconclusive": "nothing to deploy; the report is kept",
}
"""What a release holds for each verdict."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: it matches if every condition that it names has one of the accepted outcomes."""

    id: str
    when: Mapping[str, tuple[str, ...]]
    verdict: VerdictName
    decided_by: tuple[str, ...]
    meaning: str

    @property
    def publishes(self) -> str:
        """What a release holds for this verdict."""
        return PUBLISHES[self.verdict]

    def matches(self, outcomes: Mapping[str, str]) -> bool:
        """Whether this row matches these outcomes."""
        return all(outcomes[condition] in accepted for condition, accepted in self.when.items())


BASELINE_ROW = Row(
    "baseline-suffices",
    {BASELINE: ("stay",)},
    "stay-on-vllm",
    (BASELINE,),
    "vLLM meets the objective, and an engine as fast as can be hoped would not pay off; nothing is compiled",
)


def verdict_table() -> tuple[Row, ...]:
    """Return all rows, in the order in which they decide."""
    return _table(all_gates())


def conditions() -> dict[str, tuple[str, ...]]:
    """Return every condition with all its outcomes, in the order in which they decide."""
    of_gates = {
        condition.name: (*condition.outcomes, *_if_untimed(gate, condition.name))
        for gate in all_gates()
        for condition in gate.conditions
    }
    return {BASELINE: ("stay", "go")} | of_gates | {COMPILE: ("when-justified", "always")}


def _if_untimed(gate: Gate[Any], condition: str) -> tuple[str, ...]:
    """Return the values of a condition if no round was timed; one of the conditions says why."""
    if gate.asks == "answers":
        return ()
    return (NOT_MEASURED, HOST_BUSY) if condition == UNTIMED else (NOT_MEASURED,)


@cache
def _table(gates: tuple[Gate[Any], ...]) -> tuple[Row, ...]:
    left = {gate.name: _Left(gate) for gate in gates}
    rules = [
        (_step(gate, rule), place, gate, rule) for place, gate in enumerate(gates) for rule in gate.rules
    ]
    rows = [BASELINE_ROW]
    for turn in sorted({(step, place) for step, place, _, _ in rules}):
        own = [(gate, rule) for step, place, gate, rule in rules if (step, place) == turn]
        rows += [_row(gate, rule, left) for gate, rule in own]
        for gate, rule in own:
            left[gate.name].take(rule)
    return tuple(rows)


def _step(gate: Gate[Any], rule: Rule) -> int:
    """Return the step at which a rule decides; within a step, the order of the gates counts."""
    answers = gate.asks == "answers"
    if rule.verdict == "rejected":
        return 0 if answers else 1
    if rule.verdict == "stay-on-vllm":
        return 2
    return 3 if answers else 4 if _is_untimed(rule) else 5


def _is_untimed(rule: Rule) -> bool:
    """Whether a rule is about there being no timed round."""
    return any({NOT_MEASURED, HOST_BUSY} & set(outcomes) for outcomes in rule.when.values())


def _row(gate: Gate[Any], rule: Rule, left: Mapping[str, "_Left"]) -> Row:
    """Make a row; without timed rounds, gates that read them have no outcome that it could ask for."""
    timed = gate.asks != "answers" and not _is_untimed(rule)
    when: dict[str, tuple[str, ...]] = {BASELINE: ("go",)}
    for one in left.values():
        if timed or one.reads_answers:
            when |= one.narrowed()
    return Row(rule.id, when | dict(rule.when), rule.verdict, (*rule.after, gate.name), rule.meaning)


class _Left:
    """The combinations of one gate's outcomes that no row has taken yet."""

    def __init__(self, gate: Gate[Any]) -> None:
        self.reads_answers = gate.asks == "answers"
        self._conditions = gate.conditions
        self._left = [
            dict(zip((one.name for one in gate.conditions), values, strict=True))
            for values in product(*(one.outcomes for one in gate.conditions))
        ]

    def take(self, rule: Rule) -> None:
        """Remove the combinations that a rule decides by this gate alone."""
        if rule.when.keys() <= {one.name for one in self._conditions}:
            self._left = [values for values in self._left if not rule.takes(values)]

    def narrowed(self) -> dict[str, tuple[str, ...]]:
        """Return the remaining outcomes of each condition that has lost some."""
        left = {
            one.name: tuple(o for o in one.outcomes if any(values[one.name] == o for values in self._left))
            for one in self._conditions
        }
        return {one.name: left[one.name] for one in self._conditions if left[one.name] != one.outcomes}


def row_for(outcomes: Mapping[str, str]) -> Row:
    """Return the first row that matches; `outcomes` has a value for every condition."""
    return next(row for row in verdict_table() if row.matches(outcomes))


def markdown_table() -> str:
    """Return the table as `docs/verdicts.md` holds it."""
    columns = conditions()
    lines = [
        "# Verdicts",
        "",
        (
            "Rendered by `python -m tasks.judging.decide` from the rules of `tasks/judging/gates`; "
            "`-` means any outcome. The first row that matches decides; every combination has one."
        ),
        "",
        f"| row | {' | '.join(columns)} | verdict | meaning |",
        f"| --- |{' --- |' * len(columns)} --- | --- |",
        *(_markdown_row(row, tuple(columns)) for row in verdict_table()),
    ]
    lines += ["", "What a release holds:", ""]
    lines += [f"- `{name}`: {PUBLISHES[name]}." for name in get_args(VerdictName)]
    return "\n".join(lines) + "\n"


def _markdown_row(row: Row, columns: Sequence[str]) -> str:
    cells = " | ".join(" or ".join(row.when.get(column, ("-",))) for column in columns)
    return f"| {row.id} | {cells} | **{row.verdict}** | {row.meaning} |"
