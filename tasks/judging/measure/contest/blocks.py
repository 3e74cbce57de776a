"""Blocks of sides that are never up together, each with a start, warm-up, rounds and a stop.

Invariants:
- They are made A B C C B A, or in another order by lot.
- The unit of the statistics is the block: what a start decides is common to all of its rounds.
- A block has as many rounds as take about as long as a start: then neither the noise between rounds nor that
  between starts costs more than twice the time of the best choice. The first block decides it for all.
- Starts and stops count against the budget, also those of cycles that others disturbed (`block_budget`).
- A cycle of blocks is made in one go. A run that was ended keeps whole cycles only, because a cycle cancels
  drift only if its blocks follow each other.
"""

import asyncio
import math
from collections.abc import Sequence
from time import perf_counter

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.progress import Say
from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.measure.contest.block_budget import (
    LEAST_PAIRS,
    LEAST_ROUNDS,
    first_block_cycles,
    rounds_of_a_block,
)
from tasks.judging.measure.contest.order import in_order
from tasks.judging.measure.contest.pairings import Compared, Contest
from tasks.judging.measure.contest.stages import (
    Spent,
    finish_elsewhere,
    left_for_pairs_s,
    open_loop_needs_s,
)
from tasks.judging.measure.disturbance import Repeats, counting_looks, require_few
from tasks.judging.measure.phases import Budget, PhaseKeeper
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.summaries import MeasuredRound
from tasks.judging.measure.timed_answers import SecondAnswer, TimedRounds, ask_again, count_to_ask
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import BlockCost, SpeedPoint

# A block takes minutes: a pair that others have disturbed this often will not become quiet.
MOST_TRIES = 2


class Block(Frozen):
    """What one block made."""

    cost: BlockCost
    rounds: tuple[MeasuredRound, ...] = Field(description="Its counted rounds, at all concurrencies.")
    second: tuple[SecondAnswer, ...] = Field(
        description="Requests of these rounds that it was asked again; none of the reference's."
    )


class BlockCycle(Frozen):
    """Blocks in a row, one per side that was asked."""

    blocks: tuple[Block, ...] = Field(min_length=2)
    made_again: int = Field(default=0, ge=0, description="How often it was made anew for others' load.")
    lost_s: float = Field(default=0.0, ge=0, description="Seconds until it was made anew the last time.")

    @property
    def blocks_s(self) -> float:
        """The seconds that its blocks took."""
        return sum(block.cost.spent_s for block in self.blocks)

    def rounds_at(self, concurrency: int) -> list[MeasuredRound]:
        """Return the rounds at one concurrency, in their order."""
        return [one for block in self.blocks for one in block.rounds if one.result.concurrency == concurrency]


def compare_in_blocks(
    placement: Placement,
    runner: RoundRunner,
    references: Sequence[Side],
    protocol: JudgingProtocol,
    budget: Budget,
    *,
    attempt: int,
    kept: PhaseKeeper,
    say: Say,
) -> Compared:
    """Compare the engine with references in turn, at all concurrencies.

    Raises `HostBusy` if too many cycles had to be made again.

    Args:
        placement: starts one side at a time.
        runner: makes the rounds.
        references: references that take part; `plan_blocks` says which of them can.
        protocol: how many cycles.
        budget: what is left of it; a part is kept for what comes after.
        attempt: how often this was measured, this time included.
        kept: cycles that an earlier run made.
        say: takes lines of progress.
    """
    blocks = _Blocks(placement, runner, references, protocol, budget, attempt, kept, say)
    with counting_looks(lambda: blocks.has_looked):
        return blocks.compare()


