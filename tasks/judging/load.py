"""The baseline: one side on the declared workload, before anything is compiled."""

from artifacts.canonical import digest_of
from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.protocol import RoundPlan, Workload
from tasks.judging.results import LoadPoint, LoadResult
from tasks.judging.rounds import RoundRunner
from tasks.judging.running import Say
from tasks.judging.summaries import summarize

ROLE = "baseline"


async def measure_load(
    endpoint: Endpoint, workload: Workload, plan: RoundPlan, *, rounds: int, seed: int, say: Say
) -> LoadResult:
    """Measure one side at every declared concurrency, `rounds` (two or more) counted rounds each."""
    runner = RoundRunner(workload, plan, seed)
    points: list[LoadPoint] = []
    async with runner.client(endpoint) as client:
        for concurrency in workload.concurrency:
            await runner.warm_up(client, concurrency, ROLE)
            made = [await runner.run(client, concurrency, ROLE, index) for index in range(rounds)]
            point = LoadPoint(summary=summarize(made), rounds=tuple(one.result for one in made))
            points.append(point)
            say(_line(point))
    return LoadResult(
        side=endpoint.side,
        protocol_digest=load_digest(endpoint.side, workload, plan, rounds=rounds, seed=seed),
        operating_point=workload.operating_point,
        points=tuple(points),
    )


def load_digest(side: Side, workload: Workload, plan: RoundPlan, *, rounds: int, seed: int) -> str:
    """Digest of everything that decides what a baseline asks."""
    parts = {"side": side, "workload": workload, "rounds": plan}
    document = {name: part.model_dump(mode="json") for name, part in parts.items()}
    return digest_of(document | {"count": rounds, "seed": seed})


def _line(point: LoadPoint) -> str:
    summary = point.summary
    return (
        f"{summary.side}, {summary.concurrency} in flight: {summary.throughput_per_device.text('{:.0f}')} "
        "tokens/s "
        f"per device, TTFT p99 {summary.ttft_ms.p99:.1f} ms, ITL p99 {summary.itl_ms.p99:.2f} ms "
        f"({summary.requests} requests)"
    )
