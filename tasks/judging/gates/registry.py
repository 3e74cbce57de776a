"""The gates, in the order in which they decide.

A gate on answers can reject before any other says that it could not tell; gates on rounds decide once all
gates on answers are passed, and the first of them whether what was timed counts. The last gate always
decides: its rules accept all of its outcomes.
"""

from typing import Any

from tasks.judging.gates.depth import DepthGate
from tasks.judging.gates.gate import Evidence, Gate, GateOutcome
from tasks.judging.gates.gross_errors import GrossErrorsGate
from tasks.judging.gates.length import LengthGate
from tasks.judging.gates.money import EconomicsGate
from tasks.judging.gates.regret import RegretGate
from tasks.judging.gates.slo import SloGate
from tasks.judging.gates.speed import SpeedGate
from tasks.judging.gates.task_scores import TaskScoresGate
from tasks.judging.gates.timed_answers import TimedAnswersGate
from tasks.judging.gates.tokenizer import TokenizerGate

GATES: tuple[Gate[Any], ...] = (
    TokenizerGate(),
    RegretGate(),
    GrossErrorsGate(),
    DepthGate(),
    LengthGate(),
    TaskScoresGate(),
    TimedAnswersGate(),
    SloGate(),
    SpeedGate(),
    EconomicsGate(),
)


def all_gates() -> tuple[Gate[Any], ...]:
    """Return all gates, in the order in which they decide."""
    return GATES


def judge_gates(evidence: Evidence) -> dict[str, GateOutcome]:
    """Return the outcomes, by name, of all gates for which there is enough evidence."""
    return {gate.name: gate.judge(evidence) for gate in all_gates() if evidence.allows(gate)}
