"""The concurrency at which a side is rated: by what its rounds show of the objective, and not by luck. Pure.

A 99th percentile of few requests may be within the limit by luck, or beyond it. So each use takes the
concurrency that cannot err in the engine's favour:

- `at_most`: where the reference serves most, unless its rounds show that it misses the objective there. Money
  is held against this rate.
- `at_least`: where the reference was shown to meet the objective or, if nowhere, the declared operating point
  and no more than its estimates allow. Its load in open loop is taken from there: one that is too high would
  let it miss the objective, and that is a reason to compile.
- `by_estimates`: where the engine serves most by its estimates. They prove nothing, but choose the load of
  open loop, which proves whether the engine meets the objective under it. The engine is rated at the same
  concurrency, so nothing is compiled for a rate that was not shown. A load that is too high only harms it.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from engine_specs.spec import Slo
from tasks.judging.results import Interval, LoadPoint, LoadSummary, Metric, SpeedPoint
from tasks.judging.statistics.miss_bounds import Kept, shown_by

Role = Literal["reference", "engine"]
Bound = Literal["lower", "upper"]

DRAWS = 1_000
"""Of the bounds of misses in rounds: there are many loads, and open loop decides about the objective."""


class Served(NamedTuple):
    """One side at one concurrency.

    Attributes:
        summary: its rounds.
        shown: what they show of the objective.
    """

    summary: LoadSummary
    shown: Kept


def served_at(points: Sequence[SpeedPoint], role: Role, slo: Slo, confidence: float) -> list[Served]:
    """Return one side of a comparison at each concurrency."""
    found = [(one, getattr(one, role)) for one in points]
    return [Served(own, shown_by(one.rounds, own.side, slo, confidence, draws=DRAWS)) for one, own in found]


def baseline_served(points: Sequence[LoadPoint], slo: Slo, confidence: float) -> list[Served]:
    """Return a side that was measured alone at each concurrency."""
    found = [(one.summary, one.rounds) for one in points]
    return [Served(own, shown_by(rounds, own.side, slo, confidence, draws=DRAWS)) for own, rounds in found]


def meets(summary: LoadSummary, slo: Slo) -> bool:
    """Whether the pooled 99th percentiles of one side are within the objective; an estimate."""
    return summary.ttft_ms.p99 <= slo.ttft_p99_ms and summary.itl_ms.p99 <= slo.itl_p99_ms


def at_most(served: Sequence[Served]) -> Served:
    """Return where a side may serve most: unless shown to miss the objective, by the upper bound."""
    return _best(_not_missing(served), "upper")


def by_estimates(served: Sequence[Served], slo: Slo) -> Served:
    """Return where a side serves most by its estimates and the lower bound of its rate."""
    within = [one for one in served if meets(one.summary, slo)]
    return _best(within or _not_missing(served), "lower")


def at_least(served: Sequence[Served], slo: Slo, declared: int) -> Served:
    """Return where a side is sure to serve; `declared` is the operating point."""
    sure = [one for one in served if one.shown == "met"]
    if sure:
        return _best(sure, "lower")
    estimated = by_estimates(served, slo)
    return min(
        (estimated, *(one for one in served if one.summary.concurrency == declared)),
        key=lambda one: one.summary.throughput_per_device.estimate,
    )


def rate_bound(summary: LoadSummary, metric: Metric, bound: Bound) -> float:
    """Return a bound of a rate that is not below zero, by the delta method on its logarithm."""
    rate: Interval = getattr(summary, metric)
    if rate.estimate <= 0:
        return 0.0
    return rate.estimate * math.exp((getattr(rate, bound) - rate.estimate) / rate.estimate)


def _not_missing(served: Sequence[Served]) -> Sequence[Served]:
    """Return those that are not shown to miss the objective or, if all are, all."""
    return [one for one in served if one.shown != "missed"] or served


def _best(served: Sequence[Served], bound: Bound) -> Served:
    """Return the one of largest goodput; of those without any, of largest throughput."""

    def rates(one: Served) -> tuple[float, float]:
        goodput = rate_bound(one.summary, "goodput_per_device", bound)
        return goodput, rate_bound(one.summary, "throughput_per_device", bound)

    return max(served, key=rates)
