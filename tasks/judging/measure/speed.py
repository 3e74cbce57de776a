"""Alternating rounds of engine and reference: A B B A A B B A, each with new prompts.

Invariants:
- The rounds of a pair follow each other if the placement has both sides up, and every other pair is made in
  reverse order, so drift cancels.
- The number of pairs follows from the noise of the first stage and from the time budget, never from the
  ratio.
- The reference is the fastest of those given, chosen by separate rounds that no comparison uses.
- Nothing is decided here about the speed of the engine.
"""

import asyncio
import math
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import fmean

from artifacts.progress import Say
from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.summaries import MeasuredRound, summarize
from tasks.judging.placement import Placement, Turn
from tasks.judging.protocol import JudgingProtocol, SpeedPlan
from tasks.judging.results import QualifyingRound, RoundResult, SpeedPoint, SpeedResult, paired_log_ratios
from tasks.judging.statistics import pairs_needed, ratio_interval

SECONDS_PER_MINUTE = 60.0


def measure_speed(
    placement: Placement, engine: Side, references: Sequence[Side], protocol: JudgingProtocol, *, say: Say
) -> SpeedResult:
    """Choose the fastest reference, then compare at the operating point and at the other concurrencies.

    Args:
        placement: brings up sides.
        engine: the side to judge.
        references: references that are accurate enough, at least one. To measure a server against itself
            (an A/A run), give the same server as engine and reference under two names.
        protocol: what to ask, how often, and for how long.
        say: takes lines of progress.
    """
    workload = protocol.workload
    runner = RoundRunner(workload, protocol.vocabulary, protocol.rounds, protocol.seed)
    qualifying = [_qualify(placement, one, runner, protocol, say) for one in references]
    fastest = max(qualifying, key=lambda one: fmean(one.rates)).reference
    reference = next(one for one in references if one.name == fastest)
    rounds = _Rounds(placement, runner, reference=reference, engine=engine)
    comparison = _Comparison(rounds, protocol.speed, say)
    points = [comparison.point(workload.operating_point, decisive=True)]
    others = [one for one in workload.concurrency if one != workload.operating_point]
    points += [comparison.point(concurrency, decisive=False) for concurrency in others]
    return SpeedResult(
        engine=engine.name,
        reference=fastest,
        protocol_digest=protocol.digest,
        qualifying=tuple(qualifying),
        operating_point=workload.operating_point,
        points=tuple(sorted(points, key=lambda point: point.concurrency)),
    )


def _qualify(
    placement: Placement, reference: Side, runner: RoundRunner, protocol: JudgingProtocol, say: Say
) -> QualifyingRound:
    """Measure a reference at the operating point, in rounds that are not used again."""
    concurrency, plan = protocol.workload.operating_point, protocol.speed
    role = f"qualify/{reference.name}"

    async def make(endpoint: Endpoint) -> list[MeasuredRound]:
        async with runner.client(endpoint) as client:
            await runner.warm_up(client, concurrency, role)
            return [await runner.run(client, concurrency, role, i) for i in range(plan.qualifying_rounds)]

    with placement.serving([reference]) as (endpoint,):
        made = asyncio.run(make(endpoint))
    rates = tuple(one.result.per_second(plan.gate.metric) for one in made)
    say(f"{reference.name}: {fmean(rates):.0f} tokens/s per device, to choose the fastest reference")
    return QualifyingRound(reference=reference.name, rates=rates)


@dataclass(frozen=True, slots=True)
class StagePlan:
    """How many pairs there are after the second stage, how many are needed, and why there are no more."""

    pairs: int
    needed: int
    reason: str


def plan_second_stage(log_ratios: Sequence[float], plan: SpeedPlan, *, spent_s: float) -> StagePlan:
    """Plan the pairs in all, by the log ratios of the first stage and the seconds that it took. Pure."""
    needed = pairs_needed(log_ratios, resolution=plan.resolution, confidence=plan.gate.confidence)
    budget_s = plan.gate.budget_minutes * SECONDS_PER_MINUTE
    affordable = max(len(log_ratios), math.floor(budget_s / (spent_s / len(log_ratios))))
    if needed <= affordable:
        return StagePlan(needed, needed, f"{needed} pairs reach the resolution of {plan.resolution:.1%}")
    reason = f"the budget of {plan.gate.budget_minutes:g} min ends before the {needed} pairs that are needed"
    return StagePlan(affordable, needed, reason)


