"""One trial: an engine with something planted is measured and judged, and the gate that finds it is named.

Invariants:
- Measuring and judging are `measure_engine` and `judge_gates`, as for any engine; nothing here has an opinion
  of its own about accuracy or speed.
- What is planted does not depend on the speed of the host, so the gates that compare speed and price do not
  take part in a trial.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from artifacts.frozen import Frozen
from artifacts.progress import Say
from tasks.errors import ServerBroke, ServerRefusedRequest, ServerSilent
from tasks.judging import JudgingProtocol, Measured, NotMeasured, Placement
from tasks.judging.gates import Evidence, all_gates
from tasks.judging.judge import measure_engine
from tasks.judging.measure.kept import PhaseT
from tasks.selftest.planted import CLIENT, Planted

TrialOutcome = Literal["rejected", "refused", "objective-missed", "undecided", "passed"]
FOUND: tuple[TrialOutcome, ...] = ("rejected", "refused", "objective-missed")
"""Outcomes after which nothing is compiled, because something was shown."""


class Trial(Frozen):
    """What came of one trial."""

    planted: str = Field(description="Name of the damage or cheat.")
    seed: int
    texts: int = Field(description="Held-out texts that were continued.")
    outcome: TrialOutcome = Field(
        description="rejected: a gate shows a fault; refused: the client does not accept an answer; "
        "objective-missed; undecided: a gate on answers could not tell; passed: all of these gates."
    )
    gate: str = Field(description="The gate that decided; `client` for the client; empty if it passed.")
    reason: str = Field(description="The gate's sentence.")

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

    def trial(outcome: TrialOutcome, gate: str, reason: str) -> Trial:
        return Trial(
            planted=planted.name,
            seed=protocol.seed,
            texts=protocol.accuracy.gate.samples,
            outcome=outcome,
            gate=gate,
            reason=reason,
        )

    try:
        measured = measure_engine(placement, texts, protocol, say=say, kept=questions)
    except (ServerBroke, ServerRefusedRequest, ServerSilent) as error:
        return trial("refused", CLIENT, error.what)
    return trial(*found_by(measured, protocol))


def found_by(measured: Measured, protocol: JudgingProtocol) -> tuple[TrialOutcome, str, str]:
    """Return what the gates on answers and on timed answers say: the outcome, the gate, and its sentence."""
    speed = None if isinstance(measured.speed, NotMeasured) else measured.speed
    evidence = Evidence(protocol, measured.accuracy, speed)
    undecided: tuple[TrialOutcome, str, str] | None = None
    for gate in all_gates():
        if not evidence.allows(gate) or gate.name == "speed":
            continue
        outcome = gate.judge(evidence)
        rule = gate.rule_for(outcome)
        if rule is None:
            continue
        if rule.verdict == "rejected":
            return "rejected", gate.name, outcome.reason
        if rule.verdict == "stay-on-vllm":
            return "objective-missed", gate.name, outcome.reason
        if rule.verdict == "inconclusive" and undecided is None:
            undecided = ("undecided", gate.name, outcome.reason)
    return undecided or ("passed", "", "All gates on answers are passed.")
