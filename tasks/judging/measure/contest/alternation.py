"""Alternating rounds of sides that are all up: A B C C B A, or in another order by lot, with new prompts.

Invariants:
- The rounds of a cycle follow each other, and of every two cycles one is made in reverse order, so drift
  cancels. Which order it is is drawn by lot from the seed of the protocol: so does what comes back
  periodically.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

from artifacts.progress import Say
from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.measure.contest.order import in_order
from tasks.judging.measure.contest.pairings import Compared, Contest
from tasks.judging.measure.contest.stages import (
    Spent,
    elsewhere_s,
    finish_elsewhere,
    left_for_pairs_s,
    open_loop_needs_s,
)
from tasks.judging.measure.disturbance import Repeats, counting_looks
from tasks.judging.measure.phases import Budget, OnLook, ignore_look
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.summaries import MeasuredRound
from tasks.judging.measure.timed_answers import SecondAnswer, TimedRounds, ask_again, count_to_ask
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import SpeedPoint


def compare_in_rounds(
    placement: Placement,
    runner: RoundRunner,
    references: Sequence[Side],
    protocol: JudgingProtocol,
    budget: Budget,
    *,
    attempt: int,
    say: Say,
    on_look: OnLook = ignore_look,
) -> Compared:
    """Compare the engine with resident references at the operating point, then elsewhere with the strongest.

    Raises `HostBusy` if too many cycles had to be made again.

    Args:
        placement: has all sides up.
        runner: makes the rounds.
        references: references that take part.
        protocol: how many rounds.
        budget: what is left of it; a part is kept for what comes after.
        attempt: how often this was measured, this time included.
        say: takes lines of progress.
        on_look: called before the first look at a ratio.
    """
    repeats = Repeats(placement.observer, say)
    sides = (protocol.engine, *references)
    with placement.serving(sides) as endpoints:
        by_name = {side.name: endpoint for side, endpoint in zip(sides, endpoints, strict=True)}
        alternation = Alternation(runner, by_name, sides, protocol, attempt, repeats, say, on_look)
        with counting_looks(lambda: alternation.has_looked):
            return asyncio.run(alternation.compare(budget.left_s))


class Alternation:
    """Rounds of sides that are up; the arguments are those of `compare_in_rounds`, and their endpoints."""

    def __init__(
        self,
        runner: RoundRunner,
        endpoints: Mapping[str, Endpoint],
        sides: Sequence[Side],
        protocol: JudgingProtocol,
        attempt: int,
        repeats: Repeats,
        say: Say,
        on_look: OnLook = ignore_look,
    ) -> None:
        self._runner = runner
        self._endpoints = endpoints
        self._sides = sides
        self._protocol = protocol
        self._attempt = attempt
        self._repeats = repeats
        self._say = say
        self._on_look = on_look
        self._made: list[MeasuredRound] = []
        self._second_answers: list[SecondAnswer] = []
        self.has_looked = False

    async def compare(self, left_s: float) -> Compared:
        """Compare at all concurrencies, if so many seconds are left."""
        load = self._protocol.workload
        strongest, point, others = await self._operating_point(left_s)
        others_in_flight = [one for one in load.concurrency if one != load.operating_point]
        points = [point, *[await self.elsewhere(one, strongest) for one in others_in_flight]]
        self._repeats.require_few()
        return Compared(points, others, self.timed(strongest))

    async def _operating_point(self, left_s: float) -> tuple[Side, SpeedPoint, list[SpeedPoint]]:
        """Make cycles until looks have ended the comparison with each reference, or it is lost."""
        concurrency = self._protocol.workload.operating_point
        contest = Contest(self._sides[1:], self._protocol, self._attempt, self._protocol.speed.first_pairs)
        budget_s: float | None = None
        while contest.going:
            cycles = range(contest.cycles, contest.next_look)
            for cycle in await self._cycles(concurrency, cycles, contest.sides):
                contest.add(cycle)
                self._made += cycle
            spent = _spent(self._made)
            budget_s = self._for_pairs_s(spent, left_s) if budget_s is None else budget_s
            if not self.has_looked:
                self._on_look()
            contest.look(spent, budget_s)
            self.has_looked = True
            self._repeats.require_few(more=contest.next_look - contest.cycles)
        await self._ask_again(self._made)
        return contest.finish(self._repeats.made_again, self._say)

    def _for_pairs_s(self, spent: Spent, left_s: float) -> float:
        """Return the seconds for all cycles, after the first of them."""
        sides = (self._sides[1], self._protocol.engine)
        others_s = open_loop_needs_s(self._made, sides, self._protocol, self._attempt)
        others_s += elsewhere_s(spent.cycle_s(sides), self._protocol)
        return left_for_pairs_s(left_s, others_s, self._protocol, self._say)

    async def elsewhere(self, concurrency: int, reference: Side) -> SpeedPoint:
        """Compare with one reference at another concurrency, which decides nothing."""
        made_again, engine = self._repeats.made_again, self._protocol.engine
        count = self._protocol.speed.pairs_elsewhere
        made = [
            one
            for cycle in await self._cycles(concurrency, range(count), (engine, reference))
            for one in cycle
        ]
        await self._ask_again(made)
        self._made += made
        again = self._repeats.made_again - made_again
        return finish_elsewhere(made, (reference, engine), self._protocol, again, self._say)

    def timed(self, strongest: Side) -> TimedRounds:
        """Return the rounds of the engine and of the strongest reference, and what was asked again."""
        return TimedRounds.of(self._made, self._protocol.engine, strongest, self._second_answers)

    async def _ask_again(self, rounds: Sequence[MeasuredRound]) -> None:
        engine = self._protocol.engine.name
        own = [one for one in rounds if one.result.side == engine]
        count = count_to_ask(own[0].result.concurrency, self._protocol)
        async with self._runner.client(self._endpoints[engine]) as client:
            self._second_answers += await ask_again(client, own, self._protocol, count)

    async def _cycles(
        self, concurrency: int, cycles: range, sides: Sequence[Side]
    ) -> list[list[MeasuredRound]]:
        """Make the rounds of these cycles, each in the order drawn by lot."""
        async with AsyncExitStack() as stack:
            clients = {
                side.name: await stack.enter_async_context(self._runner.client(self._endpoints[side.name]))
                for side in sides
            }
            for name, client in clients.items():
                await self._runner.warm_up(client, concurrency, name)

            async def make(cycle: int) -> list[MeasuredRound]:
                ordered = in_order(sides, self._sides, self._protocol.seed, cycle)
                run = self._runner.run
                return [
                    await run(clients[side.name], concurrency, side.name, place) for place, side in ordered
                ]

            return [
                await self._repeats.undisturbed(partial(make, cycle), units=cycles.stop - cycle)
                for cycle in cycles
            ]


def _spent(made: Sequence[MeasuredRound]) -> Spent:
    """Return the time from the first request of these rounds to their last token, without warm-up.

    What passes between rounds belongs to the sides in proportion to their rounds.
    """
    rounds = [one.result for one in made]
    begin = min(one.started_s for one in rounds)
    total_s = max(one.started_s + one.wall_s for one in rounds) - begin
    factor = total_s / sum(one.wall_s for one in rounds)
    return Spent.of(total_s, ((one.side, factor * one.wall_s) for one in rounds))
