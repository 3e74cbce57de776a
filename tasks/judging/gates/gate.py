"""The interface of a gate, and the evidence that gates are judged on.

Invariants:
- A gate is pure: equal evidence gives an equal outcome.
- Outside its own file, a gate is known only by this interface: the table of verdicts, the report, the page of
  a run and the reuse of a measurement iterate over the registry.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.spec import Economics
from tasks.judging.gates.figures import Shown
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.protocol import AccuracyPlan, JudgingProtocol
from tasks.judging.results import AccuracyResult, Interval, SpeedPoint, SpeedResult

Asks = Literal["answers", "rounds", "prices"]
"""What a gate needs: `answers` of the engine, scored by the reference; timed `rounds` as well; or `prices`,
besides both of these."""

UNTIMED = "speed"
"""The name of the condition by which tables and reports say that no round was timed."""


UNASKED = "not-asked"
"""The value of the conditions of a gate that the spec does not ask."""


class Terms(Frozen):
    """What a judgement depends on besides the measurement; new terms need no new measurement."""

    prices: Economics = Field(description="Declared prices and load.")
    compile_mode: Literal["when-justified", "always"] = Field(
        description="What the spec says about compiling."
    )
    build_device_hours: float = Field(
        ge=0, description="Device time of one build, quantization and measurement included."
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence that gates are judged on.

    Attributes:
        protocol: what was asked, and the declared limits.
        accuracy: the answers of the side that is judged.
        speed: the timed rounds; None if there are none, or none yet.
        terms: prices and other terms; None if only the measurement counts.
    """

    protocol: JudgingProtocol
    accuracy: AccuracyResult
    speed: SpeedResult | None = None
    terms: Terms | None = None

    def allows(self, gate: "Gate[Any]") -> bool:
        """Whether the spec asks a gate, and it has everything that the gate needs."""
        if not gate.asked_by(self.protocol):
            return False
        timed = self.speed is not None
        return {"answers": True, "rounds": timed, "prices": timed and self.terms is not None}[gate.asks]

    @property
    def timed(self) -> SpeedResult:
        """All timed rounds; only for gates that need them."""
        if self.speed is None:
            raise LookupError("a gate that reads rounds must ask for them")
        return self.speed

    @property
    def point(self) -> SpeedPoint:
        """Both sides at the operating point; only for gates that need rounds."""
        return self.timed.at_operating_point

    @property
    def known_terms(self) -> Terms:
        """The terms; only for gates that need prices."""
        if self.terms is None:
            raise LookupError("a gate that reads prices must ask for them")
        return self.terms


class GateOutcome(Frozen):
    """The outcome of a gate, and the sentence that explains it; each gate adds its numbers."""

    outcome: str = Field(description="One of the gate's outcomes.")
    reason: str = Field(description="The numbers that decided it, in a sentence.")


Tested = Literal["pass", "fail", "underpowered"]
"""`fail` is shown, too: `underpowered` means that neither was."""


class SampledOutcome(GateOutcome):
    """A test of non-inferiority over samples.

    It passes if the whole interval is inside the margin, and fails if the whole interval is outside. In any
    other case neither was shown, and it is underpowered, however many samples there were. The outcome gives
    the number of samples with which an engine at half the margin, and with the spread that was found, passes
    with 80 % power.
    """

    outcome: Tested
    samples: int = Field(description="Number of texts.")
    samples_needed: int = Field(
        description="Texts that an engine at half the margin needs to pass with 80 % power."
    )


def tested(interval: Interval, limit: float) -> Tested:
    """Return what an interval shows of something that may be as large as the limit."""
    if interval.upper <= limit:
        return "pass"
    return "fail" if interval.lower > limit else "underpowered"


def undecided(samples: int, needed: int, limit: Literal["margin", "limit"] = "margin") -> str:
    """Return the end of a sentence about an interval that the limit divides."""
    said = f"neither is shown; an engine at half the {limit} needs {needed} texts to pass with 80 % power"
    return f"{said}." if needed > samples else f"{said}, so this one is probably nearer to it."


OutcomeT = TypeVar("OutcomeT", bound=GateOutcome)


class Gate(ABC, Generic[OutcomeT]):
    """One question that an engine has to pass.

    Attributes:
        name: of the gate, and of its first condition.
        asks: what it needs.
        section: heading of the report under which its tiles are shown.
        conditions: its columns in the table of verdicts.
        rules: its rows in the table. If no rule accepts an outcome, the next gate decides.
        outcome_type: what `judge` returns.
        of_references: whether a quantized reference must also pass it before its speed counts.
    """

    name: str
    asks: Asks
    section: str
    conditions: tuple[Condition, ...]
    rules: tuple[Rule, ...]
    outcome_type: type[OutcomeT]
    of_references: bool = False

    def asked_by(self, protocol: JudgingProtocol) -> bool:  # noqa: ARG002  most gates are always asked
        """Whether the spec asks this gate; one that it may leave out has `UNASKED` among its outcomes."""
        return True

    def has_enough_texts(self, plan: AccuracyPlan) -> bool:  # noqa: ARG002  most gates do not count texts
        """Whether an engine in which nothing is wrong can pass with the texts that a plan asks."""
        return True

    @abstractmethod
    def judge(self, evidence: Evidence) -> OutcomeT:
        """Return the outcome for this evidence. Pure."""

    @abstractmethod
    def show(self, outcome: OutcomeT, evidence: Evidence) -> Shown:
        """Return what was measured, each number with its limit, for tables and for the report."""

    def values(self, outcome: OutcomeT) -> dict[str, str]:
        """Return the value of each of its conditions."""
        return {self.name: outcome.outcome}

    def rule_for(self, outcome: OutcomeT) -> Rule | None:
        """Return the first of its rules that accepts an outcome, whatever other gates say; None if passed."""
        values = self.values(outcome)
        return next((rule for rule in self.rules if rule.takes(values)), None)
