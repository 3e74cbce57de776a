"""Whether an idle side costs the side that is asked anything: rounds next to it, and while it is suspended.

Invariants:
- Rounds alone and next to idle sides alternate, every other pair in reverse order, so drift cancels.
- Pairs are added until the interval is clear, or there are as many as a check may have. Few pairs
  underestimate the noise of some hosts: two copies of one server have shown 1.05 and 0.93, each with an
  interval that excludes 1.
- As many looks as there may be share the error: each interval is at the confidence that leaves all of them
  together at the declared one.
- If the interval is too wide to decide, sides do not share GPUs.
- A pair that others on the host disturbed is made again.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.progress import Say
from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.measure.completions import CompletionsClient
from tasks.judging.measure.disturbance.repeats import Repeats
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.summaries import MeasuredRound
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import IdleCheck
from tasks.judging.statistics import geometric_mean_interval

FIRST_PAIRS, MORE_PAIRS, MOST_PAIRS = 8, 8, 24
LOOKS = 1 + (MOST_PAIRS - FIRST_PAIRS) // MORE_PAIRS

Alone = Callable[[Side], AbstractContextManager[None]]
"""Suspends all sides but one for the time of a context."""


class IdleChecks(Frozen):
    """The checks of one measurement."""

    checks: tuple[IdleCheck, ...] = Field(description="One per side.")

    @property
    def obstacle(self) -> str:
        """Why sides must not share GPUs, as part of a sentence; empty if they may."""
        return "; ".join(one.text() for one in self.checks if not one.costs_nothing)


def check_idle_sides(
    placement: Placement, alone: Alone, protocol: JudgingProtocol, *, say: Say
) -> IdleChecks:
    """Ask every side, alone and next to idle ones, at the operating point.

    Any reference may turn out to be the strongest one, whose speed decides.

    Args:
        placement: has all sides up.
        alone: suspends the other sides.
        protocol: what to ask; its resolution is the loss of speed that would not matter.
        say: takes lines of progress.

    Raises:
        tasks.errors.HostBusy: others keep computing on the host, so nobody can know.
    """
    placement.observer.await_quiet(say)
    made = []
    for side in (protocol.engine, *protocol.references):
        with placement.serving([side]) as (endpoint,):
            check = _Check(placement, endpoint, alone, protocol, say).make()
        say(f"idle sides: {check.text()}")
        made.append(check)
    return IdleChecks(checks=tuple(made))


class _Check:
    """The check of one side."""

    def __init__(
        self, placement: Placement, endpoint: Endpoint, alone: Alone, protocol: JudgingProtocol, say: Say
    ) -> None:
        self._repeats = Repeats(placement.observer, say)
        self._endpoint = endpoint
        self._alone = alone
        self._protocol = protocol
        self._concurrency = protocol.workload.operating_point
        self._role = f"idle/{endpoint.side.name}"
        # Nothing has read the texts yet, and what idle sides cost does not depend on what is asked.
        self._runner = RoundRunner(
            protocol.workload.model_copy(update={"prompts": "random-ids"}),
            protocol.vocabulary,
            None,
            protocol.rounds,
            protocol.seed,
            placement.observer,
        )

    def make(self) -> IdleCheck:
        ratios = asyncio.run(self._log_ratios(range(FIRST_PAIRS), warm_up=True))
        while not (check := self._check(ratios)).is_clear and len(ratios) < MOST_PAIRS:
            ratios += asyncio.run(self._log_ratios(range(len(ratios), len(ratios) + MORE_PAIRS)))
        self._repeats.require_few()
        return check

    def _check(self, ratios: Sequence[float]) -> IdleCheck:
        plan = self._protocol.speed
        confidence = 1 - (1 - plan.gate.confidence) / LOOKS
        return IdleCheck(
            side=self._endpoint.side.name,
            ratio=geometric_mean_interval(ratios, confidence),
            log_ratios=tuple(ratios),
            tolerance=plan.resolution,
        )

    async def _log_ratios(self, pairs: Sequence[int], *, warm_up: bool = False) -> list[float]:
        """Return log(next to idle sides / alone) of each pair."""
        ratios = []
        async with self._runner.client(self._endpoint) as client:
            if warm_up:
                await self._runner.warm_up(client, self._concurrency, self._role)
            for place, pair in enumerate(pairs):
                apart = (True, False) if pair % 2 == 0 else (False, True)
                made = await self._repeats.undisturbed(
                    partial(self._pair, client, pair, apart), units=len(pairs) - place
                )
                speeds = [one.result.per_second("throughput_per_device") for one in made]
                alone, next_to_idle = speeds if apart[0] else speeds[::-1]
                ratios.append(math.log(next_to_idle / alone))
        return ratios

    async def _pair(self, client: CompletionsClient, pair: int, apart: Sequence[bool]) -> list[MeasuredRound]:
        """Make one round while the other sides are suspended, and one while they are not, in this order."""
        made = []
        for suspended in apart:
            with self._alone(self._endpoint.side) if suspended else nullcontext():
                made.append(await self._runner.run(client, self._concurrency, self._role, pair))
        return made
