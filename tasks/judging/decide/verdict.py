"""The verdict: a total function of the gates' outcomes, by the table.

Invariants:
- A crash is not an outcome: if something cannot be measured, an error is raised, and the run fails.
  `not-measured` means that no round was requested; then it holds for all gates that read rounds.
- Nothing is published as faster or as accurate unless the gate that proves it has passed.
"""

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.decide.baseline import Stay
from tasks.judging.decide.outcomes import Outcomes
from tasks.judging.decide.table import BASELINE_ROW, Row, row_for
from tasks.judging.gates import VerdictName


class Verdict(Frozen):
    """What was decided, why, and by which row of the table."""

    verdict: VerdictName
    row: str = Field(description="Id of the row of the table that matched.")
    publishes: str = Field(description="What a release holds for it.")
    reasons: tuple[str, ...] = Field(description="Sentences with numbers; the first one is what decided.")


def decide(outcomes: Outcomes) -> Verdict:
    """Return the verdict on a judged engine; reasons that decided come first, then those of other gates."""
    row = row_for(outcomes.conditions())
    reasons = outcomes.reasons()
    ordered = [*row.decided_by, *(gate for gate in reasons if gate not in row.decided_by)]
    return _verdict(row, tuple(reasons[gate] for gate in ordered))


def decide_baseline(stay: Stay) -> Verdict:
    """Return the verdict if the baseline suffices and nothing was compiled."""
    return _verdict(BASELINE_ROW, (stay.reason,))


def _verdict(row: Row, reasons: tuple[str, ...]) -> Verdict:
    return Verdict(verdict=row.verdict, row=row.id, publishes=row.publishes, reasons=reasons)
