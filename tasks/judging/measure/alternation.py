"""Alternating rounds of two sides that are both up: A B B A or B A A B, by lot, each with new prompts.

Invariants:
- The rounds of a pair follow each other, and of every two pairs one is made in reverse order, so drift
  cancels. Which of them is drawn by lot from the seed of the protocol: so does what comes back periodically.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from artifacts.progress import Say
from tasks.judging.endpoint import Endpoint
from tasks.judging.measure.repeats import Repeats
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.stages import Sides, Stop, elsewhere, finish_point, is_reversed, next_stop
from tasks.judging.measure.summaries import MeasuredRound
from tasks.judging.measure.timed import SecondAnswer, TimedRounds, ask_again, count_to_ask
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import RoundResult, SpeedPoint


def compare_in_rounds(
    placement: Placement,
    runner: RoundRunner,
    sides: Sides,
    protocol: JudgingProtocol,
    *,
    attempt: int,
    say: Say,
) -> tuple[list[SpeedPoint], TimedRounds]:
    """Compare two resident sides at the operating point, then at the other concurrencies.

    Raises `HostBusy` if too many pairs had to be made again.

    Args:
        placement: has all sides up.
        runner: makes the rounds.
        sides: the reference and the engine.
        protocol: how many rounds, and for how long.
        attempt: how often this was measured, this time included.
        say: takes lines of progress.
    """
    repeats = Repeats(placement.observer, say)
    with placement.serving(sides) as endpoints:
        alternation = _Alternation(runner, endpoints, sides, protocol, attempt, repeats, say)
        points = asyncio.run(alternation.points())
    repeats.require_few(sum(len(one.rounds) // 2 for one in points))
    return points, alternation.timed()


class _Alternation:
    def __init__(
        self,
        runner: RoundRunner,
        endpoints: Sequence[Endpoint],
        sides: Sides,
        protocol: JudgingProtocol,
        attempt: int,
        repeats: Repeats,
        say: Say,
    ) -> None:
        self._repeats = repeats
        self._runner = runner
        self._endpoints = endpoints
        self._sides = sides
        self._protocol = protocol
        self._plan = protocol.speed
        self._attempt = attempt
        self._say = say
        self._made: list[MeasuredRound] = []
        self._second_answers: list[SecondAnswer] = []

    def timed(self) -> TimedRounds:
        """Return all rounds so far, and what was asked again."""
        reference, engine = (
            [one for one in self._made if one.result.side == side.name] for side in self._sides
        )
        return TimedRounds(engine=engine, reference=reference, second=self._second_answers)

    async def points(self) -> list[SpeedPoint]:
        load = self._protocol.workload
        others = [one for one in load.concurrency if one != load.operating_point]
        return [await self._point(one, decisive=one not in others) for one in (load.operating_point, *others)]

    async def _point(self, concurrency: int, *, decisive: bool) -> SpeedPoint:
        """Make pairs, and if this point decides, more of them until a look ends it."""
        made_again = self._repeats.made_again
        made = self._plan.first_pairs if decisive else self._plan.pairs_elsewhere
        rounds = await self._pairs(concurrency, range(made))
        stop = self._look(rounds, 1) if decisive else elsewhere(made)
        while stop.pairs > made:
            rounds += await self._pairs(concurrency, range(made, stop.pairs))
            made, stop = stop.pairs, self._look(rounds, stop.looks + 1)
        await self._ask_again([one for one in rounds if one.result.side == self._sides[1].name])
        self._made += rounds
        point, line = finish_point(rounds, self._sides, self._protocol, stop)
        self._say(line)
        return point.model_copy(update={"made_again": self._repeats.made_again - made_again})

    async def _ask_again(self, rounds: Sequence[MeasuredRound]) -> None:
        count = count_to_ask(rounds[0].result.concurrency, self._protocol)
        async with self._runner.client(self._endpoints[1]) as client:
            self._second_answers += await ask_again(client, rounds, self._protocol, count)

    def _look(self, rounds: Sequence[MeasuredRound], number: int) -> Stop:
        stop = next_stop(
            rounds,
            self._plan,
            engine=self._sides[1].name,
            look=number,
            spent_s=_spent_s([one.result for one in rounds]),
            attempt=self._attempt,
        )
        self._repeats.require_few(stop.pairs)
        return stop

    async def _pairs(self, concurrency: int, pairs: range) -> list[MeasuredRound]:
        """Make the rounds of these pairs, each in the order drawn by lot."""
        made: list[MeasuredRound] = []
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(self._runner.client(one)) for one in self._endpoints]
            asked = list(zip(clients, ("reference", "engine"), strict=True))
            for client, role in asked:
                await self._runner.warm_up(client, concurrency, role)

            async def make(pair: int) -> list[MeasuredRound]:
                ordered = enumerate(asked[::-1] if is_reversed(self._protocol.seed, pair) else asked)
                run = self._runner.run
                return [await run(client, concurrency, role, 2 * pair + i) for i, (client, role) in ordered]

            for pair in pairs:
                made += await self._repeats.undisturbed(partial(make, pair), units=len(pairs))
        return made


def _spent_s(rounds: Sequence[RoundResult]) -> float:
    """Return the seconds from the first request of these rounds to their last token, without warm-up."""
    begin = min(one.started_s for one in rounds)
    return max(one.started_s + one.wall_s for one in rounds) - begin
