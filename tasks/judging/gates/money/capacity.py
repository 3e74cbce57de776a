"""What one side can serve within the objective, and how many devices a load takes. Pure.

Invariants:
- Both sides are rated in one unit: output tokens per second and device of requests within the objective or,
  if a side has no such request, of all requests. Each is rated where it is best, which may be at another
  concurrency than the one that decides about speed.
- Devices are bought whole, in servers of as many as one server occupies. No server is planned to serve more
  than the load under which the objective is judged: a share of its best rate, or the declared arrivals.
- The bound of a rate counts that favours the reference: its upper one, and the engine's lower one.
"""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.spec import Economics, Slo, Workload
from tasks.judging.results import Interval, LoadSummary, Metric, SpeedResult
from tasks.judging.statistics import best_within, meets

SECONDS_PER_DAY = 86_400.0
Bound = Literal["lower", "upper"]


class Capacity(Frozen):
    """The best rate of one side."""

    side: str
    concurrency: int = Field(ge=1, description="Requests in flight at which it is best.")
    within_objective: bool = Field(description="Whether it meets the objective there.")
    metric: Metric
    tokens_per_s: float = Field(
        gt=0, description="Output tokens per second and device: the bound that favours the reference."
    )
    devices: int = Field(ge=1, description="Devices of one server.")

    @property
    def server_tokens_per_s(self) -> float:
        """Output tokens per second of one server."""
        return self.tokens_per_s * self.devices


def capacities(speed: SpeedResult, slo: Slo) -> tuple[Capacity, Capacity]:
    """Return the capacities of the reference that can serve most and of the engine, in one unit."""
    engine = [point.engine for point in speed.points]
    strongest = [point.reference for point in speed.points]
    references = [strongest, *([point.reference] for point in speed.others)]
    metric = _common_metric((best_within(engine, slo), _most(references, slo)))
    rated = [
        _capacity(one, slo, metric, "upper", _devices(speed, one[0].side))
        for one in references
        if getattr(best_within(one, slo), metric).estimate > 0
    ]
    return (
        max(rated, key=lambda one: (one.within_objective, one.tokens_per_s)),
        _capacity(engine, slo, metric, "lower", _devices(speed, speed.engine)),
    )


def hoped_capacities(
    summaries: Sequence[LoadSummary], slo: Slo, devices: int, ratio: float
) -> tuple[Capacity, Capacity]:
    """Return the capacities of a reference that was measured alone and of an engine `ratio` times as fast.

    Each request of the engine takes as much less time, so it may be within the objective at a concurrency at
    which the reference is not, and serve more than `ratio` times as much.
    """
    hoped = [_faster(one, slo, ratio) for one in summaries]
    metric = _common_metric([best_within(side, slo) for side in (summaries, hoped)])
    reference, engine = (_capacity(side, slo, metric, "upper", devices) for side in (summaries, hoped))
    return reference, engine


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


def _capacity(
    summaries: Sequence[LoadSummary], slo: Slo, metric: Metric, bound: Bound, devices: int
) -> Capacity:
    best = best_within(summaries, slo)
    rate: Interval = getattr(best, metric)
    return Capacity(
        side=best.side,
        concurrency=best.concurrency,
        within_objective=meets(best, slo),
        metric=metric,
        tokens_per_s=_positive_bound(rate, bound),
        devices=devices,
    )


def _common_metric(bests: Sequence[LoadSummary]) -> Metric:
    """Return the unit in which each of these has a rate."""
    good = all(one.goodput_per_device.estimate > 0 for one in bests)
    return "goodput_per_device" if good else "throughput_per_device"


def _most(references: Sequence[Sequence[LoadSummary]], slo: Slo) -> LoadSummary:
    """Return where any of the references is best."""
    return best_within([best_within(one, slo) for one in references], slo)


def _faster(summary: LoadSummary, slo: Slo, ratio: float) -> LoadSummary:
    """Return what a side that is `ratio` times as fast would have shown with as many requests in flight."""
    ttft, itl = (one.model_copy(update={"p99": one.p99 / ratio}) for one in (summary.ttft_ms, summary.itl_ms))
    fast = summary.model_copy(update={"side": "engine", "ttft_ms": ttft, "itl_ms": itl})
    throughput = _times(summary.throughput_per_device, ratio)
    good = throughput if meets(fast, slo) else _times(summary.goodput_per_device, ratio)
    return fast.model_copy(update={"throughput_per_device": throughput, "goodput_per_device": good})


def _times(rate: Interval, ratio: float) -> Interval:
    ends = {name: ratio * getattr(rate, name) for name in ("estimate", "lower", "upper")}
    return rate.model_copy(update=ends)


def _positive_bound(rate: Interval, bound: Bound) -> float:
    """Return a bound of a rate that is greater than zero, by the delta method on its logarithm."""
    distance = getattr(rate, bound) - rate.estimate
    return rate.estimate * math.exp(distance / rate.estimate)


def _devices(speed: SpeedResult, side: str) -> int:
    points = (*speed.points, *speed.others)
    return next(one.devices for point in points for one in point.rounds if one.side == side)
