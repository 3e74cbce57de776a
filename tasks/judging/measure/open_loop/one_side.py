"""One side in open loop, until its objective is settled or the budget ends."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from time import perf_counter
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.progress import Say
from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.measure.completions import CompletionsClient
from tasks.judging.measure.disturbance import Repeats
from tasks.judging.measure.open_loop.arrivals import Rate
from tasks.judging.measure.open_loop.stretches import MeasuredStretch, make_stretch
from tasks.judging.measure.phases import Budget, in_words, left_in_words
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.summaries import summarize_open_loop
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol, LoadPlan
from tasks.judging.results import OpenLoopSide, OpenLoopSummary, RequestRecord, Settled
from tasks.judging.statistics import (
    ALLOWED_SHARE,
    Limits,
    Role,
    attempt_confidence,
    limits_of,
    look_confidence,
    misses_of,
    requests_of_look,
)

AskedAs = Role | Literal["baseline"]
"""An engine, and vLLM alone, are asked until it is settled whether they meet the objective; a reference in a
comparison only until there is no doubt that it may."""
Plan = JudgingProtocol | LoadPlan
"""What open loop follows from: workload, confidence and budget."""


class OpenLoopAsked(Frozen):
    """A side in open loop, with the texts of its answers, which are read after it."""

    result: OpenLoopSide
    texts: tuple[str, ...] = Field(description="The text of every answer, in the order of the arrivals.")


def requests_at_look(role: AskedAs, protocol: Plan, attempt: int, number: int) -> int:
    """Return the requests in all at a look: as many as show that a side meets the objective, if it does.

    Of a reference in a comparison, fewer are enough to see whether there is any doubt.
    """
    if role == "reference":
        return int(protocol.open_loop.reference_requests * 2 ** (number - 1))
    return requests_of_look(attempt_confidence(protocol.speed.confidence, attempt), number)


def open_loop_s(role: AskedAs, rate: Rate, protocol: Plan, attempt: int) -> float:
    """Return the seconds that a side takes until its first look."""
    return requests_at_look(role, protocol, attempt, 1) / rate.per_s


def ask_in_open_loop(
    placement: Placement,
    side: Side,
    role: AskedAs,
    rate: Rate,
    runner: RoundRunner,
    protocol: Plan,
    budget: Budget,
    *,
    attempt: int,
    say: Say,
) -> OpenLoopAsked:
    """Ask a side in open loop; if the budget does not allow the first look, nothing is asked.

    Args:
        placement: brings the side up.
        side: the side.
        role: what it is in the comparison, or that it is the baseline.
        rate: how many requests arrive per second.
        runner: knows the workload, and what observes the host.
        protocol: how many requests.
        budget: what is left of it.
        attempt: how often this was measured, this time included.
        say: takes lines of progress.

    Raises:
        tasks.errors.HostBusy: others keep disturbing it.
    """
    repeats, start_s = Repeats(placement.observer, say), _start_s(placement, side)
    asked = _Asked(side, role, rate, runner, protocol, budget, attempt, start_s, repeats, say)
    begin = perf_counter()
    if not asked.unaffordable(1):
        with placement.serving([side]) as (endpoint,):
            asyncio.run(asked.ask(endpoint))
    made = asked.finish(perf_counter() - begin)
    say(_line(made.result))
    return made


def not_asked(side: Side, rate: Rate, why: str, say: Say) -> OpenLoopAsked:
    """Return the result of a side that is not asked as it could change no verdict, and say `why`."""
    result = OpenLoopSide(
        side=side.name,
        arrivals_per_s=rate.per_s,
        load=rate.load,
        looks=0,
        ended="enough",
        stopped=why,
        spent_s=0.0,
        stretches=(),
        summary=None,
    )
    say(_line(result))
    return OpenLoopAsked(result=result, texts=())


class _Asked:
    """One side that is asked; see `ask_in_open_loop`."""

    def __init__(
        self,
        side: Side,
        role: AskedAs,
        rate: Rate,
        runner: RoundRunner,
        protocol: Plan,
        budget: Budget,
        attempt: int,
        start_s: float,
        repeats: Repeats,
        say: Say,
    ) -> None:
        self._side, self._role, self._rate = side, role, rate
        self._runner, self._protocol, self._budget = runner, protocol, budget
        self._begin = perf_counter()
        self._confidence = attempt_confidence(protocol.speed.confidence, attempt)
        self._attempt = attempt
        self._start_s = start_s
        self._repeats = repeats
        self._say = say
        self._made: list[MeasuredStretch] = []
        self._looks = 0

    @property
    def _requests(self) -> tuple[RequestRecord, ...]:
        return tuple(record for one in self._made for record in one.result.requests)

    def unaffordable(self, number: int) -> str:
        """Say what a look takes if the budget does not allow it; empty if it does."""
        more = self._needed(number) - len(self._requests)
        seconds = more / self._rate.per_s + (self._start_s if number == 1 else 0.0)
        left_s = max(0.0, self._budget.left_s - (perf_counter() - self._begin))
        if seconds <= left_s:
            return ""
        return (
            f"{more} {'more ' if self._made else ''}requests take {in_words(seconds)} at this rate, and "
            f"{left_in_words(left_s)} are left of {self._budget.in_words}"
        )

    def _needed(self, number: int) -> int:
        return requests_at_look(self._role, self._protocol, self._attempt, number)

    async def ask(self, endpoint: Endpoint) -> None:
        """Ask until the objective is settled, or the budget ends."""
        most = max(self._protocol.workload.concurrency)
        async with self._runner.unlimited_client(endpoint) as client:
            await self._runner.warm_up(client, most, f"open-loop/{self._role}")
            while not self._ended():
                await self._ask_until(client, self._needed(self._looks + 1))
                self._looks += 1
                self._repeats.require_few()
                if not self._ended():
                    self._say(self._going_on())

    async def _ask_until(self, client: CompletionsClient, requests: int) -> None:
        """Make stretches of equal length until there are so many requests."""
        missing = requests - len(self._requests)
        count = math.ceil(missing / self._protocol.open_loop.stretch_requests)
        for left in range(count, 0, -1):
            make = partial(self._stretch, client, math.ceil(missing / count))
            (stretch,) = await self._repeats.undisturbed(make, units=left)
            self._made.append(stretch)

    def _going_on(self) -> str:
        late, slow = self._limits()
        asked = len(self._requests)
        more = self._needed(self._looks + 1) - asked
        return (
            f"open loop, {self._side.name}: not settled by {asked} requests: {late.estimate:.2%} of first "
            f"tokens came late, at most {late.upper:.2%}, and {slow.estimate:.2%} of gaps, at most "
            f"{slow.upper:.2%}; {more} more requests take {in_words(more / self._rate.per_s)}"
        )

    async def _stretch(self, client: CompletionsClient, count: int) -> list[MeasuredStretch]:
        role, index, per_s = f"open-loop/{self._role}", len(self._made), self._rate.per_s
        return [await make_stretch(self._runner, client, role, index, count=count, per_s=per_s)]

    def _ended(self) -> bool:
        if not self._looks:
            return False
        limits = self._limits()
        settled = limits.kept != "underpowered" or (self._role == "reference" and not _in_doubt(limits))
        return settled or bool(self.unaffordable(self._looks + 1))

    def _limits(self) -> Limits:
        misses = misses_of(self._requests, self._protocol.workload.slo)
        return limits_of(misses, self._look_confidence)

    @property
    def _look_confidence(self) -> float:
        return look_confidence(self._confidence, self._looks)

    def _end(self) -> tuple[Settled, str]:
        """Return why nothing more is asked."""
        if not self._looks:
            return "budget", self.unaffordable(1)
        limits = self._limits()
        if limits.kept != "underpowered":
            return "settled", "the objective is settled"
        if self._role == "reference" and not _in_doubt(limits):
            return "enough", "whether it meets the objective for sure would change nothing"
        return "budget", self.unaffordable(self._looks + 1)

    def finish(self, spent_s: float) -> OpenLoopAsked:
        """Return what came of it."""
        ended, stopped = self._end()
        result = OpenLoopSide(
            side=self._side.name,
            arrivals_per_s=self._rate.per_s,
            load=self._rate.load,
            looks=self._looks,
            ended=ended,
            stopped=stopped,
            spent_s=spent_s,
            stretches=tuple(one.result for one in self._made),
            summary=_summary(self._made, self._look_confidence) if self._made else None,
        )
        return OpenLoopAsked(result=result, texts=tuple(text for one in self._made for text in one.texts))


def _start_s(placement: Placement, side: Side) -> float:
    """Return the seconds that a start of the side takes, if it has to be started."""
    starts = [one.ready_s for one in placement.conditions().starts if one.side == side.name]
    return 0.0 if placement.resident or not starts else starts[-1]


def _in_doubt(limits: Limits) -> bool:
    """Whether more requests may show that a side misses the objective."""
    return any(one.estimate > ALLOWED_SHARE for one in limits)


def _summary(made: Sequence[MeasuredStretch], confidence: float) -> OpenLoopSummary:
    gaps_ms = [gaps for one in made for gaps in _gaps_by_request(one)]
    return summarize_open_loop([one.result for one in made], gaps_ms, confidence)


def _gaps_by_request(stretch: MeasuredStretch) -> Iterator[tuple[float, ...]]:
    gaps = iter(stretch.gaps_ms)
    for record in stretch.result.requests:
        yield tuple(islice(gaps, record.gaps))


def _line(made: OpenLoopSide) -> str:
    begin = f"open loop, {made.side}: {made.arrivals_per_s:.3g} requests per second ({made.load})"
    if made.summary is None:
        return f"{begin}: none was sent: {made.stopped}"
    found = made.summary
    return (
        f"{begin}: {found.requests} requests, TTFT p99 {found.ttft_ms.p99:.1f} ms, ITL p99 "
        f"{found.itl_ms.p99:.2f} ms, at most {found.most_in_flight} in flight ({made.stopped})"
    )
