"""Blocks of two sides that are never up together, each with a start, warm-up, rounds and a stop.

Invariants:
- They are made A B B A or B A A B, by lot.
- The unit of the statistics is the block: what a start decides is common to all of its rounds.
- A block has as many rounds as take about as long as a start: then neither the noise between rounds nor that
  between starts costs more than twice the time of the best choice. The first block decides it for all.
- Starts and stops count against the budget.
- A pair of blocks is made in one go. A run that was ended keeps whole pairs only, because a pair cancels
  drift only if its blocks follow each other.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from time import perf_counter

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.progress import Say
from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.measure.kept import PhaseKeeper
from tasks.judging.measure.repeats import Repeats, require_few
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.stages import (
    SECONDS_PER_MINUTE,
    Sides,
    Stop,
    elsewhere,
    finish_point,
    in_order,
    next_stop,
)
from tasks.judging.measure.summaries import MeasuredRound
from tasks.judging.measure.timed import SecondAnswer, TimedRounds, ask_again, count_to_ask
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol, SpeedPlan
from tasks.judging.results import BlockCost, NotMeasured, SpeedPoint

LEAST_PAIRS = 3
LEAST_ROUNDS, MOST_ROUNDS = 3, 12
# A block takes minutes: a pair that others have disturbed this often will not become quiet.
MOST_TRIES = 2


class Block(Frozen):
    """What one block made."""

    cost: BlockCost
    rounds: tuple[MeasuredRound, ...] = Field(description="Its counted rounds, at all concurrencies.")
    second: tuple[SecondAnswer, ...] = Field(
        description="Requests of these rounds that it was asked again; none of the reference's."
    )


class BlockPair(Frozen):
    """Two blocks in a row, one per side."""

    blocks: tuple[Block, Block]
    made_again: int = Field(default=0, ge=0, description="How often it was made anew for others' load.")

    @property
    def spent_s(self) -> float:
        """The seconds that both took."""
        return sum(block.cost.spent_s for block in self.blocks)


def compare_in_blocks(
    placement: Placement,
    runner: RoundRunner,
    sides: Sides,
    protocol: JudgingProtocol,
    *,
    attempt: int,
    kept: PhaseKeeper,
    say: Say,
) -> tuple[list[SpeedPoint], TimedRounds, tuple[BlockCost, ...]] | NotMeasured:
    """Compare two sides in turn, at all concurrencies; or say what that takes if the budget is too small.

    Raises `HostBusy` if too many pairs had to be made again.

    Args:
        placement: starts one side at a time.
        runner: makes the rounds.
        sides: the reference and the engine.
        protocol: how many pairs, and for how long.
        attempt: how often this was measured, this time included.
        kept: pairs that an earlier run made.
        say: takes lines of progress.
    """
    names = [side.name for side in sides]
    starts = {one.side: one.ready_s for one in placement.conditions().starts if one.side in names}
    if too_few := too_few_blocks(starts, protocol.speed):
        refused = NotMeasured(cause="unaffordable", reason=f"No round was timed: {too_few}")
        say(refused.reason)
        return refused
    return _Blocks(placement, runner, sides, protocol, attempt, kept, say).compare()


def too_few_blocks(starts: Mapping[str, float], plan: SpeedPlan) -> str:
    """Say what blocks would take if the budget allows too few of them; empty if it allows enough.

    `starts` are the seconds that starts of the two sides took, by name; of one side alone, it says what is
    needed at least.
    """
    # The rounds of a block take about as long as its start.
    needed_s = LEAST_PAIRS * 2 * sum(starts.values())
    if needed_s <= plan.gate.budget_minutes * SECONDS_PER_MINUTE:
        return ""
    minutes = math.ceil(needed_s / SECONDS_PER_MINUTE)
    shown = ", ".join(f"{name} {ready_s:.0f} s" for name, ready_s in starts.items())
    return (
        f"in turn, at least {LEAST_PAIRS} pairs of blocks are needed. By the starts so far ({shown}), they "
        f"take about {minutes} min, and the budget is {plan.gate.budget_minutes:g} min. Raise "
        f"validation.speed.budget_minutes to {minutes} or more, or measure on a host that holds all sides "
        "at once."
    )


def rounds_of_a_block(ready_s: float, round_s: float) -> int:
    """Return how many rounds take about as long as a start."""
    return max(LEAST_ROUNDS, min(MOST_ROUNDS, math.ceil(ready_s / round_s)))


def first_block_pairs(plan: SpeedPlan, pair_s: float) -> int:
    """Return the pairs before the first look: as declared, or fewer if the budget ends before."""
    affordable = math.floor(plan.gate.budget_minutes * SECONDS_PER_MINUTE / pair_s)
    return max(LEAST_PAIRS, min(plan.first_block_pairs, affordable))


class _Blocks:
    def __init__(
        self,
        placement: Placement,
        runner: RoundRunner,
        sides: Sides,
        protocol: JudgingProtocol,
        attempt: int,
        kept: PhaseKeeper,
        say: Say,
    ) -> None:
        self._placement = placement
        self._runner = runner
        self._sides = sides
        self._protocol = protocol
        self._plan = protocol.speed
        self._attempt = attempt
        self._kept = kept
        self._say = say
        self._rounds_each: int | None = None

    def compare(self) -> tuple[list[SpeedPoint], TimedRounds, tuple[BlockCost, ...]]:
        pairs = [self._pair(0)]
        self._rounds_each = pairs[0].blocks[0].cost.rounds
        pairs += [self._pair(index) for index in range(1, first_block_pairs(self._plan, pairs[0].spent_s))]
        stop = self._look(pairs, 1)
        while stop.pairs > len(pairs):
            require_few(_made_again(pairs), stop.pairs)
            pairs += [self._pair(index) for index in range(len(pairs), stop.pairs)]
            stop = self._look(pairs, stop.looks + 1)
        require_few(_made_again(pairs), len(pairs))
        points = [
            self._point(pairs, concurrency, stop) for concurrency in self._protocol.workload.concurrency
        ]
        blocks = [block for pair in pairs for block in pair.blocks]
        return points, self._timed(blocks), tuple(block.cost for block in blocks)

    def _timed(self, blocks: Sequence[Block]) -> TimedRounds:
        reference, engine = (
            [one for block in blocks if block.cost.side == side.name for one in block.rounds]
            for side in self._sides
        )
        second = [one for block in blocks for one in block.second]
        return TimedRounds(engine=engine, reference=reference, second=second)

    def _look(self, pairs: Sequence[BlockPair], number: int) -> Stop:
        return next_stop(
            _rounds_at(pairs, self._protocol.workload.operating_point),
            self._plan,
            engine=self._sides[1].name,
            look=number,
            spent_s=sum(pair.spent_s for pair in pairs),
            attempt=self._attempt,
        )

    def _point(self, pairs: Sequence[BlockPair], concurrency: int, stop: Stop) -> SpeedPoint:
        """Return the point at one concurrency; `stop` is how the one ended that decides."""
        rounds = _rounds_at(pairs, concurrency)
        if concurrency != self._protocol.workload.operating_point:
            stop = elsewhere(len({one.result.block for one in rounds}) // 2)
        point, line = finish_point(rounds, self._sides, self._protocol, stop)
        self._say(line)
        return point.model_copy(update={"made_again": _made_again(pairs)})

    def _pair(self, index: int) -> BlockPair:
        return self._kept.once(f"pair-{index:03d}", BlockPair, lambda: self._make_pair(index))

    def _make_pair(self, index: int) -> BlockPair:
        order = in_order(self._sides, self._protocol, index)
        repeats = Repeats(self._placement.observer, self._say)
        while True:
            first, second = (self._block(side, index, 2 * index + place) for place, side in enumerate(order))
            if not repeats.needed((*first.rounds, *second.rounds), units=MOST_TRIES):
                return BlockPair(blocks=(first, second), made_again=repeats.made_again)
            self._placement.observer.await_quiet(self._say)

    def _block(self, side: Side, pair: int, place: int) -> Block:
        """Start a side, ask it, and stop it."""
        begin = perf_counter()
        with self._placement.serving([side]) as (endpoint,):
            rounds = asyncio.run(self._rounds(endpoint, pair, place))
            second = asyncio.run(self._second_answers(endpoint, rounds))
        decisive = [
            one for one in rounds if one.result.concurrency == self._protocol.workload.operating_point
        ]
        cost = BlockCost(
            side=side.name,
            ready_s=endpoint.ready_s,
            spent_s=perf_counter() - begin,
            rounds=len(decisive),
            throttled=tuple(sorted({reason for one in rounds for reason in one.result.throttled})),
        )
        self._say(
            f"block {place + 1}, {side.name}: ready after {cost.ready_s:.1f} s, {cost.rounds} rounds, "
            f"{cost.spent_s:.1f} s in all"
        )
        return Block(cost=cost, rounds=tuple(rounds), second=tuple(second))

    async def _second_answers(
        self, endpoint: Endpoint, rounds: Sequence[MeasuredRound]
    ) -> list[SecondAnswer]:
        """Ask the engine its share of the timed requests again; it is not up when all blocks are made."""
        if endpoint.side == self._sides[0]:
            return []
        second: list[SecondAnswer] = []
        async with self._runner.client(endpoint) as client:
            for concurrency in sorted({one.result.concurrency for one in rounds}):
                own = [one for one in rounds if one.result.concurrency == concurrency]
                count = math.ceil(count_to_ask(concurrency, self._protocol) / LEAST_PAIRS)
                second += await ask_again(client, own, self._protocol, count)
        return second

    async def _rounds(self, endpoint: Endpoint, pair: int, place: int) -> list[MeasuredRound]:
        """Make the rounds of one block: at the operating point, then one at each other concurrency."""
        load = self._protocol.workload
        # Prompts depend on the block: those of pairs that an earlier run made do not come again.
        role = f"{'reference' if endpoint.side == self._sides[0] else 'engine'}/block {place}"
        made: list[MeasuredRound] = []
        async with self._runner.client(endpoint) as client:
            await self._runner.warm_up(client, load.operating_point, role)
            while len(made) < (self._rounds_each or LEAST_ROUNDS):
                index = place * (self._rounds_each or 0) + len(made)
                made.append(await self._runner.run(client, load.operating_point, role, index, block=place))
                if self._rounds_each is None:
                    self._rounds_each = rounds_of_a_block(endpoint.ready_s, made[0].result.wall_s)
            if pair < self._plan.pairs_elsewhere:
                for concurrency in load.concurrency:
                    if concurrency != load.operating_point:
                        await self._runner.warm_up(client, concurrency, role)
                        made.append(await self._runner.run(client, concurrency, role, place, block=place))
        return made


def _made_again(pairs: Sequence[BlockPair]) -> int:
    return sum(pair.made_again for pair in pairs)


def _rounds_at(pairs: Sequence[BlockPair], concurrency: int) -> list[MeasuredRound]:
    rounds = [one for pair in pairs for block in pair.blocks for one in block.rounds]
    return [one for one in rounds if one.result.concurrency == concurrency]
