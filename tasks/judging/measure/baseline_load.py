"""The baseline: one side on the declared workload, before anything is compiled.

If others keep the host busy, it is measured nevertheless, and the result says so: such figures decide
nothing, and are not used again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from artifacts.progress import Say
from tasks.errors import HostBusy
from tasks.judging.endpoint import Endpoint
from tasks.judging.measure.accuracy import read_prompt_text
from tasks.judging.measure.completions import CompletionsClient, open_client
from tasks.judging.measure.disturbance import Repeats
from tasks.judging.measure.prompts import PromptText
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.summaries import MeasuredRound, summarize
from tasks.judging.placement import Observer
from tasks.judging.protocol import LoadPlan
from tasks.judging.results import LoadPoint, LoadResult

ROLE = "baseline"


async def measure_load(
    endpoint: Endpoint, texts: Sequence[str], plan: LoadPlan, observer: Observer, *, say: Say
) -> LoadResult:
    """Measure one side, which must be a vLLM server, at every declared concurrency."""
    text = await _text(endpoint, texts, plan) if plan.workload.prompts == "text" else None
    runner = RoundRunner(plan.workload, plan.vocabulary, text, plan.rounds, plan.seed, observer)
    quiet = _Quiet(observer, say)
    await quiet.begin()
    points: list[LoadPoint] = []
    left = plan.rounds_per_point * len(plan.workload.concurrency)
    async with runner.client(endpoint) as client:
        for concurrency in plan.workload.concurrency:
            await runner.warm_up(client, concurrency, ROLE)
            made: list[MeasuredRound] = []
            for index in range(plan.rounds_per_point):
                made += await quiet.round(partial(_round, runner, client, concurrency, index), left)
                left -= 1
            points.append(LoadPoint(summary=summarize(made), rounds=tuple(one.result for one in made)))
            say(_line(points[-1]))
    return LoadResult(
        side=endpoint.side,
        protocol_digest=plan.digest(endpoint.side),
        operating_point=plan.workload.operating_point,
        points=tuple(points),
        ready_s=endpoint.ready_s,
        quiet_host=observer.quiet_host,
        host_busy=quiet.given_up,
    )


async def _round(
    runner: RoundRunner, client: CompletionsClient, concurrency: int, index: int
) -> list[MeasuredRound]:
    return [await runner.run(client, concurrency, ROLE, index)]


class _Quiet:
    """Waits for a quiet host and makes disturbed rounds again, until it gives up."""

    def __init__(self, observer: Observer, say: Say) -> None:
        self._observer = observer
        self._repeats = Repeats(observer, say)
        self._say = say
        self.given_up = ""

    async def begin(self) -> None:
        try:
            await asyncio.to_thread(self._observer.await_quiet, self._say)
        except HostBusy as error:
            self._give_up(error)

    async def round(
        self, make: Callable[[], Awaitable[list[MeasuredRound]]], left: int
    ) -> list[MeasuredRound]:
        """Make one of so many rounds that are left."""
        if not self.given_up:
            try:
                return await self._repeats.undisturbed(make, units=left)
            except HostBusy as error:
                self._give_up(error)
        return await make()

    def _give_up(self, error: HostBusy) -> None:
        where = f" ({error.where})" if error.where else ""
        self.given_up = f"{error.what}{where}"
        self._say(f"host busy: {self.given_up}; the baseline's figures decide nothing")


async def _text(endpoint: Endpoint, texts: Sequence[str], plan: LoadPlan) -> PromptText:
    most, limit_s = max(plan.workload.concurrency), plan.rounds.request_limit_s
    async with open_client(endpoint, connections=most, request_limit_s=limit_s) as client:
        return await read_prompt_text(client, texts, parallel=most)


def _line(point: LoadPoint) -> str:
    summary = point.summary
    return (
        f"{summary.side}, {summary.concurrency} in flight: {summary.throughput_per_device.text('{:.0f}')} "
        f"tokens/s per device, TTFT p99 {summary.ttft_ms.p99:.1f} ms, ITL p99 {summary.itl_ms.p99:.2f} ms "
        f"({summary.requests} requests)"
    )
