"""One judged engine: what was asked and measured, the outcome of each gate, and the verdict."""

from typing import Any

from pydantic import AwareDatetime, Field

from artifacts.frozen import Frozen
from tasks.judging.decide import Outcomes, Verdict
from tasks.judging.gates import Evidence, Gate, Shown, SpeedOutcome, Terms, all_gates
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import Interval, Measured, NotMeasured, SpeedPoint
from tasks.judging.statistics import point_ratio
from tasks.toolchains import Provenance


class StageRecord(Frozen):
    """One stage whose result the judgement depends on."""

    stage: str
    fingerprint: str = Field(
        description="Digest of everything that its result depends on; the key of a measurement."
    )
    tree: str = Field(default="", description="Digest of the tree that it made; empty if it measures.")
    duration_s: float = Field(ge=0, description="Time that it took when it ran, in seconds.")
    reused: bool = Field(description="Whether the result of an earlier run was used.")
    toolchain: Provenance | None = Field(
        default=None, description="Where the toolchain that made it comes from; None if none took part."
    )


class Subject(Frozen):
    """What was judged and where, for the report."""

    spec: str
    variant: str
    model: str = Field(description="Repository and commit of the checkpoint.")
    target: str
    kind: str = Field(description="Engine kind.")
    quantization: str = Field(description="Recipe of the engine's weights.")
    environment: dict[str, str] = Field(description="Host class and tool versions, by name.")
    stages: tuple[StageRecord, ...] = ()
    since_last: str = Field(
        default="", description="How speeds changed since the last release with an engine, in sentences."
    )

    @property
    def host(self) -> str:
        """The processor or the GPUs that it was judged on, as part of a sentence."""
        return self.environment.get("gpus") or self.environment.get("cpu_model") or "an unknown host"


class JudgedResult(Frozen):
    """A verdict with all its evidence."""

    subject: Subject
    protocol: JudgingProtocol
    measured: Measured
    terms: Terms
    disqualified: tuple[str, ...] = Field(description="References that were shown not to be accurate enough.")
    outcomes: Outcomes
    verdict: Verdict
    created_at: AwareDatetime

    def shown(self) -> list[tuple[Gate[Any], Shown]]:
        """Return what every judged gate shows, in the order in which the gates decide."""
        evidence, judged = evidence_of(self.measured, self.protocol, self.terms), self.outcomes.gates
        return [(gate, gate.show(judged[gate.name], evidence)) for gate in all_gates() if gate.name in judged]

    @property
    def decisive(self) -> SpeedPoint | None:
        """The comparison at the operating point that decides; None if no round was timed."""
        speed, judged = self.measured.speed, self.outcomes.gates.get("speed")
        if isinstance(speed, NotMeasured) or not isinstance(judged, SpeedOutcome):
            return None
        return next(one for one in speed.deciding if one.reference.side == judged.reference)

    @property
    def speedup(self) -> Interval | None:
        """Engine / the reference that decides, at the operating point; None if no round was timed."""
        point = self.decisive
        return None if point is None else point_ratio(point, self.protocol.speed).interval


def evidence_of(measured: Measured, protocol: JudgingProtocol, terms: Terms) -> Evidence:
    """Return a measurement in the form that gates read."""
    speed = None if isinstance(measured.speed, NotMeasured) else measured.speed
    return Evidence(protocol, measured.accuracy, speed, terms)
