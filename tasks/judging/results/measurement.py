"""All that one measurement holds, and what it was measured on."""

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.conditions import PlacementChoice, RanWith, SideMemory, Start
from tasks.judging.results.accuracy import AccuracyResult
from tasks.judging.results.opinions import NoOpinion, SpeedOpinion
from tasks.judging.results.quantities import Interval
from tasks.judging.results.speed import NotMeasured, SpeedResult


class IdleCheck(Frozen):
    """What an idle side on the same GPUs costs the side that is asked."""

    side: str = Field(description="The side that was asked.")
    ratio: Interval = Field(
        description="Its speed next to idle sides, relative to its speed while they are suspended."
    )
    log_ratios: tuple[float, ...] = Field(
        min_length=2, description="Logarithm of that of each pair of rounds, alone and next to idle sides."
    )
    tolerance: float = Field(gt=0, description="Loss of speed that would not matter.")

    @property
    def pairs(self) -> int:
        """The number of pairs of rounds."""
        return len(self.log_ratios)

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes a loss that would matter, or nothing but such a loss."""
        return self.ratio.lower >= 1 - self.tolerance or self.ratio.upper < 1 - self.tolerance

    @property
    def costs_nothing(self) -> bool:
        """Whether no loss that would matter is possible by the interval.

        One that decides nothing after all pairs, but holds 1, may reach below 1 by twice the tolerance.
        """
        allowed = 2 * self.tolerance if self.ratio.upper >= 1 else self.tolerance
        return self.ratio.lower >= 1 - allowed

    def text(self) -> str:
        """Write it as part of a sentence."""
        return (
            f"next to idle sides, {self.side} is {self.ratio.text()} times as fast as alone "
            f"({self.pairs} pairs; a loss of {self.tolerance:.1%} is allowed)"
        )


class Conditions(Frozen):
    """The conditions of a measurement."""

    placement: PlacementChoice
    idle: tuple[IdleCheck, ...] = Field(
        default=(), description="What idle sides cost, if sides share GPUs, or were to share them."
    )
    starts: tuple[Start, ...] = Field(default=(), description="Every start of a side, in order.")
    ran_with: tuple[RanWith, ...] = Field(default=(), description="What each side that vLLM serves ran with.")
    memory: tuple[SideMemory, ...] = Field(
        default=(), description="GPU memory of each side; empty if nothing computes on a GPU."
    )


class Measured(Frozen):
    """Everything that was measured of one engine under one protocol."""

    protocol_digest: str
    conditions: Conditions
    accuracy: AccuracyResult = Field(description="The engine against the first reference.")
    references: tuple[AccuracyResult, ...] = Field(
        default=(), description="The other references against the first one."
    )
    speed: SpeedResult | NotMeasured = Field(description="The timed rounds, or why there are none.")
    speed_opinion: SpeedOpinion | NoOpinion | None = Field(
        default=None,
        exclude_if=lambda opinion: opinion is None,
        description="What the tool's own benchmark says; None if it has none, or the spec asks for none.",
    )
