"""The baseline: one side on the declared workload, before anything is compiled.

It is asked in rounds. If these speak for staying on vLLM, it is asked in open loop as well, until it is
settled whether it meets the objective: an engine is worth trying next to a vLLM that misses it. If others
keep the host busy, it is measured nevertheless, and the result says so: such figures decide nothing, and are
not used again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal

from artifacts.progress import Say
from tasks.errors import HostBusy
from tasks.judging.endpoint import Endpoint
from tasks.judging.measure.accuracy import read_prompt_text
from tasks.judging.measure.completions import CompletionsClient, open_client
from tasks.judging.measure.disturbance import Repeats
from tasks.judging.measure.open_loop import ask_in_open_loop, rate_of
from tasks.judging.measure.phases import Budget
from tasks.judging.measure.prompts import PromptText
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.summaries import MeasuredRound, summarize
from tasks.judging.placement import Observer, Placement
from tasks.judging.protocol import LoadPlan
from tasks.judging.results import LoadPoint, LoadResult
from tasks.judging.statistics import at_least, baseline_served

ROLE: Literal["baseline"] = "baseline"


async def baseline_runner(
    endpoint: Endpoint, texts: Sequence[str], plan: LoadPlan, observer: Observer
) -> RoundRunner:
    """Return what makes rounds with windows of these texts; the side, a vLLM server, reads them."""
    text = await _text(endpoint, texts, plan) if plan.workload.prompts == "text" else None
    return RoundRunner(plan.workload, plan.vocabulary, text, plan.rounds, plan.seed, observer)


async def measure_load(endpoint: Endpoint, plan: LoadPlan, runner: RoundRunner, *, say: Say) -> LoadResult:
    """Measure one side in rounds at every declared concurrency."""
    observer = runner.observer
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


def with_open_loop(
    load: LoadResult, placement: Placement, plan: LoadPlan, runner: RoundRunner, *, say: Say
) -> LoadResult:
    """Return a baseline that was also asked in open loop, as far as the budget of the plan allows."""
    workload, slo = plan.workload, plan.workload.slo
    served = baseline_served(load.points, slo, plan.speed.confidence)
    best = at_least(served, slo, load.operating_point).summary
    rate, budget = rate_of(best, load.side.devices, workload), Budget(plan.speed.gate.budget_minutes)
    try:
        asked = ask_in_open_loop(placement, load.side, ROLE, rate, runner, plan, budget, attempt=1, say=say)
    except HostBusy as error:
        return load.model_copy(update={"host_busy": _given_up(error, say)})
    return load.model_copy(update={"open_loop": asked.result})


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
        self.given_up = _given_up(error, self._say)


def _given_up(error: HostBusy, say: Say) -> str:
    where = f" ({error.where})" if error.where else ""
    say(f"host busy: {error.what}{where}; the baseline's figures decide nothing")
    return f"{error.what}{where}"


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
