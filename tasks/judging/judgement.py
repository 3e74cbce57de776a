"""One judged engine: what was asked, what was measured, what each gate and the table came to."""

from pydantic import AwareDatetime, Field

from artifacts.frozen import Frozen
from tasks.judging.decide.verdict import Outcomes, Verdict
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import Measured


class StageRecord(Frozen):
    """Where one input of the judgement came from."""

    stage: str
    fingerprint: str = Field(description="Digest of everything that its result depends on.")
    tree: str = Field(default="", description="Digest of the tree that it made, if it makes one.")
    duration_s: float = Field(ge=0, description="Time that it took when it ran.")
    reused: bool = Field(description="Whether an earlier run's result was taken.")


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


class JudgedResult(Frozen):
    """A verdict with all its evidence."""

    subject: Subject
    protocol: JudgingProtocol
    measured: Measured
    disqualified: tuple[str, ...] = Field(
        description="References that were not accurate enough to compare with."
    )
    outcomes: Outcomes
    verdict: Verdict
    created_at: AwareDatetime
