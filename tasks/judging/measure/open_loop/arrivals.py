"""When requests arrive, and how often: by the seed, and by what a side can serve. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from engine_specs.spec import Workload
from tasks.judging.measure.prompts import generator
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import LoadSummary, SpeedPoint
from tasks.judging.statistics import Role, at_least, attempt_confidence, by_estimates, served_at


@dataclass(frozen=True, slots=True)
class Rate:
    """How many requests one server gets.

    Attributes:
        per_s: requests per second.
        load: how that follows from what the side can serve, as part of a sentence.
    """

    per_s: float
    load: str


def load_of(points: Sequence[SpeedPoint], role: Role, protocol: JudgingProtocol, attempt: int) -> LoadSummary:
    """Return the rounds of a side by which it is asked: the engine's best, what the reference surely serves.

    `attempt` is how often this was measured, this time included: attempts share the error.
    """
    workload = protocol.workload
    confidence = attempt_confidence(protocol.speed.confidence, attempt)
    served = served_at(points, role, workload.slo, confidence)
    if role == "engine":
        return by_estimates(served, workload.slo).summary
    return at_least(served, workload.slo, workload.operating_point).summary


def rate_of(best: LoadSummary, devices: int, workload: Workload) -> Rate:
    """Return the rate at which one server is asked: as declared, or a share of the most that it can serve.

    Args:
        best: the side in closed loop, at the concurrency by which it is asked.
        devices: of one server.
        workload: gives the share or the rate.
    """
    most = best.throughput_per_device.estimate * devices / workload.output_tokens
    if workload.arrivals.per_s is not None:
        return Rate(workload.arrivals.per_s, f"as declared; it can serve {most:.3g} per second")
    share = workload.arrivals.share_of_capacity
    return Rate(
        share * most, f"{share:.0%} of the {most:.3g} that it can serve with {best.concurrency} in flight"
    )


def arrival_times(seed: int, index: int, count: int, per_s: float) -> list[float]:
    """Return when the requests of one stretch arrive, in seconds from its begin; the first waits as well.

    Of equal seed and index, the times are the same in units of the mean time between arrivals.
    """
    source = generator(seed, "arrivals", index)
    return list(accumulate(source.expovariate(per_s) for _ in range(count)))
