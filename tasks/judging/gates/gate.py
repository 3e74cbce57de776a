"""The interface of a gate, and the evidence that gates are judged on.

Invariants:
- A gate is pure: equal evidence gives an equal outcome.
- All that is known of a gate outside its own file is this interface: the table of verdicts, the report, the
  page of a run and the reuse of a measurement iterate over the registry.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.spec import Economics
from tasks.judging.gates.figures import Shown
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import AccuracyResult, SpeedPoint, SpeedResult

Asks = Literal["answers", "rounds", "prices"]
"""What a gate asks to be measured: `answers` of the engine, scored by the reference; timed `rounds` as well;
or nothing more, but to know what these are worth (`prices`)."""

UNTIMED = "speed"
"""The name under which tables and reports say that no round was timed."""


class Terms(Frozen):
    """What a judgement knows besides the measurement; other terms need no new one."""

    prices: Economics = Field(description="Declared prices and load.")
    compile_mode: Literal["when-justified", "always"] = Field(
        description="What the spec says about compiling."
    )
    build_device_hours: float = Field(
        ge=0, description="Device time of one build, quantization and measuring included."
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What gates are judged on.

    Attributes:
        protocol: what was asked, and the declared limits.
        accuracy: the answers of the side that is judged.
        speed: the timed rounds; None if there are none, or none yet.
        terms: None as long as only the measurement counts.
    """

    protocol: JudgingProtocol
    accuracy: AccuracyResult
    speed: SpeedResult | None = None
    terms: Terms | None = None

    def allows(self, gate: "Gate[Any]") -> bool:
        """Whether all is there that a gate asks for."""
        timed = self.speed is not None
        return {"answers": True, "rounds": timed, "prices": timed and self.terms is not None}[gate.asks]

    @property
    def point(self) -> SpeedPoint:
        """Both sides at the operating point; only for gates that ask for rounds."""
        if self.speed is None:
            raise LookupError("a gate that reads rounds must ask for them")
        return self.speed.at_operating_point

    @property
    def known_terms(self) -> Terms:
        """The terms; only for gates that ask for prices."""
        if self.terms is None:
            raise LookupError("a gate that reads prices must ask for them")
        return self.terms


class GateOutcome(Frozen):
    """What a gate came to, and the sentence that explains it; each gate adds its numbers."""

    outcome: str = Field(description="One of the gate's outcomes.")
    reason: str = Field(description="The numbers that decided it, in a sentence.")

    @property
    def could_tell(self) -> bool:
        """Whether more of the same measuring could not have decided it otherwise."""
        return True


Tested = Literal["pass", "fail", "underpowered"]
"""`underpowered`: too few samples to tell, whatever the truth is."""


class SampledOutcome(GateOutcome):
    """A test of non-inferiority over samples.

    It passes if the whole interval is inside the margin. Otherwise it fails if the interval is outside, or if
    there were samples enough to let a faultless engine pass with 80 % power. Otherwise nothing was shown
    either way: underpowered, with the number of samples that would do.
    """

    outcome: Tested
    samples: int = Field(description="Texts.")
    samples_needed: int = Field(
        description="Texts that would decide; not above `samples` unless underpowered."
    )

    @property
    def could_tell(self) -> bool:
        """False if there were too few samples."""
        return self.outcome != "underpowered"


OutcomeT = TypeVar("OutcomeT", bound=GateOutcome)


class Gate(ABC, Generic[OutcomeT]):
    """One thing that an engine has to clear.

    Attributes:
        name: of the gate, and of its first condition.
        asks: what it asks to be measured.
        section: heading of the report under which its tiles stand.
        conditions: its columns of the table of verdicts.
        rules: its rows of the table. Outcomes that no rule takes let the next gate decide.
        outcome_type: what `judge` returns.
        of_references: whether a quantized reference must clear it as well before its speed counts.
    """

    name: str
    asks: Asks
    section: str
    conditions: tuple[Condition, ...]
    rules: tuple[Rule, ...]
    outcome_type: type[OutcomeT]
    of_references: bool = False

    @abstractmethod
    def judge(self, evidence: Evidence) -> OutcomeT:
        """The outcome for this evidence. Pure."""

    @abstractmethod
    def show(self, outcome: OutcomeT, evidence: Evidence) -> Shown:
        """What was measured, each number with its limit, for tables and for the report."""

    def values(self, outcome: OutcomeT) -> dict[str, str]:
        """What each of its conditions is."""
        return {self.name: outcome.outcome}

    def rule_for(self, outcome: OutcomeT) -> Rule | None:
        """The first of its rules that takes an outcome, whatever the other gates came to; None if cleared."""
        values = self.values(outcome)
        return next((rule for rule in self.rules if rule.takes(values)), None)
