"""What the gates decide during a measurement, and about a measurement by itself. Pure."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import get_args

from tasks.judging.decide.outcomes import CompileMode, Outcomes
from tasks.judging.decide.table import row_for
from tasks.judging.gates import Evidence, GateOutcome, VerdictName, all_gates, judge_gates
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import AccuracyResult, Measured, NotMeasured


def rejecting(answers: AccuracyResult, protocol: JudgingProtocol) -> tuple[str, ...]:
    """Return the gates that reject a side by its answers alone, whatever its speed.

    A gate with too few samples does not reject.
    """
    outcomes = judge_gates(Evidence(protocol, answers))
    judged = [
        (gate.name, gate.rule_for(outcomes[gate.name])) for gate in all_gates() if gate.name in outcomes
    ]
    return tuple(name for name, rule in judged if rule is not None and rule.verdict == "rejected")


def qualifies(answers: AccuracyResult, protocol: JudgingProtocol) -> bool:
    """Whether a quantized reference takes part in the comparison of speed: it was not shown to be inaccurate.

    A gate that could not decide does not keep a fast reference away.
    """
    asked = {gate.name for gate in all_gates() if gate.of_references}
    return asked.isdisjoint(rejecting(answers, protocol))


def is_accurate(answers: AccuracyResult, protocol: JudgingProtocol) -> bool:
    """Whether a reference was shown to be accurate, as it has to be before it is deployed."""
    outcomes = judge_gates(Evidence(protocol, answers))
    asked = [gate for gate in all_gates() if gate.of_references and gate.name in outcomes]
    return all(gate.rule_for(outcomes[gate.name]) is None for gate in asked)


def is_conclusive(measured: Measured, protocol: JudgingProtocol) -> bool:
    """Whether it leads to a decision at any price, even if a gate that does not matter did not decide.

    Prices and other terms are no part of a measurement.
    """
    if isinstance(measured.speed, NotMeasured):
        return measured.speed.cause == "rejected"  # more samples would not change that
    outcomes = judge_gates(Evidence(protocol, measured.accuracy, measured.speed))
    return "inconclusive" not in _possible_verdicts(outcomes)


def _possible_verdicts(outcomes: Mapping[str, GateOutcome]) -> Iterator[VerdictName]:
    """Yield what is decided for every outcome of the gates that read prices."""
    priced = [one for gate in all_gates() if gate.asks == "prices" for one in gate.conditions]
    for mode in get_args(CompileMode):
        known = Outcomes(gates=dict(outcomes), compile_mode=mode).conditions()
        for values in product(*(one.outcomes for one in priced)):
            yield row_for(known | dict(zip((one.name for one in priced), values, strict=True))).verdict


def lacks_engine_in_open_loop(measured: Measured, protocol: JudgingProtocol) -> bool:
    """Whether the engine was not asked in open loop as it would have changed nothing, but now it does.

    Fewer variants leave each of them more of the error, so the same rounds may show more than when it was
    measured: that the engine is fast enough, or that vLLM misses the objective.
    """
    if isinstance(measured.speed, NotMeasured):
        return False
    engine = measured.speed.open_loop.engine
    return engine.ended == "enough" and not engine.requests and not is_conclusive(measured, protocol)


def has_looked(measured: Measured) -> bool:
    """Whether timed rounds were looked at, which spends a part of the permitted error.

    They were even if others disturbed later ones, so that nothing came of them.
    """
    return not isinstance(measured.speed, NotMeasured) or measured.speed.looked


def is_exhausted(measured: Measured, protocol: JudgingProtocol) -> bool:
    """Whether it is inconclusive, and the same question within the same budget would not change that."""
    if isinstance(measured.speed, NotMeasured):
        return measured.speed.cause == "unaffordable"  # a host that was busy may be quiet the next time
    return not is_conclusive(measured, protocol)
