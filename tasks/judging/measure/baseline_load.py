"""The baseline: one side on the declared workload, before anything is compiled."""

from artifacts.progress import Say
from tasks.judging.endpoint import Endpoint
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.summaries import summarize
from tasks.judging.placement import Observer
from tasks.judging.protocol import LoadPlan
from tasks.judging.results import LoadPoint, LoadResult

ROLE = "baseline"


async def measure_load(endpoint: Endpoint, plan: LoadPlan, observer: Observer, *, say: Say) -> LoadResult:
    """Measure one side at every declared concurrency."""
    runner = RoundRunner(plan.workload, plan.vocabulary, plan.rounds, plan.seed, observer)
    points: list[LoadPoint] = []
    async with runner.client(endpoint) as client:
        for concurrency in plan.workload.concurrency:
            await runner.warm_up(client, concurrency, ROLE)
            indexes = range(plan.rounds_per_point)
            made = [await runner.run(client, concurrency, ROLE, index) for index in indexes]
            points.append(LoadPoint(summary=summarize(made), rounds=tuple(one.result for one in made)))
            say(_line(points[-1]))
    return LoadResult(
        side=endpoint.side,
        protocol_digest=plan.digest(endpoint.side),
        operating_point=plan.workload.operating_point,
        points=tuple(points),
        ready_s=endpoint.ready_s,
    )


def _line(point: LoadPoint) -> str:
    summary = point.summary
    return (
        f"{summary.side}, {summary.concurrency} in flight: {summary.throughput_per_device.text('{:.0f}')} "
        f"tokens/s per device, TTFT p99 {summary.ttft_ms.p99:.1f} ms, ITL p99 {summary.itl_ms.p99:.2f} ms "
        f"({summary.requests} requests)"
    )
