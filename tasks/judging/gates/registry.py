"""The gates, in the order in which they decide.

A gate on answers can reject before any other says that it could not decide; gates on rounds decide once all
gates on answers are passed, and the first of them whether what was timed counts. The last gate always
decides: its rules accept all of its outcomes.
"""

from collections.abc import Callable
from typing import Any

from tasks.judging.gates.answers.depth import DepthGate
from tasks.judging.gates.answers.gross_errors import GrossErrorsGate
from tasks.judging.gates.answers.length import LengthGate
from tasks.judging.gates.answers.regret import RegretGate
from tasks.judging.gates.answers.task_scores import TaskScoresGate
from tasks.judging.gates.answers.tokenizer import TokenizerGate
from tasks.judging.gates.gate import Evidence, Gate, GateOutcome
from tasks.judging.gates.money import EconomicsGate
from tasks.judging.gates.rounds.slo import SloGate
from tasks.judging.gates.rounds.speed import SpeedGate
from tasks.judging.gates.rounds.timed_answers import TimedAnswersGate
from tasks.judging.protocol import AccuracyPlan

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


def sample_warnings(declared: int, plan_of: Callable[[int], AccuracyPlan]) -> tuple[str, ...]:
    """Return a sentence if no engine can pass with as few texts as a spec declares; none otherwise.

    Args:
        declared: the texts.
        plan_of: returns what is asked with another number of texts.
    """
    plan = plan_of(declared)
    short = [one for one in all_gates() if not one.has_enough_texts(plan)]
    if not short:
        return ()
    needed, gate = max((_fewest_texts(one, declared, plan_of), one.name) for one in short)
    warning = (
        f"validation.accuracy.samples: the gate {gate!r} needs {needed:,} texts, asked with up to "
        f"{max(plan.in_flight)} in flight, to show that an engine is accurate in which nothing is wrong, and "
        f"{declared:,} are declared. Raise samples, or the verdict cannot be compile"
    )
    return (warning,)


def _fewest_texts(gate: Gate[Any], too_few: int, plan_of: Callable[[int], AccuracyPlan]) -> int:
    enough = 2 * too_few
    while not gate.has_enough_texts(plan_of(enough)):
        too_few, enough = enough, 2 * enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        reached = gate.has_enough_texts(plan_of(middle))
        too_few, enough = (too_few, middle) if reached else (middle, enough)
    return enough


def judge_gates(evidence: Evidence) -> dict[str, GateOutcome]:
    """Return the outcomes, by name, of all gates for which there is enough evidence."""
    return {gate.name: gate.judge(evidence) for gate in all_gates() if evidence.allows(gate)}
