"""Several sides in one session: every cycle asks each of them once, so that any two can be compared.

Invariants:
- The order of a cycle is drawn by lot, and the next cycle is made in reverse: over two cycles drift cancels
  for every two sides, and what comes back periodically favours none.
- If sides are not resident, a cycle starts each of them, and its rounds take about as long as its start.
- A cycle that others disturbed is made again as a whole.
- The number of cycles follows from the time budget, never from what they show.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from artifacts.progress import Say
from tasks.judging import Endpoint, JudgingProtocol, Placement, Side
from tasks.judging.measure import MeasuredRound, PromptText, Repeats, RoundRunner, order_of, rounds_of_a_block
from tasks.judging.measure.accuracy import read_prompt_text
from tasks.judging.measure.completions import open_client
from tasks.judging.results import RoundResult

LEAST_CYCLES, MOST_CYCLES = 4, 32
SECONDS_PER_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Cycles:
    """What several sides made in one session, at the operating point.

    Attributes:
        rounds: all counted rounds, in their order; the rounds of one side in one cycle are a block.
        cycles: how often each side was asked.
        made_again: cycles that were discarded because others disturbed them.
    """

    rounds: tuple[RoundResult, ...]
    cycles: int
    made_again: int


def measure_cycles(
    placement: Placement,
    sides: Sequence[Side],
    reader: Side,
    texts: Sequence[str],
    protocol: JudgingProtocol,
    *,
    say: Say,
) -> Cycles:
    """Measure several sides in cycles, as many as the time budget of the protocol allows.

    Args:
        placement: brings up the sides.
        sides: all sides, at least two.
        reader: the one of them, a vLLM server, that reads the texts which prompts are windows of.
        texts: held-out texts.
        protocol: workload, rounds, seed and budget.
        say: takes lines of progress.

    Raises:
        tasks.errors.HostBusy: others keep computing on the host.
    """
    text = _text(placement, reader, texts, protocol) if protocol.workload.prompts == "text" else None
    placement.observer.await_quiet(say)
    return _Session(placement, sides, text, protocol, say).measure()


def in_order_of_cycle(sides: Sequence[Side], seed: int, cycle: int) -> list[Side]:
    """Return the sides in the order in which a cycle asks them."""
    return [sides[place] for place in order_of(seed, cycle, len(sides))]


def affordable_cycles(budget_minutes: float, cycle_s: float) -> int:
    """Return the even number of cycles that a budget allows, within the limits of this module."""
    pairs = math.floor(budget_minutes * SECONDS_PER_MINUTE / cycle_s / 2)
    return max(LEAST_CYCLES, min(MOST_CYCLES, 2 * pairs))


class _Session:
    def __init__(
        self,
        placement: Placement,
        sides: Sequence[Side],
        text: PromptText | None,
        protocol: JudgingProtocol,
        say: Say,
    ) -> None:
        self._placement = placement
        self._sides = sides
        self._protocol = protocol
        self._say = say
        self._repeats = Repeats(placement.observer, say)
        self._rounds_each: dict[str, int] = {}
        self._runner = RoundRunner(
            protocol.workload,
            protocol.vocabulary,
            text,
            protocol.rounds,
            protocol.seed,
            placement.observer,
        )

    def measure(self) -> Cycles:
        begin = perf_counter()
        rounds = self._cycle(0, LEAST_CYCLES)
        count = affordable_cycles(self._protocol.speed.gate.budget_minutes, perf_counter() - begin)
        self._say(f"{count} cycles of {len(self._sides)} sides")
        for cycle in range(1, count):
            rounds += self._cycle(cycle, count)
        self._repeats.require_few()
        return Cycles(tuple(one.result for one in rounds), count, self._repeats.made_again)

    def _cycle(self, cycle: int, count: int) -> list[MeasuredRound]:
        order = in_order_of_cycle(self._sides, self._protocol.seed, cycle)
        first = cycle * len(order)
        while True:
            made = [one for i, side in enumerate(order) for one in self._block(side, first + i)]
            if not self._repeats.needed(made, units=count - cycle):
                return made
            self._placement.observer.await_quiet(self._say)

    def _block(self, side: Side, block: int) -> list[MeasuredRound]:
        with self._placement.serving([side]) as (endpoint,):
            return asyncio.run(self._rounds(endpoint, block))

    async def _rounds(self, endpoint: Endpoint, block: int) -> list[MeasuredRound]:
        concurrency, name = self._protocol.workload.operating_point, endpoint.side.name
        made: list[MeasuredRound] = []
        async with self._runner.client(endpoint) as client:
            await self._runner.warm_up(client, concurrency, name)
            while len(made) < self._rounds_each.get(name, 1):
                made.append(await self._runner.run(client, concurrency, name, block, block=block))
                if name not in self._rounds_each:
                    self._rounds_each[name] = self._rounds_of_a_block(endpoint, made[0].result.wall_s)
        return made

    def _rounds_of_a_block(self, endpoint: Endpoint, round_s: float) -> int:
        return 1 if self._placement.resident else rounds_of_a_block(endpoint.ready_s, round_s)


def _text(placement: Placement, reader: Side, texts: Sequence[str], protocol: JudgingProtocol) -> PromptText:
    most, limit_s = max(protocol.workload.concurrency), protocol.rounds.request_limit_s

    async def read(endpoint: Endpoint) -> PromptText:
        async with open_client(endpoint, connections=most, request_limit_s=limit_s) as client:
            return await read_prompt_text(client, texts, parallel=most)

    with placement.serving([reader]) as (endpoint,):
        return asyncio.run(read(endpoint))