class _Blocks:
    def __init__(
        self,
        placement: Placement,
        runner: RoundRunner,
        references: Sequence[Side],
        protocol: JudgingProtocol,
        budget: Budget,
        attempt: int,
        kept: PhaseKeeper,
        say: Say,
    ) -> None:
        self._placement = placement
        self._runner = runner
        self._sides = (protocol.engine, *references)
        self._protocol = protocol
        self._plan = protocol.speed
        self._budget = budget
        self._attempt = attempt
        self._kept = kept
        self._say = say
        self._rounds_each: int | None = None
        self._cycles: list[BlockCycle] = []
        self.has_looked = False

    def compare(self) -> Compared:
        contest = Contest(self._sides[1:], self._protocol, self._attempt, self._plan.first_block_pairs)
        self._add_cycle(contest)
        self._rounds_each = self._cycles[0].blocks[0].cost.rounds
        first = first_block_cycles(self._plan, self._budget.left_s, self._cycles[0].blocks_s)
        contest.first_look_after(first)
        budget_s: float | None = None
        while contest.going:
            require_few(self._made_again, contest.next_look)
            while contest.cycles < contest.next_look:
                self._add_cycle(contest)
            budget_s = self._for_pairs_s() if budget_s is None else budget_s
            contest.look(self._spent(), budget_s)
            self.has_looked = True
        require_few(self._made_again, len(self._cycles))
        self._budget.spend(self._spent().total_s)
        strongest, point, others = contest.finish(self._made_again, self._say)
        load = self._protocol.workload
        elsewhere = [one for one in load.concurrency if one != load.operating_point]
        points = [point, *(self._elsewhere(one, strongest) for one in elsewhere)]
        costs = tuple(block.cost for block in self._blocks)
        return Compared(points, others, self._timed(strongest), costs)

    @property
    def _blocks(self) -> list[Block]:
        return [block for cycle in self._cycles for block in cycle.blocks]

    @property
    def _made_again(self) -> int:
        return sum(cycle.made_again for cycle in self._cycles)

    def _add_cycle(self, contest: Contest) -> None:
        cycle = self._cycle(contest.cycles, contest.sides)
        self._cycles.append(cycle)
        contest.add(cycle.rounds_at(self._protocol.workload.operating_point))

    def _spent(self) -> Spent:
        total_s = sum(cycle.blocks_s + cycle.lost_s for cycle in self._cycles)
        return Spent.of(total_s, ((block.cost.side, block.cost.spent_s) for block in self._blocks))

    def _for_pairs_s(self) -> float:
        """Return the seconds for all cycles, after the first of them."""
        sides = (self._sides[1], self._protocol.engine)
        point = self._protocol.workload.operating_point
        rounds = [one for cycle in self._cycles for one in cycle.rounds_at(point)]
        first = self._cycles[0].blocks
        others_s = sum(
            block.cost.ready_s for block in first if block.cost.side in {one.name for one in sides}
        )
        others_s += open_loop_needs_s(rounds, sides, self._protocol, self._attempt)
        return left_for_pairs_s(self._budget.left_s, others_s, self._protocol, self._say)

    def _timed(self, strongest: Side) -> TimedRounds:
        made = [one for block in self._blocks for one in block.rounds]
        second = [one for block in self._blocks for one in block.second]
        return TimedRounds.of(made, self._protocol.engine, strongest, second)

    def _elsewhere(self, concurrency: int, reference: Side) -> SpeedPoint:
        """Return the point at a concurrency that decides nothing, from the first cycles."""
        sides = (reference, self._protocol.engine)
        names = {side.name for side in sides}
        rounds = [
            one
            for cycle in self._cycles[: self._plan.pairs_elsewhere]
            if names <= {block.cost.side for block in cycle.blocks}
            for one in cycle.rounds_at(concurrency)
            if one.result.side in names
        ]
        return finish_elsewhere(rounds, sides, self._protocol, self._made_again, self._say)

    def _cycle(self, index: int, sides: Sequence[Side]) -> BlockCycle:
        asked = "-".join(side.name for side in sides)
        return self._kept.once(
            f"cycle-{index:03d}-{asked}", BlockCycle, lambda: self._make_cycle(index, sides)
        )

    def _make_cycle(self, index: int, sides: Sequence[Side]) -> BlockCycle:
        ordered = in_order(sides, self._sides, self._protocol.seed, index)
        repeats = Repeats(self._placement.observer, self._say)
        begin = perf_counter()
        lost_s = 0.0
        while True:
            blocks = tuple(self._block(side, index, place) for place, side in ordered)
            if not repeats.needed([one for block in blocks for one in block.rounds], units=MOST_TRIES):
                return BlockCycle(blocks=blocks, made_again=repeats.made_again, lost_s=lost_s)
            self._placement.observer.await_quiet(self._say)
            lost_s = perf_counter() - begin

    def _block(self, side: Side, cycle: int, place: int) -> Block:
        """Start a side, ask it, and stop it."""
        begin = perf_counter()
        with self._placement.serving([side]) as (endpoint,):
            rounds = asyncio.run(self._rounds(endpoint, cycle, place))
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
        if endpoint.side != self._protocol.engine:
            return []
        second: list[SecondAnswer] = []
        async with self._runner.client(endpoint) as client:
            for concurrency in sorted({one.result.concurrency for one in rounds}):
                own = [one for one in rounds if one.result.concurrency == concurrency]
                count = math.ceil(count_to_ask(concurrency, self._protocol) / LEAST_PAIRS)
                second += await ask_again(client, own, self._protocol, count)
        return second

    async def _rounds(self, endpoint: Endpoint, cycle: int, place: int) -> list[MeasuredRound]:
        """Make the rounds of one block: at the operating point, then one at each other concurrency."""
        load = self._protocol.workload
        # Prompts depend on the block: those of cycles that an earlier run made do not come again.
        role = f"{endpoint.side.name}/block {place}"
        made: list[MeasuredRound] = []
        async with self._runner.client(endpoint) as client:
            await self._runner.warm_up(client, load.operating_point, role)
            while len(made) < (self._rounds_each or LEAST_ROUNDS):
                index = place * (self._rounds_each or 0) + len(made)
                made.append(await self._runner.run(client, load.operating_point, role, index, block=place))
                if self._rounds_each is None:
                    self._rounds_each = rounds_of_a_block(endpoint.ready_s, made[0].result.wall_s)
            if cycle < self._plan.pairs_elsewhere:
                for concurrency in load.concurrency:
                    if concurrency != load.operating_point:
                        await self._runner.warm_up(client, concurrency, role)
                        made.append(await self._runner.run(client, concurrency, role, place, block=place))
        return made
