"""What rounds and blocks have in common: their order, when to stop, and the point reported. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

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
"""The reference and the engine."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Whether and why no more pairs are made.

    Attributes:
        pairs: pairs to have made before the next look; those that were made if there is none.
        needed: pairs in all that reach the declared resolution, by the noise so far.
        ended: why there are no more; `undecided` if there are, or if the point decides nothing.
        looks: looks so far.
        error_share: share of the permitted error that its interval spends.
        reason: why, in words.
    """

    pairs: int
    needed: int
    ended: Ended
    looks: int
    error_share: float
    reason: str


def is_reversed(seed: int, pair: int) -> bool:
    """Whether the engine comes first in a pair: drawn by lot for every other pair, whose next is the reverse.

    So drift cancels over two pairs, and what comes back periodically favours no side.
    """
    drawn = Random(f"{seed}/order/{pair // 2}").random() < 0.5  # noqa: S311  no secret
    return drawn != bool(pair % 2)


def in_order(sides: Sides, protocol: JudgingProtocol, pair: int) -> Sides:
    """Return the sides in the order in which a pair asks them."""
    return sides[::-1] if is_reversed(protocol.seed, pair) else sides


def next_stop(
    rounds: Sequence[MeasuredRound],
    plan: SpeedPlan,
    *,
    engine: str,
    look: int,
    spent_s: float,
    attempt: int,
) -> Stop:
    """Look at the rounds made so far.

    Args:
        rounds: all of them, at the operating point.
        plan: bar, resolution and budget.
        engine: name of that side.
        look: number of this look; the first is 1.
        spent_s: seconds that the pairs took.
        attempt: how often this question was measured, this time included.
    """
    pairs = pairs_of(
        [one.result for one in rounds], plan.gate.metric, engine=engine, start_spread=plan.start_spread
    )
    pair_s = spent_s / len(pairs)
    affordable = max(len(pairs), math.floor(plan.gate.budget_minutes * SECONDS_PER_MINUTE / pair_s))
    confidence = attempt_confidence(plan.confidence, attempt)
    found = take_look(pairs, plan, confidence=confidence, number=look, affordable=affordable)
    ended = ENDED[int(found.ended)]
    return Stop(
        pairs=int(found.pairs),
        needed=int(found.needed),
        ended=ended,
        looks=look,
        error_share=(1 - float(found.confidence)) / (1 - plan.confidence),
        reason=_reason(ended, found, plan, pair_s),
    )


def _reason(ended: Ended, look: Look, plan: SpeedPlan, pair_s: float) -> str:
    needed, minutes = int(look.needed), math.ceil(int(look.needed) * pair_s / SECONDS_PER_MINUTE)
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
    return Stop(pairs, pairs, "undecided", looks=0, error_share=1.0, reason=reason)


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
