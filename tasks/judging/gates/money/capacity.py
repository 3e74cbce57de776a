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
    """Return the capacities of the reference and of the engine, in one unit."""
    sides = [[point.reference for point in speed.points], [point.engine for point in speed.points]]
    devices = [_devices(speed, side[0].side) for side in sides]
    good = all(best_within(side, slo).goodput_per_device.estimate > 0 for side in sides)
    metric: Metric = "goodput_per_device" if good else "throughput_per_device"
    reference, engine = sides
    return (
        _capacity(reference, slo, metric, "upper", devices[0]),
        _capacity(engine, slo, metric, "lower", devices[1]),
    )


def capacity_alone(summaries: Sequence[LoadSummary], slo: Slo, devices: int) -> Capacity:
    """Return the capacity of a reference that was measured alone, such as the baseline."""
    good = best_within(summaries, slo).goodput_per_device.estimate > 0
    metric: Metric = "goodput_per_device" if good else "throughput_per_device"
    return _capacity(summaries, slo, metric, "upper", devices)


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


def _positive_bound(rate: Interval, bound: Bound) -> float:
    """Return a bound of a rate that is greater than zero, by the delta method on its logarithm."""
    distance = getattr(rate, bound) - rate.estimate
    return rate.estimate * math.exp(distance / rate.estimate)


def _devices(speed: SpeedResult, side: str) -> int:
    return next(one.devices for point in speed.points for one in point.rounds if one.side == side)
