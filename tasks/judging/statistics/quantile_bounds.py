"""Bounds of quantiles of what requests waited for: of first tokens, and of the gaps between tokens. Pure.

A bound of a 99th percentile is a limit, and what is known about limits is the share that misses them. So the
upper bound is the shortest wait that is shown to be met as a limit, and the lower bound the longest one that
is shown to be missed, by the very bounds that decide about the objective (`miss_bounds`). The upper bound of
a 99th percentile is within the objective if, and only if, this limit is shown to be met.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from tasks.judging.results import Bounds, Interval
from tasks.judging.statistics.miss_bounds import ALLOWED_SHARE, miss_interval
from tasks.judging.statistics.regret_bounds import DRAWS

SHARES_BEYOND = (0.5, 0.1, ALLOWED_SHARE)
"""The shares that p50, p90 and p99 leave."""
ROUGH_DRAWS = 1_000
"""For p50 and p90, which no objective limits: many different waits are beyond them, which takes time."""


def quantile_bounds(waits_ms: Sequence[Sequence[float]], confidence: float) -> tuple[Bounds, Bounds, Bounds]:
    """Return the bounds of p50, p90 and p99 of all waits together.

    Args:
        waits_ms: the waits of each request, in the order of arrival: that for its first token, or those for
            each token after it, which may be none.
        confidence: of each upper bound; lower ones share the error, as those of misses do.
    """
    waits = _Waits(waits_ms, confidence)
    p50, p90, p99 = (waits.bounds(share) for share in SHARES_BEYOND)
    return p50, p90, p99


class _Waits:
    """Every wait that was seen, taken as a limit."""

    def __init__(self, waits_ms: Sequence[Sequence[float]], confidence: float) -> None:
        self._waits = [sorted(own) for own in waits_ms]
        self._counted = [float(len(own)) for own in self._waits]
        self._seen = sorted({wait for own in self._waits for wait in own})
        self._confidence = confidence
        self._known: dict[tuple[float, int], Interval] = {}

    def bounds(self, allowed: float) -> Bounds:
        """Return the bounds of the quantile that this share of the waits may exceed."""
        # Longer limits are missed less: those that are shown to be missed come first, met ones last.
        draws = DRAWS if allowed == ALLOWED_SHARE else ROUGH_DRAWS
        missed = bisect_left(self._seen, True, key=lambda wait: self._beyond(wait, draws).lower <= allowed)
        unmet = bisect_left(self._seen, True, key=lambda wait: self._beyond(wait, draws).upper <= allowed)
        return Bounds(
            lower=self._seen[missed - 1] if missed else 0.0,
            upper=self._seen[unmet] if unmet < len(self._seen) else None,
        )

    def _beyond(self, limit: float, draws: int) -> Interval:
        """Return the share of the waits that are longer than a limit."""
        if (limit, draws) not in self._known:
            missed = [float(len(own) - bisect_right(own, limit)) for own in self._waits]
            found = miss_interval(missed, self._counted, self._confidence, draws=draws)
            self._known[limit, draws] = found
        return self._known[limit, draws]
