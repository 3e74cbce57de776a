"""Where compiling wins: every load that was measured, by its own bound. Pure.

Only the operating point decides about an engine. Bounds of other points hold one by one, not all at once, and
few pairs show neither of most of them: they say where to look, and prove nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import Interval, SpeedPoint, SpeedResult
from tasks.judging.statistics.objective import meets
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
    engine_within: bool = Field(description="Whether the engine's estimates are within the objective.")
    reference_within: bool = Field(description="The same of the reference.")
    outcome: Wins = Field(
        description="wins: the lower bound reaches the bar, within the objective, or only the engine is in "
        "it; loses: not even the upper bound reaches it, or only the engine is beyond the objective; "
        "not-shown: neither."
    )


def region(speed: SpeedResult, protocol: JudgingProtocol) -> tuple[RegionPoint, ...]:
    """Return all loads that were measured: the workload's own lengths first."""
    load = protocol.workload
    own = [_point(one, load.input_tokens, load.output_tokens, protocol) for one in speed.points]
    others = [_point(one.point, one.input_tokens, one.output_tokens, protocol) for one in speed.sweep]
    return (*own, *others)


def _point(point: SpeedPoint, given: int, generated: int, protocol: JudgingProtocol) -> RegionPoint:
    ratio, bar = point_ratio(point, protocol.speed).interval, protocol.speed.gate.min_speedup
    mine, theirs = (meets(side, protocol.workload.slo) for side in (point.engine, point.reference))
    outcome: Wins = "not-shown"
    if mine and (ratio.lower >= bar or not theirs):
        outcome = "wins"
    elif ratio.upper < bar or (theirs and not mine):
        outcome = "loses"
    return RegionPoint(
        input_tokens=given,
        output_tokens=generated,
        concurrency=point.concurrency,
        ratio=ratio,
        engine_within=mine,
        reference_within=theirs,
        outcome=outcome,
    )


def region_in_words(points: Sequence[RegionPoint]) -> str:
    """Return the region as sentences; empty if there is but one load."""
    if len(points) == 1:
        return ""
    found = [(outcome, [one for one in points if one.outcome == outcome]) for outcome in WORDS]
    return " ".join(f"{WORDS[outcome]} {_loads(own)}." for outcome, own in found if own)


def _loads(points: Sequence[RegionPoint]) -> str:
    lengths = dict.fromkeys((one.input_tokens, one.output_tokens) for one in points)
    return " and ".join(_at(given, generated, points) for given, generated in lengths)


def _at(given: int, generated: int, points: Sequence[RegionPoint]) -> str:
    own: Iterator[int] = (
        one.concurrency for one in points if (one.input_tokens, one.output_tokens) == (given, generated)
    )
    return f"at {', '.join(map(str, own))} in flight of {given} + {generated} tokens"
