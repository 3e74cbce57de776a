"""Whether the limits of the service level objective are kept: bounds of the share that misses them. Pure.

An objective such as `ttft_p99_ms: 1000` allows 1 % of requests to take longer. So it is met if the upper
bound of the share of misses is at most 1 %, and missed if the lower bound is above that. Of the gaps between
tokens, 1 % may be longer; all gaps of a request are one observation, as they depend on each other.

The bounds:

- Without a miss among n requests, the share is below 1 - (1 - confidence)**(1/n) (Clopper and Pearson).
- With misses, the bound assumes one more request than there were (`regret_bounds`). Requests are units, and
  so are 4 and 16 neighbours together: whoever waits makes others wait. The widest interval counts, and the
  additional unit misses as much as the worst one that was seen.
- If nobody saw a miss, nobody can know that misses come in groups. So a fault that harms k requests at a time
  is excluded up to k times the limit only, unless it is seen once.

Requests are added until the limits are settled. Looks share the error: the first spends four fifths of it,
each further one four fifths of what is left; each has twice the requests of the one before.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from engine_specs.spec import Slo
from tasks.judging.results import Interval, OpenLoopSide, RequestRecord, RoundResult
from tasks.judging.statistics.regret_bounds import DRAWS, Unit, mean_bounds, share_interval, wider

ALLOWED_SHARE = 0.01
"""What a 99th percentile leaves."""
FIRST_SHARE = 0.8
NEIGHBOURS = (1, 4, 16)
MOST_REQUESTS = 10_000_000

WAYS_TO_MISS = 4
"""Either limit may be shown to be missed, under arrivals or in rounds: lower bounds share the error."""

Kept = Literal["met", "missed", "underpowered"]


class Misses(NamedTuple):
    """What missed the limits of the objective, one entry per request, in the order of arrival.

    Attributes:
        late: 1 if the first token came too late, otherwise 0.
        slow: gaps between tokens that were too long.
        gaps: all gaps; 0 if there was but one token.
    """

    late: Sequence[float]
    slow: Sequence[float]
    gaps: Sequence[float]


class Limits(NamedTuple):
    """The shares that miss each limit, with their bounds."""

    first_tokens: Interval
    gaps: Interval

    @property
    def kept(self) -> Kept:
        """Whether both limits are met, or one of them is missed."""
        if any(one.lower > ALLOWED_SHARE for one in self):
            return "missed"
        return "met" if all(one.upper <= ALLOWED_SHARE for one in self) else "underpowered"


def misses_of(requests: Sequence[RequestRecord], slo: Slo) -> Misses:
    """Return what of these requests missed the objective."""
    return Misses(
        [float(one.ttft_ms > slo.ttft_p99_ms) for one in requests],
        [float(one.slow_gaps) for one in requests],
        [float(one.gaps) for one in requests],
    )


def limits_of(misses: Misses, confidence: float, *, draws: int = DRAWS) -> Limits:
    """Return the bounds of both shares; the lower ones share the error."""
    ones = [1.0] * len(misses.late)
    has_gaps = any(misses.gaps)
    return Limits(
        miss_interval(misses.late, ones, confidence, draws=draws),
        miss_interval(misses.slow, misses.gaps if has_gaps else ones, confidence, draws=draws),
    )


def shown_by(
    rounds: Sequence[RoundResult], side: str, slo: Slo, confidence: float, *, draws: int = DRAWS
) -> Kept:
    """Return what the rounds of a side show of the objective; rounds of other sides do not count."""
    requests = [record for one in rounds if one.side == side for record in one.requests]
    if not requests:
        return "underpowered"
    return limits_of(misses_of(requests, slo), confidence, draws=draws).kept


def shown_of(asked: OpenLoopSide, rounds: Sequence[RoundResult], slo: Slo, confidence: float) -> Kept:
    """Return what is shown of a side: it meets the objective in open loop, and may miss it in rounds, too.

    Args:
        asked: the side in open loop.
        rounds: those at the operating point, of this side and of others.
        slo: the objective.
        confidence: of everything that is said about the side.
    """
    if shown_by(rounds, asked.side, slo, confidence) == "missed":
        return "missed"
    limits = open_loop_limits(asked, slo, confidence)
    return "underpowered" if limits is None else limits.kept


def open_loop_limits(asked: OpenLoopSide, slo: Slo, confidence: float) -> Limits | None:
    """Return the bounds of a side in open loop; None if no request was sent."""
    if not asked.requests:
        return None
    return limits_of(misses_of(asked.requests, slo), look_confidence(confidence, asked.looks))


def look_confidence(confidence: float, number: int) -> float:
    """Return the confidence of one look at the misses, the first being 1, that leaves all at `confidence`."""
    return 1 - (1 - confidence) * FIRST_SHARE * (1 - FIRST_SHARE) ** (number - 1)


def requests_without_miss(confidence: float) -> int:
    """Return how many requests, none of which misses, show that a limit is met; 299 at 95 %."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - ALLOWED_SHARE))


