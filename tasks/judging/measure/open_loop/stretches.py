"""One stretch of arrivals over HTTP."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter, perf_counter_ns

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.measure.completions import CompletionsClient, RawStream, Trace, all_or_first_error
from tasks.judging.measure.open_loop.arrivals import arrival_times
from tasks.judging.measure.prompts import Prompt
from tasks.judging.measure.rounds import NS_PER_S, RoundRunner, digest_of_all, wall_s
from tasks.judging.measure.summaries import record_of
from tasks.judging.results import Stretch

NS_PER_MS = 1e6
# The time in which tasks of all arrivals begin, before the first of them is due.
LEAD_S = 0.05


class MeasuredStretch(Frozen):
    """A stretch with what is too much to keep in the result."""

    result: Stretch
    gaps_ms: tuple[float, ...] = Field(description="All gaps between arrivals of tokens.")
    texts: tuple[str, ...] = Field(description="The text of every answer, in the order of the arrivals.")


async def make_stretch(
    runner: RoundRunner, client: CompletionsClient, role: str, index: int, *, count: int, per_s: float
) -> MeasuredStretch:
    """Ask as many requests as they arrive; those before the counted ones wake up the server.

    Args:
        runner: knows the workload, and what observes the host.
        client: asks the side; it has to open as many connections as requests are in flight.
        role: of the side, which gives its prompts.
        index: place of the stretch, which gives its arrivals.
        count: how many requests count.
        per_s: how many arrive per second.
    """
    cut = runner.plan.warmup_requests
    prompts = runner.new_prompts(role, count + cut)
    times = arrival_times(runner.seed, index, count + cut, per_s)
    runner.observer.begin_round()
    side, begin = client.endpoint.side, perf_counter()
    streams = await _ask(client, prompts, times, runner.workload.output_tokens)
    counted = streams[cut:]
    traces = [replace(stream, sent_ns=due_ns).read() for due_ns, stream in counted]
    result = Stretch(
        side=side.name,
        index=index,
        arrivals_per_s=per_s,
        started_s=runner.seconds_until(begin),
        wall_s=wall_s(traces, client.endpoint.base_url),
        devices=side.devices,
        prompts_sha256=digest_of_all(prompts[cut:]),
        answers_sha256=digest_of_all([(trace.text, trace.output_tokens) for trace in traces]),
        requests=tuple(record_of(trace, runner.workload.slo) for trace in traces),
        sent_late_ms=round(max(stream.sent_ns - due_ns for due_ns, stream in counted) / NS_PER_MS, 4),
        most_in_flight=most_at_a_time(traces),
        load=runner.observer.end_round(side, begin),
        throttled=runner.observer.throttled(side, begin, perf_counter()),
    )
    return MeasuredStretch(
        result=result,
        gaps_ms=tuple(gap for trace in traces for gap in trace.gaps_ms()),
        texts=tuple(trace.text for trace in traces),
    )


async def _ask(
    client: CompletionsClient, prompts: Sequence[Prompt], times: Sequence[float], tokens: int
) -> list[tuple[int, RawStream]]:
    """Send each prompt at its time; return when it was due, and the answer, in the order of the prompts."""
    begin_ns = perf_counter_ns() + int(LEAD_S * NS_PER_S)

    async def send(prompt: Prompt, time_s: float) -> tuple[int, RawStream]:
        due_ns = begin_ns + int(time_s * NS_PER_S)
        await asyncio.sleep(max(0.0, (due_ns - perf_counter_ns()) / NS_PER_S))
        return due_ns, await client.stream(prompt, tokens)

    return await all_or_first_error(send(*one) for one in zip(prompts, times, strict=True))


def most_at_a_time(traces: Sequence[Trace]) -> int:
    """Return the most requests that had arrived and were not answered in full at the same time."""
    changes = [(trace.sent_ns, 1) for trace in traces] + [(trace.stamps_ns[-1], -1) for trace in traces]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most
