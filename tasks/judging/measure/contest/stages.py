"""When the comparison with one reference ends, and the point that is reported of it. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from artifacts.progress import Say
from tasks.judging.endpoint import Side
from tasks.judging.measure.open_loop import open_loop_s, rate_of
from tasks.judging.measure.phases import SECONDS_PER_MINUTE, in_words, left_in_words
from tasks.judging.measure.summaries import MeasuredRound, summarize
from tasks.judging.protocol import JudgingProtocol, SpeedPlan
from tasks.judging.results import Ended, SpeedPoint
from tasks.judging.statistics import (
    ENDED,
    Look,
    Role,
    attempt_confidence,
    pairs_of,
    point_ratio,
    take_look,
)

Sides = tuple[Side, Side]
"""A reference and the engine."""
ROLES: tuple[Role, Role] = ("reference", "engine")


@dataclass(frozen=True, slots=True)
class Spent:
    """The time that cycles took.

    Attributes:
        total_s: of all of them.
        side_s: mean seconds of one cycle that each side takes, by its name.
    """

    total_s: float
    side_s: Mapping[str, float]

    @classmethod
    def of(cls, total_s: float, parts: Iterable[tuple[str, float]]) -> "Spent":
        """Return it for parts of cycles: the name of a side, and the seconds that it took once."""
        taken: dict[str, list[float]] = {}
        for side, seconds in parts:
            taken.setdefault(side, []).append(seconds)
        return cls(total_s, {side: fmean(seconds) for side, seconds in taken.items()})

    def cycle_s(self, sides: Sequence[Side]) -> float:
        """Return the seconds of a cycle of these sides."""
        return sum(self.side_s[side.name] for side in sides)

    def affordable(self, budget_s: float, cycles: int, sides: Sequence[Side]) -> int:
        """Return the cycles in all that so many seconds allow if these sides go on; `cycles` were made."""
        return cycles + max(0, math.floor((budget_s - self.total_s) / self.cycle_s(sides)))


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


def open_loop_needs_s(
    rounds: Sequence[MeasuredRound], sides: Sides, protocol: JudgingProtocol, attempt: int
) -> float:
    """Return the seconds that open loop takes for both sides until the first look, by their rounds so far."""
    seconds = 0.0
    for side, role in zip(sides, ROLES, strict=True):
        own = summarize([one for one in rounds if one.result.side == side.name])
        seconds += open_loop_s(role, rate_of(own, side.devices, protocol.workload), protocol, attempt)
    return seconds


def left_for_pairs_s(left_s: float, others_s: float, protocol: JudgingProtocol, say: Say) -> float:
    """Return the seconds for all pairs at the operating point, and say what the rest is kept for.

    If open loop and the other concurrencies take more than there is, nothing is kept for them.
    """
    minutes = f"the budget of {protocol.speed.gate.budget_minutes:g} min"
    needs = f"open loop and other concurrencies take about {in_words(others_s)}"
    if others_s > left_s:
        say(f"{needs}, and {left_in_words(left_s)} are left of {minutes}: too little to show the objective")
        return left_s
    say(f"{needs}, which are kept of the {left_in_words(left_s)} that are left of {minutes}")
    return left_s - others_s


def elsewhere_s(pair_s: float, protocol: JudgingProtocol) -> float:
    """Return the seconds that pairs of rounds take at all other concurrencies, as fast as at this one."""
    load, plan = protocol.workload, protocol.rounds
    requests = [plan.requests(one) for one in load.concurrency if one != load.operating_point]
    return (protocol.speed.pairs_elsewhere + 1) * pair_s * sum(requests) / plan.requests(load.operating_point)


def finish_elsewhere(
    rounds: Sequence[MeasuredRound], sides: Sides, protocol: JudgingProtocol, made_again: int, say: Say
) -> SpeedPoint:
    """Return the point of all rounds at a concurrency that decides nothing; see `finish_point`."""
    pairs = len({one.result.block for one in rounds}) // 2
    reason = f"{pairs} pairs are declared for points other than the operating point"
    stop = Stop(pairs, pairs, "undecided", above=False, looks=0, error_share=1.0, reason=reason)
    return finish_point(rounds, sides, protocol, stop, made_again, say)


def finish_point(
    rounds: Sequence[MeasuredRound],
    sides: Sides,
    protocol: JudgingProtocol,
    stop: Stop,
    made_again: int,
    say: Say,
) -> SpeedPoint:
    """Return the point of all rounds at one concurrency, in their order, and say what it shows.

    `made_again` is how often pairs were made again for others' load.
    """
    reference, engine = (side.name for side in sides)
    point = SpeedPoint(
        concurrency=rounds[0].result.concurrency,
        planned_pairs=stop.needed,
        looks=stop.looks,
        error_share=stop.error_share,
        ended=stop.ended,
        stopped=stop.reason,
        made_again=made_again,
        rounds=tuple(one.result for one in rounds),
        engine=summarize([one for one in rounds if one.result.side == engine]),
        reference=summarize([one for one in rounds if one.result.side == reference]),
    )
    say(
        f"{point.concurrency} in flight: {engine} / {reference} = "
        f"{point_ratio(point, protocol.speed).interval.text()} after {point.pairs_in_words} ({stop.reason})"
    )
    return point
