"""Rounds of engine and reference in alternation: A B B A A B B A, fresh prompts in each; decides nothing
about speed.

Invariants:
- Rounds of one pair are neighbours in time, and every other pair is made in reverse, so drift cancels.
- How many pairs are made follows from the noise of the first stage and from the time budget, never from the
  ratio.
- The reference is the fastest of those given, chosen by rounds of their own that no comparison reads again.
"""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import fmean
from time import perf_counter

from tasks.judging.endpoint import Endpoint
from tasks.judging.measure.completions.client import CompletionsClient
from tasks.judging.measure.completions.concurrency import Say
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.summaries import MeasuredRound, summarize
from tasks.judging.protocol import JudgingProtocol, SpeedPlan
from tasks.judging.results import QualifyingRound, RoundResult, SpeedPoint, SpeedResult, paired_log_ratios
from tasks.judging.statistics.ratio_bounds import pairs_needed, ratio_interval

SECONDS_PER_MINUTE = 60.0


async def measure_speed(
    engine: Endpoint, references: Sequence[Endpoint], protocol: JudgingProtocol, *, say: Say
) -> SpeedResult:
    """Choose the fastest reference, then compare at the operating point and at the other concurrencies.

    Args:
        engine: the side to judge.
        references: running servers that passed the accuracy gate, at least one. To measure a server against
            itself (an A/A run), give the same address as engine and reference under two names.
        protocol: what to ask, how often, and for how long.
        say: hears about progress.
    """
    workload = protocol.workload
    runner = RoundRunner(workload, protocol.vocabulary, protocol.rounds, protocol.seed)
    qualifying = await _qualify(references, runner, protocol, say)
    fastest = max(qualifying, key=lambda one: fmean(one.rates)).reference
    reference = next(one for one in references if one.side.name == fastest)
    async with _clients(runner, engine, reference) as (b, a):
        duel = _Duel(runner, protocol.speed, reference=a, engine=b, say=say)
        points = [await duel.point(workload.operating_point, decisive=True)]
        others = [one for one in workload.concurrency if one != workload.operating_point]
        points += [await duel.point(concurrency, decisive=False) for concurrency in others]
    return SpeedResult(
        engine=engine.side.name,
        reference=fastest,
        protocol_digest=protocol.digest,
        qualifying=tuple(qualifying),
        operating_point=workload.operating_point,
        points=tuple(sorted(points, key=lambda point: point.concurrency)),
    )


@asynccontextmanager
async def _clients(runner: RoundRunner, *endpoints: Endpoint) -> AsyncIterator[list[CompletionsClient]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(runner.client(endpoint)) for endpoint in endpoints]


async def _qualify(
    references: Sequence[Endpoint], runner: RoundRunner, protocol: JudgingProtocol, say: Say
) -> list[QualifyingRound]:
    """The metric of each reference at the operating point, in rounds that are not used again."""
    concurrency, plan = protocol.workload.operating_point, protocol.speed
    qualifying: list[QualifyingRound] = []
    for reference in references:
        role = f"qualify/{reference.side.name}"
        async with runner.client(reference) as client:
            await runner.warm_up(client, concurrency, role)
            made = [await runner.run(client, concurrency, role, i) for i in range(plan.qualifying_rounds)]
        rates = tuple(one.result.per_second(plan.gate.metric) for one in made)
        qualifying.append(QualifyingRound(reference=reference.side.name, rates=rates))
        say(
            f"{reference.side.name}: {fmean(rates):.0f} tokens/s "
            "per device while choosing the fastest reference"
        )
    return qualifying


@dataclass(frozen=True, slots=True)
class StagePlan:
    """How many pairs the second stage may bring the total to, and why no more."""

    pairs: int
    needed: int
    reason: str


def plan_second_stage(log_ratios: Sequence[float], plan: SpeedPlan, *, spent_s: float) -> StagePlan:
    """Pairs in all, from the first stage's log ratios and the seconds that they took. Pure."""
    needed = pairs_needed(log_ratios, resolution=plan.resolution, confidence=plan.gate.confidence)
    budget_s = plan.gate.budget_minutes * SECONDS_PER_MINUTE
    affordable = max(len(log_ratios), math.floor(budget_s / (spent_s / len(log_ratios))))
    if needed <= affordable:
        return StagePlan(needed, needed, f"{needed} pairs reach the resolution of {plan.resolution:.1%}")
    reason = f"the budget of {plan.gate.budget_minutes:g} min ends before {needed} pairs, which it would take"
    return StagePlan(affordable, needed, reason)


class _Duel:
    """Alternating rounds of two sides."""

    def __init__(
        self,
        runner: RoundRunner,
        plan: SpeedPlan,
        *,
        reference: CompletionsClient,
        engine: CompletionsClient,
        say: Say,
    ) -> None:
        self._runner = runner
        self._plan = plan
        self._sides = {"reference": reference, "engine": engine}
        self._say = say

    async def point(self, concurrency: int, *, decisive: bool) -> SpeedPoint:
        """Warm up, make the first stage and, where this point decides, the second."""
        for role, client in self._sides.items():
            await self._runner.warm_up(client, concurrency, role)
        first = self._plan.first_stage_pairs if decisive else self._plan.pairs_elsewhere
        started = perf_counter()
        rounds = [one for pair in range(first) for one in await self._pair(concurrency, pair)]
        stage = StagePlan(first, first, f"{first} pairs are declared away from the operating point")
        if decisive:
            stage = self._second_stage(rounds, spent_s=perf_counter() - started)
        for pair in range(first, stage.pairs):
            rounds += await self._pair(concurrency, pair)
        return self._finish(rounds, concurrency, first, stage)

    def _second_stage(self, rounds: Sequence[MeasuredRound], *, spent_s: float) -> StagePlan:
        log_ratios = self._log_ratios([one.result for one in rounds])
        return plan_second_stage(log_ratios, self._plan, spent_s=spent_s)

    async def _pair(self, concurrency: int, pair: int) -> list[MeasuredRound]:
        order = ("reference", "engine") if pair % 2 == 0 else ("engine", "reference")
        return [
            await self._runner.run(self._sides[role], concurrency, role, 2 * pair + place)
            for place, role in enumerate(order)
        ]

    def _finish(
        self, rounds: Sequence[MeasuredRound], concurrency: int, first: int, stage: StagePlan
    ) -> SpeedPoint:
        by_side = {
            role: [one for one in rounds if one.result.side == self._name(role)] for role in self._sides
        }
        point = SpeedPoint(
            concurrency=concurrency,
            first_stage_pairs=first,
            planned_pairs=stage.needed,
            stopped=stage.reason,
            rounds=tuple(one.result for one in rounds),
            engine=summarize(by_side["engine"]),
            reference=summarize(by_side["reference"]),
        )
        ratios = self._log_ratios(point.rounds)
        interval = ratio_interval(ratios, first_stage=first, confidence=self._plan.gate.confidence)
        self._say(
            f"{concurrency} in flight: {self._name('engine')} / "
            f"{self._name('reference')} = {interval.text()} "
            f"after {stage.pairs} pairs ({stage.reason})"
        )
        return point

    def _log_ratios(self, rounds: Sequence[RoundResult]) -> list[float]:
        return paired_log_ratios(rounds, self._plan.gate.metric, engine=self._name("engine"))[1]

    def _name(self, role: str) -> str:
        return self._sides[role].endpoint.side.name
