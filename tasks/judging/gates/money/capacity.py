"""What one side can serve within the objective, and how many devices a load takes. Pure.

Invariants:
- Both sides are rated in one unit: output tokens per second and device of requests within the objective or,
  if a side has no such request, of all requests. Each is rated where it is best, which may be at another
  concurrency than the one that decides about speed.
- What is in doubt counts for the reference. It is rated where it serves most, unless its rounds show that it
  misses the objective there, and by the upper bound of its rate. The engine is rated by the lower bound, at
  the concurrency that its load in open loop is taken from: open loop shows whether it meets the objective.
- Devices are bought whole, in servers of as many as one server occupies. No engine is planned to serve more
  than the load under which its objective is judged: a share of its best rate, or the declared arrivals.
"""

import math
from collections.abc import Sequence

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.spec import Economics, Slo, Workload
from tasks.judging.results import Interval, LoadPoint, Metric, SpeedResult
from tasks.judging.statistics import (
    Bound,
    Kept,
    Served,
    at_least,
    at_most,
    baseline_served,
    by_estimates,
    meets,
    rate_bound,
    served_at,
)

SECONDS_PER_DAY = 86_400.0


class Capacity(Frozen):
    """The best rate of one side."""

    side: str
    concurrency: int = Field(ge=1, description="Requests in flight at which it is best.")
    shown: Kept = Field(description="What its rounds there show of the objective.")
    metric: Metric
    tokens_per_s: float = Field(
        gt=0, description="Output tokens per second and device: the bound that favours the reference."
    )
    devices: int = Field(ge=1, description="Devices of one server.")

    @property
    def server_tokens_per_s(self) -> float:
        """Output tokens per second of one server."""
        return self.tokens_per_s * self.devices


def capacities(speed: SpeedResult, slo: Slo, confidence: float) -> tuple[Capacity, Capacity]:
    """Return the capacities of the reference that may serve most and of the engine, in one unit.

    Every reference counts wherever it was timed: the strongest at each concurrency, the others at the
    operating point. `confidence` is that of what rounds show of the objective.
    """
    references = [
        at_most(served_at(one, "reference", slo, confidence))
        for one in (speed.points, *([point] for point in speed.others))
    ]
    engine = by_estimates(served_at(speed.points, "engine", slo, confidence), slo)
    metric = _common_metric((engine, at_most(references)))
    rated = [
        _capacity(one, metric, "upper", _devices(speed, one.summary.side))
        for one in references
        if rate_bound(one.summary, metric, "upper")
    ]
    return (
        max(rated, key=lambda one: (one.shown != "missed", one.tokens_per_s)),
        _capacity(engine, metric, "lower", _devices(speed, speed.engine)),
    )


def hoped_capacities(
    points: Sequence[LoadPoint], workload: Workload, devices: int, ratio: float, confidence: float
) -> tuple[Capacity, Capacity]:
    """Return the capacities of a reference that was measured alone and of an engine `ratio` times as fast.

    Here, what is in doubt counts for the engine. The reference is rated where it was shown to meet the
    objective (`at_least`), the engine wherever it may meet it: each of its requests takes as much less time,
    so it may be within the objective at a concurrency at which the reference is not.
    """
    slo = workload.slo
    served = baseline_served(points, slo, confidence)
    sure = at_least(served, slo, workload.operating_point)
    hoped = at_most([_faster(one, slo, ratio) for one in served])
    metric = _common_metric((sure, hoped))
    return _capacity(sure, metric, "upper", devices), _capacity(hoped, metric, "upper", devices)


def peak_tokens_per_s(prices: Economics, workload: Workload) -> float:
    """Return the output tokens per second at the peak of the declared load."""
    return prices.requests_per_day / SECONDS_PER_DAY * prices.peak_to_mean * workload.output_tokens


def planned_tokens_per_s(capacity: Capacity, workload: Workload) -> float:
    """Return the output tokens per second that one server is planned to serve at the peak."""
    arrivals = workload.arrivals
    if arrivals.per_s is not None:
        return min(capacity.server_tokens_per_s, arrivals.per_s * workload.output_tokens)
    return arrivals.share_of_capacity * capacity.server_tokens_per_s


def devices_for(tokens_per_s: float, capacity: Capacity, workload: Workload, spare_servers: int) -> int:
    """Return the devices that serve a load, in whole servers, with those that are spare."""
    planned = planned_tokens_per_s(capacity, workload)
    servers = max(1, math.ceil(tokens_per_s / planned)) + spare_servers
    return servers * capacity.devices


def _capacity(best: Served, metric: Metric, bound: Bound, devices: int) -> Capacity:
    return Capacity(
        side=best.summary.side,
        concurrency=best.summary.concurrency,
        shown=best.shown,
        metric=metric,
        tokens_per_s=rate_bound(best.summary, metric, bound),
        devices=devices,
    )


def _common_metric(bests: Sequence[Served]) -> Metric:
    """Return the unit in which each of these has a rate."""
    good = all(one.summary.goodput_per_device.estimate > 0 for one in bests)
    return "goodput_per_device" if good else "throughput_per_device"


def _faster(one: Served, slo: Slo, ratio: float) -> Served:
    """Return what a side that is `ratio` times as fast would have shown with as many requests in flight."""
    found = one.summary
    ttft, itl = (each.model_copy(update={"p99": each.p99 / ratio}) for each in (found.ttft_ms, found.itl_ms))
    fast = found.model_copy(update={"side": "engine", "ttft_ms": ttft, "itl_ms": itl})
    may_meet = meets(fast, slo) or one.shown != "missed"
    throughput = _times(found.throughput_per_device, ratio)
    good = throughput if may_meet else _times(found.goodput_per_device, ratio)
    rates = {"throughput_per_device": throughput, "goodput_per_device": good}
    return Served(fast.model_copy(update=rates), "underpowered" if may_meet else "missed")


def _times(rate: Interval, ratio: float) -> Interval:
    ends = {name: ratio * getattr(rate, name) for name in ("estimate", "lower", "upper")}
    return rate.model_copy(update=ends)


def _devices(speed: SpeedResult, side: str) -> int:
    points = (*speed.points, *speed.others)
    return next(one.devices for point in points for one in point.rounds if one.side == side)
