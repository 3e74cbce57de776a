"""What the gates decide while it is still being measured, and of a measurement by itself. Pure."""

from tasks.judging.gates.gate import Evidence
from tasks.judging.gates.registry import all_gates, judge_gates
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import AccuracyResult, Measured, NotMeasured


def rejecting(answers: AccuracyResult, protocol: JudgingProtocol) -> tuple[str, ...]:
    """The gates that reject a side for its answers alone; no speed changes that.

    A gate that had too few samples does not reject.
    """
    outcomes = judge_gates(Evidence(protocol, answers))
    judged = [
        (gate.name, gate.rule_for(outcomes[gate.name])) for gate in all_gates() if gate.name in outcomes
    ]
    return tuple(name for name, rule in judged if rule is not None and rule.verdict == "rejected")


def qualifies(answers: AccuracyResult, protocol: JudgingProtocol) -> bool:
    """Whether a quantized reference is accurate enough to be compared with for speed."""
    outcomes = judge_gates(Evidence(protocol, answers))
    asked = (gate for gate in all_gates() if gate.of_references and gate.name in outcomes)
    return all(gate.rule_for(outcomes[gate.name]) is None for gate in asked)


def is_conclusive(measured: Measured, protocol: JudgingProtocol) -> bool:
    """Whether every gate could tell; only then may a measurement be reused."""
    if isinstance(measured.speed, NotMeasured):
        return True  # rejected, which more samples would not change
    outcomes = judge_gates(Evidence(protocol, measured.accuracy, measured.speed))
    return all(outcome.could_tell for outcome in outcomes.values())
