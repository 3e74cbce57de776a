"""Two sides under load: ratios per point, blocks, and why nothing more was timed."""

from itertools import groupby
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.settings import QuietHost
from tasks.judging.results.load import LoadSummary, RoundResult
from tasks.judging.results.open_loop import OpenLoopResult
from tasks.judging.results.quantities import Interval
from tasks.judging.results.timed_answers import TimedAnswers

Ended = Literal["clear", "resolved", "budget", "underpowered", "undecided"]
"""Why no more pairs were made: the ratio is clear of the bar; it is as precise as declared; the budget is
spent; it is too small to settle anything; or the point decides nothing."""


class SpeedPoint(Frozen):
    """Both sides at one concurrency; rounds in the order of their blocks.

    The unit of the statistics is the block: what a start of a side decides (memory layout, clocks, tuning) is
    common to all of its rounds.
    """

    concurrency: int
    planned_pairs: int = Field(description="Pairs that the declared resolution needs, by their noise.")
    looks: int = Field(ge=0, description="Looks at the ratio that shared the error; 0 if it decides nothing.")
    error_share: float = Field(
        gt=0, le=1, description="Share of the permitted error that is left by other looks and attempts."
    )
    ended: Ended = Field(description="Why no more rounds were made, in a word.")
    stopped: str = Field(description="Why no more rounds were made.")
    made_again: int = Field(
        default=0, ge=0, description="How often pairs were discarded because others disturbed them."
    )
    rounds: tuple[RoundResult, ...]
    engine: LoadSummary
    reference: LoadSummary

    @property
    def pairs(self) -> int:
        """The number of pairs of blocks; if all sides stay up, each round is a block."""
        return len({one.block for one in self.rounds}) // 2

    @property
    def pairs_in_words(self) -> str:
        """How many pairs there are, and of what."""
        blocks = [len(list(group)) for _, group in groupby(self.rounds, key=lambda one: one.block)]
        of = "rounds" if max(blocks) == 1 else f"blocks of {max(blocks)} rounds, each after a start"
        return f"{len(blocks) // 2} pairs of {of}"


class SweepPoint(Frozen):
    """Both sides with requests of other lengths, at one concurrency."""

    input_tokens: int
    output_tokens: int
    point: SpeedPoint


class LeftOut(Frozen):
    """A reference that was to be timed, and was not."""

    reference: str
    reason: str = Field(description="Why, as part of a sentence.")


GainOf = Literal["quantizing", "compiling"]


class Gain(Frozen):
    """How much faster one side is than another that differs from it in one respect."""

    of: GainOf = Field(description="In which respect they differ.")
    side: str
    than: str
    ratio: Interval = Field(description="Speed of the side, relative to the other; it decides nothing.")


class NotMeasured(Frozen):
    """No speed was measured: it would change nothing, the budget is too small, or the host was busy."""

    outcome: Literal["not-measured"] = "not-measured"
    cause: Literal["rejected", "unaffordable", "host-busy"] = Field(
        default="rejected",
        description="rejected: its speed would change nothing; unaffordable: the budget is too small; "
        "host-busy: others computed on the host.",
    )
    reason: str = Field(description="Why, in a sentence.")
    looked: bool = Field(
        default=False,
        exclude_if=lambda looked: not looked,
        description="Whether ratios had been looked at before others disturbed it: it counts as an attempt.",
    )


class BlockCost(Frozen):
    """What one block of an in-turn measurement took."""

    side: str = Field(description="The side that was started.")
    ready_s: float = Field(ge=0, description="Seconds from its start until it was ready.")
    spent_s: float = Field(gt=0, description="Seconds that the whole block took, start and stop included.")
    rounds: int = Field(ge=1, description="Counted rounds at the operating point.")
    throttled: tuple[str, ...] = Field(
        description="Why clocks were lowered during its rounds; usually empty."
    )


class SpeedResult(Frozen):
    """Engine against every reference that qualified."""

    engine: str
    reference: str = Field(
        description="The strongest reference: the one that keeps the engine from winning or, if it "
        "beats all, the one with the smallest ratio."
    )
    protocol_digest: str
    attempt: int = Field(
        default=1, ge=1, description="How often this question was measured, this time included."
    )
    operating_point: int
    points: tuple[SpeedPoint, ...] = Field(description="Against the strongest reference.")
    others: tuple[SpeedPoint, ...] = Field(
        default=(), description="Against each other reference, at the operating point; the strongest first."
    )
    left_out: tuple[LeftOut, ...] = Field(
        default=(), description="References that qualified, and that the budget did not allow to time."
    )
    blocks: tuple[BlockCost, ...] = Field(
        default=(), description="The blocks, in their order, if sides were measured in turn."
    )
    quiet_host: QuietHost = Field(
        default="record", description="Whether the host had to be quiet while it was measured."
    )
    timed: TimedAnswers = Field(description="What the timed rounds were answered with.")
    open_loop: OpenLoopResult = Field(
        description="The engine and the strongest reference in open loop, which decides the objective."
    )
    sweep: tuple[SweepPoint, ...] = Field(
        default=(), description="Points with requests of other lengths, which decide nothing."
    )
    omitted: tuple[str, ...] = Field(
        default=(),
        description="What else was declared and not measured, each with the reason, in a sentence.",
    )

    @property
    def at_operating_point(self) -> SpeedPoint:
        """The comparison with the strongest reference at the operating point."""
        return next(p for p in self.points if p.concurrency == self.operating_point)

    @property
    def deciding(self) -> tuple[SpeedPoint, ...]:
        """The comparisons at the operating point, of which the engine has to win all; the strongest first."""
        return (self.at_operating_point, *self.others)

    @property
    def cycles(self) -> int:
        """The cycles at the operating point; a reference that was beaten took part in the first ones only."""
        return max(one.pairs for one in self.deciding)
