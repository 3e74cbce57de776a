"""Where compiling wins: every load that was measured, by its own bounds. Pure.

Speed is goodput, so requests beyond the objective do not count for either side. Beyond that, a side misses
the objective only where this is shown: a 99th percentile of few requests is that of the slowest one.

Only the operating point decides about an engine. Bounds of other points hold one by one, not all at once, and
few pairs show neither of most of them: they say where to look, and prove nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import Interval, SpeedPoint, SpeedResult
from tasks.judging.statistics.miss_bounds import Kept, shown_by
from tasks.judging.statistics.objective import DRAWS
from tasks.judging.statistics.ratio_bounds import point_ratio

Wins = Literal["wins", "loses", "not-shown"]
WORDS: dict[Wins, str] = {
    "wins": "Compiling wins",
    "loses": "It does not",
    "not-shown": "Neither is shown",
}


class RegionPoint(Frozen):
    """One load, and whether an engine is the better answer to it."""

    input_tokens: int
    output_tokens: int
    concurrency: int
    ratio: Interval = Field(description="Engine / reference.")
    engine_objective: Kept = Field(description="What the engine's rounds show about the objective.")
    reference_objective: Kept = Field(description="The same of the reference.")
    outcome: Wins = Field(
        description="wins: the lower bound reaches the bar, and the engine is not shown to miss the "
        "objective; or it is shown to meet it, and the reference to miss it. loses: not even the upper bound "
        "reaches the bar, or only the engine is shown to miss the objective. not-shown: neither."
    )

    @property
    def missed(self) -> bool:
        """Whether a side is shown to miss the objective."""
        return "missed" in (self.engine_objective, self.reference_objective)


def region(speed: SpeedResult, protocol: JudgingProtocol) -> tuple[RegionPoint, ...]:
    """Return all loads that were measured: the workload's own lengths first."""
    load = protocol.workload
    own = [_point(one, load.input_tokens, load.output_tokens, protocol) for one in speed.points]
    others = [_point(one.point, one.input_tokens, one.output_tokens, protocol) for one in speed.sweep]
    return (*own, *others)


def _point(point: SpeedPoint, given: int, generated: int, protocol: JudgingProtocol) -> RegionPoint:
    ratio, bar = point_ratio(point, protocol.speed).interval, protocol.speed.gate.min_speedup
    slo, confidence = protocol.workload.slo, protocol.speed.confidence
    mine, theirs = (
        shown_by(point.rounds, one.side, slo, confidence, draws=DRAWS)
        for one in (point.engine, point.reference)
    )
    outcome: Wins = "not-shown"
    if (mine != "missed" and ratio.lower >= bar) or (mine == "met" and theirs == "missed"):
        outcome = "wins"
    elif ratio.upper < bar or (mine == "missed" and theirs != "missed"):
        outcome = "loses"
    return RegionPoint(
        input_tokens=given,
        output_tokens=generated,
        concurrency=point.concurrency,
        ratio=ratio,
        engine_objective=mine,
        reference_objective=theirs,
        outcome=outcome,
    )


def region_in_words(points: Sequence[RegionPoint]) -> Iterator[str]:
    """Yield the region as sentences; none if there is but one load."""
    if len(points) == 1:
        return
    for outcome, words in WORDS.items():
        if own := [one for one in points if one.outcome == outcome]:
            yield f"{words} {_loads(own)}."


def _loads(points: Sequence[RegionPoint]) -> str:
    lengths = dict.fromkeys((one.input_tokens, one.output_tokens) for one in points)
    return " and ".join(_at(given, generated, points) for given, generated in lengths)


def _at(given: int, generated: int, points: Sequence[RegionPoint]) -> str:
    own: Iterator[int] = (
        one.concurrency for one in points if (one.input_tokens, one.output_tokens) == (given, generated)
    )
    return f"at {', '.join(map(str, own))} in flight of {given} + {generated} tokens"
