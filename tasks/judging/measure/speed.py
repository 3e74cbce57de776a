"""The comparison of speed: the engine against every reference, then against the strongest one elsewhere.

Invariants:
- The engine is held against each reference that takes part (`contest`); none is chosen beforehand.
- When to stop is decided by looks that share the error (`tasks.judging.statistics.looks`); nothing else is
  decided here about the speed of the engine.
- Rounds begin when the host is quiet. If it does not become so, or stay so, there is no result.
- What the rounds were answered with is read after them, by the first reference.
"""

from collections.abc import Sequence

from artifacts.progress import Say
from tasks.errors import HostBusy
from tasks.judging.endpoint import Side
from tasks.judging.measure.contest import (
    affordable_references,
    compare_in_blocks,
    compare_in_rounds,
    starts_of,
)
from tasks.judging.measure.kept import NothingKept, PhaseKeeper
from tasks.judging.measure.prompts import PromptText
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.timed import read_timed_answers
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import LeftOut, NotMeasured, SpeedResult, TimedAnswers


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
    """Compare with all references at the operating point, then with the strongest elsewhere.

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
    say(f"speed: {engine.name} against each of {', '.join(one.name for one in references)}")
    left_out: tuple[LeftOut, ...] = ()
    if placement.resident:
        found = compare_in_rounds(placement, runner, references, protocol, attempt=attempt, say=say)
    else:
        starts = starts_of(placement, (engine, *references))
        affordable, left_out = affordable_references(starts, references, protocol)
        for one in left_out:
            say(f"{one.reference} is not timed: {one.reason}")
        made = compare_in_blocks(placement, runner, affordable, protocol, attempt=attempt, kept=kept, say=say)
        if isinstance(made, NotMeasured):
            return made
        found = made
    return SpeedResult(
        engine=engine.name,
        reference=found.points[0].reference.side,
        protocol_digest=protocol.digest,
        attempt=attempt,
        left_out=left_out,
        operating_point=protocol.workload.operating_point,
        points=tuple(sorted(found.points, key=lambda point: point.concurrency)),
        others=tuple(found.others),
        blocks=found.blocks,
        quiet_host=placement.observer.quiet_host,
        timed=kept.once(
            "timed-answers",
            TimedAnswers,
            lambda: read_timed_answers(placement, found.timed, protocol, say=say),
        ),
    )
