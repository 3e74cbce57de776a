"""The gates, in the order in which they decide.

A gate on answers can reject before any other says that it could not decide; gates on rounds decide once all
gates on answers are passed, and the first of them whether what was timed counts. The last gate always
decides: its rules accept all of its outcomes.
"""

from typing import Any

from engine_specs.spec import AccuracyGate
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


def sample_warnings(declared: AccuracyGate) -> tuple[str, ...]:
    """Return a sentence if no engine can pass with as few texts as a spec declares; none otherwise."""
    needed, gate = max((one.fewest_texts(declared), one.name) for one in all_gates())
    if declared.samples >= needed:
        return ()
    warning = (
        f"validation.accuracy.samples: the gate {gate!r} needs {needed:,} texts to show that an engine is "
        f"accurate in which nothing is wrong, and {declared.samples:,} are declared. Raise samples, or the "
        "verdict cannot be compile"
    )
    return (warning,)


def judge_gates(evidence: Evidence) -> dict[str, GateOutcome]:
    """Return the outcomes, by name, of all gates for which there is enough evidence."""
    return {gate.name: gate.judge(evidence) for gate in all_gates() if evidence.allows(gate)}
