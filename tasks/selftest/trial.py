"""One trial: an engine with something planted is measured and judged, and the gate that finds it is named.

Invariants:
- Measuring and judging are `measure_engine` and `judge_gates`, as for any engine; nothing here has an opinion
  of its own about accuracy or speed.
- What is planted does not depend on the speed of the host, so the gates that compare speed and price do not
  take part in a trial.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from artifacts.frozen import Frozen
from artifacts.progress import Say
from tasks.errors import ServerBroke, ServerRefusedRequest, ServerSilent
from tasks.judging import JudgingProtocol, Measured, NotMeasured, Placement
from tasks.judging.gates import Evidence, VerdictName, all_gates
from tasks.judging.judge import measure_engine
from tasks.judging.measure import PhaseT
from tasks.selftest.faults import CLIENT, Planted

TrialOutcome = Literal["rejected", "refused", "objective-missed", "undecided", "passed"]
FOUND: tuple[TrialOutcome, ...] = ("rejected", "refused", "objective-missed")
"""Outcomes after which nothing is compiled, because something was shown."""
RATIO = "speed"
OUTCOME_OF: Mapping[VerdictName, TrialOutcome] = {
    "rejected": "rejected",
    "stay-on-vllm": "objective-missed",
    "inconclusive": "undecided",
}
"""What the verdict of a gate's rule means here, the worst first."""


class Trial(Frozen):
    """What came of one trial."""

    planted: str = Field(description="Name of the damage or cheat.")
    seed: int
    texts: int = Field(description="Held-out texts that were continued.")
    outcome: TrialOutcome = Field(
        description="rejected: a gate shows a fault; refused: the client does not accept an answer; "
        "objective-missed; undecided: a gate on answers could not decide; passed: all of these gates."
    )
    gates: tuple[str, ...] = Field(
        description="The gates that came to this outcome, in the order in which they decide; `client` for "
        "the client; none if it passed."
    )
    reason: str = Field(description="The sentence of the first of them.")

    @property
    def was_found(self) -> bool:
        """Whether it was shown that something is wrong."""
        return self.outcome in FOUND


class Questions:
    """Keeps what sides are asked, which is the same in all trials of one protocol."""

    def __init__(self) -> None:
        self._kept: dict[str, BaseModel] = {}

    def once(self, name: str, model: type[PhaseT], make: Callable[[], PhaseT]) -> PhaseT:
        """Return the questions of an earlier trial, if there are any; make everything else."""
        if name != "questions":
            return make()
        if name not in self._kept:
            self._kept[name] = make()
        return model.model_validate(self._kept[name])


def try_planted(
    planted: Planted,
    placement: Placement,
    texts: Sequence[str],
    protocol: JudgingProtocol,
    *,
    questions: Questions,
    say: Say,
) -> Trial:
    """Measure and judge an engine in which something was planted.

    Args:
        planted: the damage or cheat.
        placement: has the engine up, with the damage, and the references.
        texts: held-out texts.
        protocol: what to ask.
        questions: of earlier trials with the same protocol.
        say: takes lines of progress.
    """

    def trial(outcome: TrialOutcome, gates: tuple[str, ...], reason: str) -> Trial:
        return Trial(
            planted=planted.name,
            seed=protocol.seed,
            texts=protocol.accuracy.gate.samples,
            outcome=outcome,
            gates=gates,
            reason=reason,
        )

    try:
        measured = measure_engine(placement, texts, protocol, say=say, kept=questions)
    except (ServerBroke, ServerRefusedRequest, ServerSilent) as error:
        return trial("refused", (CLIENT,), error.what)
    return trial(*found_by(measured, protocol))


def found_by(measured: Measured, protocol: JudgingProtocol) -> tuple[TrialOutcome, tuple[str, ...], str]:
    """Return what the gates on answers, on timed answers and on the objective say, and which of them."""
    speed = None if isinstance(measured.speed, NotMeasured) else measured.speed
    evidence = Evidence(protocol, measured.accuracy, speed)
    said: dict[TrialOutcome, dict[str, str]] = {outcome: {} for outcome in OUTCOME_OF.values()}
    for gate in all_gates():
        if gate.name == RATIO or not evidence.allows(gate):
            continue
        outcome = gate.judge(evidence)
        rule = gate.rule_for(outcome)
        if rule is None or rule.verdict not in OUTCOME_OF:
            continue
        # Rounds are few in a trial: that they were too few for a gate on rounds says nothing.
        if rule.verdict != "inconclusive" or gate.asks == "answers":
            said[OUTCOME_OF[rule.verdict]][gate.name] = outcome.reason
    for worst, reasons in said.items():
        if reasons:
            return worst, tuple(reasons), next(iter(reasons.values()))
    return "passed", (), "All gates on answers are passed."