def requests_of_look(confidence: float, number: int) -> int:
    """Return how many requests there are at a look; without a miss, the first one settles the limit."""
    return int(requests_without_miss(look_confidence(confidence, 1)) * 2 ** (number - 1))


def miss_interval(
    missed: Sequence[float], counted: Sequence[float], confidence: float, *, draws: int = DRAWS
) -> Interval:
    """Return bounds of the share that missed.

    Args:
        missed: what missed of each request, in the order of arrival: itself, or some of its gaps.
        counted: of how many; 1 for each request, or the number of its gaps.
        confidence: of the upper bound; the lower one has a part of the error.
        draws: of the quantiles, if there are misses.
    """
    if not sum(missed):
        return share_interval(0, len(missed), confidence)
    # In requests: one more of them has as many gaps as the others have in the mean.
    each = sum(counted) / len(counted)
    units = [(one / each, number / each) for one, number in zip(missed, counted, strict=True)]
    return _bounds(units, confidence, 1 - (1 - confidence) / WAYS_TO_MISS, draws)


def requests_to_settle(interval: Interval, requests: int, confidence: float) -> int | None:
    """Return how many requests settle a limit if as large a share of them misses it; None if none can.

    Misses that come together need more, in the ratio of the squared widths of the interval and of that of
    independent requests.
    """
    share = interval.estimate
    least = requests_without_miss(confidence)
    spread = _spread(interval, requests)
    count = float(max(least, requests))
    while count <= MOST_REQUESTS:
        independent = count / spread
        alone = share_interval(round(share * independent), max(1, round(independent)), confidence)
        if alone.upper <= ALLOWED_SHARE or alone.lower > ALLOWED_SHARE:
            return math.ceil(count)
        count *= 1.05
    return None


def _spread(interval: Interval, requests: int) -> float:
    """Return how many requests count as one, by the width of their interval."""
    alone = share_interval(round(interval.estimate * requests), requests, interval.confidence)
    return max(1.0, ((interval.upper - interval.lower) / (alone.upper - alone.lower)) ** 2)


def _bounds(units: Sequence[Unit], confidence: float, lower_confidence: float, draws: int) -> Interval:
    """Return the widest bounds over all numbers of neighbours."""
    counts = [count for count in NEIGHBOURS if count == 1 or len(units) >= 2 * count]
    return wider(
        [
            mean_bounds(_together(units, count), _worst, confidence, draws, lower_confidence=lower_confidence)
            for count in counts
        ]
    )


def _worst(largest: float) -> float:
    return max(1.0, largest)


def _together(units: Sequence[Unit], count: int) -> Sequence[Unit]:
    """Return the sums of neighbours, so many at a time; the last ones may be fewer."""
    if count == 1:
        return units
    parts = (units[start : start + count] for start in range(0, len(units), count))
    return [(math.fsum(a for a, _ in part), math.fsum(b for _, b in part)) for part in parts]
