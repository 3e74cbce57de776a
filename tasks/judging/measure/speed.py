"""The comparison of speed: the fastest reference, then engine against it at each concurrency.

Invariants:
- The reference is the fastest of those given, chosen by separate rounds that no comparison uses.
- When to stop is decided by looks that share the error (`tasks.judging.statistics.looks`); nothing else is
  decided here about the speed of the engine.
- Rounds begin when the host is quiet. If it does not become so, or stay so, there is no result.
- What the rounds were answered with is read after them, by the first reference.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from statistics import fmean

from artifacts.progress import Say
from tasks.errors import HostBusy
from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.measure.alternation import compare_in_rounds
from tasks.judging.measure.blocks import compare_in_blocks
from tasks.judging.measure.kept import NothingKept, PhaseKeeper
from tasks.judging.measure.prompts import PromptText
from tasks.judging.measure.repeats import Repeats
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.summaries import MeasuredRound
from tasks.judging.measure.timed import read_timed_answers
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import BlockCost, NotMeasured, QualifyingRound, SpeedResult, TimedAnswers


def measure_speed(
    placement: Placement,
    engine: Side,
    references: Sequence[Side],
    protocol: JudgingProtocol,
    *,
    text: PromptText | None,
    attempt: int = 1,
    say: Say,
    kept: PhaseKeeper | None = None,
) -> SpeedResult | NotMeasured:
    """Choose the fastest reference, then compare at the operating point and at the other concurrencies.

    If others kept the host busy, the result says so, and nothing else.

    Args:
        placement: brings up sides.
        engine: the side to judge.
        references: references that are accurate enough, at least one. To measure a server against itself
            (an A/A run), give the same server as engine and reference under two names.
        protocol: what to ask, how often, and for how long.
        text: the text that prompts are windows of, if the workload asks for text.
        attempt: how often this was measured, this time included.
        say: takes lines of progress.
        kept: what an earlier run finished, if sides are not resident.
    """
    try:
        placement.observer.await_quiet(say)
        return _measure(placement, engine, references, protocol, text, attempt, say, kept or NothingKept())
    except HostBusy as error:
        where = f" ({error.where})" if error.where else ""
        refused = NotMeasured(cause="host-busy", reason=f"Host busy: {error.what}{where}.")
        say(refused.reason)
        return refused


def _measure(
    placement: Placement,
    engine: Side,
    references: Sequence[Side],
    protocol: JudgingProtocol,
    text: PromptText | None,
    attempt: int,
    say: Say,
    kept: PhaseKeeper,
) -> SpeedResult | NotMeasured:
    runner = RoundRunner(
        protocol.workload,
        protocol.vocabulary,
        text if protocol.workload.prompts == "text" else None,
        protocol.rounds,
        protocol.seed,
        placement.observer,
    )
    # To choose between references, each is started once more if sides are not resident; one needs no choice.
    asked = references if placement.resident or len(references) > 1 else ()
    qualifying = [
        kept.once(
            f"qualify-{one.name}",
            QualifyingRound,
            partial(_qualify, placement, one, runner, protocol, say),
        )
        for one in asked
    ]
    fastest = max(qualifying, key=lambda one: fmean(one.rates)).reference if asked else references[0].name
    reference = next(one for one in references if one.name == fastest)
    if placement.resident:
        points, rounds = compare_in_rounds(
            placement, runner, (reference, engine), protocol, attempt=attempt, say=say
        )
        blocks: tuple[BlockCost, ...] = ()
    else:
        found = compare_in_blocks(
            placement, runner, (reference, engine), protocol, attempt=attempt, kept=kept, say=say
        )
        if isinstance(found, NotMeasured):
            return found
        points, rounds, blocks = found
    return SpeedResult(
        engine=engine.name,
        reference=fastest,
        protocol_digest=protocol.digest,
        attempt=attempt,
        qualifying=tuple(qualifying),
        operating_point=protocol.workload.operating_point,
        points=tuple(sorted(points, key=lambda point: point.concurrency)),
        blocks=blocks,
        quiet_host=placement.observer.quiet_host,
        timed=kept.once(
            "timed-answers",
            TimedAnswers,
            lambda: read_timed_answers(placement, rounds, protocol, say=say),
        ),
    )


def _qualify(
    placement: Placement, reference: Side, runner: RoundRunner, protocol: JudgingProtocol, say: Say
) -> QualifyingRound:
    """Measure a reference at the operating point, in rounds that are not used again."""
    concurrency, plan = protocol.workload.operating_point, protocol.speed
    role, repeats = f"qualify/{reference.name}", Repeats(placement.observer, say)

    async def make(endpoint: Endpoint) -> list[MeasuredRound]:
        async with runner.client(endpoint) as client:

            async def run(index: int) -> list[MeasuredRound]:
                return [await runner.run(client, concurrency, role, index)]

            await runner.warm_up(client, concurrency, role)
            count = plan.qualifying_rounds
            made = [await repeats.undisturbed(partial(run, i), units=count) for i in range(count)]
        return [one for (one,) in made]

    with placement.serving([reference]) as (endpoint,):
        made = asyncio.run(make(endpoint))
    rates = tuple(one.result.per_second(plan.gate.metric) for one in made)
    say(f"{reference.name}: {fmean(rates):.0f} tokens/s per device, to choose the fastest reference")
    return QualifyingRound(reference=reference.name, rates=rates)