def _spent_s(rounds: Sequence[RoundResult]) -> float:
    """Return the seconds from the first request of these rounds to their last token, without warm-up."""
    begin = min(one.started_s for one in rounds)
    return max(one.started_s + one.wall_s for one in rounds) - begin


class _Rounds:
    """Makes rounds of two sides, block by block, as the placement brings them up."""

    def __init__(self, placement: Placement, runner: RoundRunner, *, reference: Side, engine: Side) -> None:
        self._placement = placement
        self._runner = runner
        self.reference = reference
        self.engine = engine

    def pairs(self, concurrency: int, pairs: range) -> list[MeasuredRound]:
        """Make the rounds of these pairs, and return them in the planned order."""
        made = [
            one
            for block in self._placement.blocks(self._due(pairs))
            for one in self._block(block, concurrency)
        ]
        return sorted(made, key=lambda one: one.result.index)

    def _due(self, pairs: range) -> list[Turn]:
        """Return each side once per pair, every other pair in reverse order."""
        order = (self.reference, self.engine)
        return [
            Turn(side, 2 * pair + place)
            for pair in pairs
            for place, side in enumerate(order if pair % 2 == 0 else order[::-1])
        ]

    def _block(self, turns: Sequence[Turn], concurrency: int) -> list[MeasuredRound]:
        due = {turn.side.name for turn in turns}
        sides = [side for side in (self.reference, self.engine) if side.name in due]
        with self._placement.serving(sides) as endpoints:
            return asyncio.run(self._make(endpoints, turns, concurrency))

    async def _make(
        self, endpoints: Sequence[Endpoint], turns: Sequence[Turn], concurrency: int
    ) -> list[MeasuredRound]:
        async with AsyncExitStack() as stack:
            clients = {
                endpoint.side.name: await stack.enter_async_context(self._runner.client(endpoint))
                for endpoint in endpoints
            }
            for name, client in clients.items():
                await self._runner.warm_up(client, concurrency, self._role(name))
            return [
                await self._runner.run(
                    clients[turn.side.name], concurrency, self._role(turn.side.name), turn.index
                )
                for turn in turns
            ]

    def _role(self, name: str) -> str:
        return "engine" if name == self.engine.name else "reference"


class _Comparison:
    """The comparison of engine and reference, at one concurrency after the other."""

    def __init__(self, rounds: _Rounds, plan: SpeedPlan, say: Say) -> None:
        self._rounds = rounds
        self._plan = plan
        self._say = say

    def point(self, concurrency: int, *, decisive: bool) -> SpeedPoint:
        """Make the first stage and, if this point decides, the second."""
        first = self._plan.first_stage_pairs if decisive else self._plan.pairs_elsewhere
        rounds = self._rounds.pairs(concurrency, range(first))
        stage = StagePlan(
            first, first, f"{first} pairs are declared for points other than the operating point"
        )
        if decisive:
            stage = self._second_stage(rounds)
        if stage.pairs > first:
            rounds += self._rounds.pairs(concurrency, range(first, stage.pairs))
        return self._finish(rounds, concurrency, first, stage)

    def _second_stage(self, rounds: Sequence[MeasuredRound]) -> StagePlan:
        results = [one.result for one in rounds]
        return plan_second_stage(self._log_ratios(results), self._plan, spent_s=_spent_s(results))

    def _finish(
        self, rounds: Sequence[MeasuredRound], concurrency: int, first: int, stage: StagePlan
    ) -> SpeedPoint:
        engine, reference = self._rounds.engine.name, self._rounds.reference.name
        point = SpeedPoint(
            concurrency=concurrency,
            first_stage_pairs=first,
            planned_pairs=stage.needed,
            stopped=stage.reason,
            rounds=tuple(one.result for one in rounds),
            engine=summarize([one for one in rounds if one.result.side == engine]),
            reference=summarize([one for one in rounds if one.result.side == reference]),
        )
        ratios = self._log_ratios(point.rounds)
        interval = ratio_interval(ratios, first_stage=first, confidence=self._plan.gate.confidence)
        self._say(
            f"{concurrency} in flight: {engine} / {reference} = {interval.text()} "
            f"after {stage.pairs} pairs ({stage.reason})"
        )
        return point

    def _log_ratios(self, rounds: Sequence[RoundResult]) -> list[float]:
        return paired_log_ratios(rounds, self._plan.gate.metric, engine=self._rounds.engine.name)[1]
