"""When the comparison with one reference ends, and the point that is reported of it. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.judging.endpoint import Side
from tasks.judging.measure.summaries import MeasuredRound, summarize
from tasks.judging.protocol import JudgingProtocol, SpeedPlan
from tasks.judging.results import Ended, SpeedPoint
from tasks.judging.statistics import (
    ENDED,
    Look,
    attempt_confidence,
    pairs_of,
    point_ratio,
    take_look,
)

SECONDS_PER_MINUTE = 60.0

Sides = tuple[Side, Side]
"""A reference and the engine."""


@dataclass(frozen=True, slots=True)
class Spent:
    """The time that cycles took.

    Attributes:
        total_s: of all of them.
        side_s: mean seconds of one cycle that each side takes, by its name.
    """

    total_s: float
    side_s: Mapping[str, float]

    def cycle_s(self, sides: Sequence[Side]) -> float:
        """Return the seconds of a cycle of these sides."""
        return sum(self.side_s[side.name] for side in sides)

    def affordable(self, plan: SpeedPlan, cycles: int, sides: Sequence[Side]) -> int:
        """Return the cycles in all that the budget allows if these sides go on; `cycles` were made."""
        left_s = plan.gate.budget_minutes * SECONDS_PER_MINUTE - self.total_s
        return cycles + max(0, math.floor(left_s / self.cycle_s(sides)))


@dataclass(frozen=True, slots=True)
class Stop:
    """Whether and why no more pairs are made.

    Attributes:
        pairs: pairs to have made before the next look; those that were made if there is none.
        needed: pairs in all that reach the declared resolution, by the noise so far.
        ended: why there are no more; `undecided` if there are, or if the point decides nothing.
        above: whether the engine was shown to be above the bar.
        looks: looks so far.
        error_share: share of the permitted error that its interval spends.
        reason: why, in words.
    """

    pairs: int
    needed: int
    ended: Ended
    above: bool
    looks: int
    error_share: float
    reason: str


def next_stop(
    rounds: Sequence[MeasuredRound],
    plan: SpeedPlan,
    *,
    engine: str,
    look: int,
    affordable: int,
    comparisons: int,
    cycle_s: float,
    attempt: int,
) -> Stop:
    """Look at the rounds of the engine and one reference made so far.

    Args:
        rounds: all of them, at the operating point, in pairs.
        plan: bar, resolution and budget.
        engine: name of that side.
        look: number of this look; the first is 1.
        affordable: pairs in all that the budget allows.
        comparisons: how many the engine has to win.
        cycle_s: seconds that one more pair takes, with all sides that are asked.
        attempt: how often this question was measured, this time included.
    """
    pairs = pairs_of(
        [one.result for one in rounds], plan.gate.metric, engine=engine, start_spread=plan.start_spread
    )
    confidence = attempt_confidence(plan.confidence, attempt)
    found = take_look(
        pairs,
        plan,
        confidence=confidence,
        number=look,
        affordable=affordable,
        comparisons=comparisons,
    )
    ended = ENDED[int(found.ended)]
    return Stop(
        pairs=int(found.pairs),
        needed=int(found.needed),
        ended=ended,
        above=bool(found.lower >= math.log(plan.gate.min_speedup)),
        looks=look,
        error_share=(1 - float(found.confidence)) / (1 - plan.confidence),
        reason=_reason(ended, found, plan, cycle_s),
    )


def _reason(ended: Ended, look: Look, plan: SpeedPlan, cycle_s: float) -> str:
    needed, minutes = int(look.needed), math.ceil(int(look.needed) * cycle_s / SECONDS_PER_MINUTE)
    needs = f"{needed} pairs find an excess of {plan.resolution:.1%} at this noise"
    budget = f"the budget of {plan.gate.budget_minutes:g} min"
    return {
        "undecided": f"{needs}; next look after {int(look.pairs)}",
        "clear": "the ratio is clear of the bar",
        "resolved": needs,
        "budget": f"{budget} is spent; {needs}, which take about {minutes} min",
        "underpowered": f"the rest of {budget} would settle nothing: {needs}, which take about {minutes} min",
    }[ended]


def elsewhere(pairs: int) -> Stop:
    """Return the end of a point that decides nothing."""
    reason = f"{pairs} pairs are declared for points other than the operating point"
    return Stop(pairs, pairs, "undecided", above=False, looks=0, error_share=1.0, reason=reason)


def finish_point(
    rounds: Sequence[MeasuredRound], sides: Sides, protocol: JudgingProtocol, stop: Stop
) -> tuple[SpeedPoint, str]:
    """Return the point of all rounds at one concurrency, in their order, and a line of progress."""
    reference, engine = (side.name for side in sides)
    point = SpeedPoint(
        concurrency=rounds[0].result.concurrency,
        planned_pairs=stop.needed,
        looks=stop.looks,
        error_share=stop.error_share,
        ended=stop.ended,
        stopped=stop.reason,
        rounds=tuple(one.result for one in rounds),
        engine=summarize([one for one in rounds if one.result.side == engine]),
        reference=summarize([one for one in rounds if one.result.side == reference]),
    )
    line = (
        f"{point.concurrency} in flight: {engine} / {reference} = "
        f"{point_ratio(point, protocol.speed).interval.text()} after {point.pairs_in_words} ({stop.reason})"
    )
    return point, line
