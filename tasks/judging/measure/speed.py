"""The comparison of speed: the engine against every reference, then against the strongest one elsewhere.

Invariants:
- The engine is held against each reference that takes part (`contest`); none is chosen beforehand.
- When to stop is decided by looks that share the error (`tasks.judging.statistics.looks`); nothing else is
  decided here about the speed of the engine.
- Rounds begin when the host is quiet. If it does not become so, or stay so, there is no result; if ratios had
  been looked at by then, that is said, as it spends a part of the permitted error.
- Rounds decide about the ratio. Then the engine and the strongest reference are asked in open loop, which
  decides about the objective. An engine that is not fast enough is asked only if that reference misses it:
  otherwise vLLM stays, whatever the engine does.
- What the rounds were answered with is read after them, by the first reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from artifacts.progress import Say
from tasks.errors import HostBusy, HostBusyAfterLook
from tasks.judging.endpoint import Side
from tasks.judging.measure.contest import (
    BlockPlan,
    compare_in_blocks,
    compare_in_rounds,
    plan_blocks,
    sweep_in_rounds,
)
from tasks.judging.measure.disturbance import counting_looks
from tasks.judging.measure.open_loop import (
    OpenLoopAsked,
    Rate,
    ask_in_open_loop,
    load_of,
    not_asked,
    rate_of,
)
from tasks.judging.measure.phases import Budget, NothingKept, OnLook, PhaseKeeper, ignore_look
from tasks.judging.measure.prompts import PromptText
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.timed_answers import read_timed_answers
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import (
    LeftOut,
    NotMeasured,
    OpenLoopResult,
    SpeedPoint,
    SpeedResult,
    SweepPoint,
    TimedAnswers,
)
from tasks.judging.statistics import Role, attempt_confidence, shown_of


def measure_speed(
    placement: Placement,
    engine: Side,
    references: Sequence[Side],
    protocol: JudgingProtocol,
    *,
    text: PromptText | None,
    budget: Budget | None = None,
    attempt: int = 1,
    say: Say,
    kept: PhaseKeeper | None = None,
    on_look: OnLook = ignore_look,
) -> SpeedResult | NotMeasured:
    """Compare with all references at the operating point, then with the strongest elsewhere.

    If others kept the host busy, the result says so, and nothing else.

    Args:
        placement: brings up sides.
        engine: the side to judge.
        references: references that are accurate enough, at least one. To measure a server against itself
            (an A/A run), give the same server as engine and reference under two names.
        protocol: what to ask, and how often.
        text: the text that prompts are windows of, if the workload asks for text.
        budget: what is left of it; None: all that is declared.
        attempt: how often this was measured, this time included.
        say: takes lines of progress.
        kept: what an earlier run finished, if sides are not resident.
        on_look: called before the first look at a ratio if sides are resident: if this run is ended later,
            nothing else is left of it.
    """
    try:
        placement.observer.await_quiet(say)
        budget = budget or Budget(protocol.speed.gate.budget_minutes)
        kept = kept or NothingKept()
        return _measure(placement, engine, references, protocol, text, budget, attempt, say, kept, on_look)
    except HostBusy as error:
        where = f" ({error.where})" if error.where else ""
        refused = NotMeasured(
            cause="host-busy",
            reason=f"Host busy: {error.what}{where}.",
            looked=isinstance(error, HostBusyAfterLook),
        )
        say(refused.reason)
        return refused


def _measure(
    placement: Placement,
    engine: Side,
    references: Sequence[Side],
    protocol: JudgingProtocol,
    text: PromptText | None,
    budget: Budget,
    attempt: int,
    say: Say,
    kept: PhaseKeeper,
    on_look: OnLook,
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
        with budget.spending():
            found = compare_in_rounds(
                placement, runner, references, protocol, budget, attempt=attempt, say=say, on_look=on_look
            )
    else:
        plan = kept.once(
            budget.phase("blocks"), BlockPlan, lambda: plan_blocks(placement, references, protocol)
        )
        left_out = plan.left_out
        for one in left_out:
            say(f"{one.reference} is not timed: {one.reason}")
        if plan.refused:
            say(plan.refused)
            return NotMeasured(cause="unaffordable", reason=plan.refused)
        going = [side for side in references if side.name not in {one.reference for one in left_out}]
        found = compare_in_blocks(
            placement, runner, going, protocol, budget, attempt=attempt, kept=kept, say=say
        )
    strongest = next(one for one in references if one.name == found.points[0].reference.side)
    open_loop = _OpenLoop(placement, runner, found.points, protocol, budget, kept, attempt, say)
    with counting_looks(lambda: True):
        in_engine, in_reference = open_loop.ask_both(engine, strongest, lost=found.is_lost(protocol.speed))
    timed = replace(found.timed, open_loop=(in_engine, in_reference))
    sweep: list[SweepPoint] = []
    unasked = [one.result for one in (in_engine, in_reference) if not one.result.stretches]
    omitted = [f"{one.side} in open loop: {one.stopped}." for one in unasked]
    if placement.resident:
        decisive = found.points[0]
        sweep, cut, more = sweep_in_rounds(placement, runner, strongest, protocol, budget, decisive, say=say)
        omitted, timed = [*omitted, *cut], timed.joined(more)
    elif protocol.workload.sweep:
        omitted.append("Other lengths (workload.sweep): each would take more starts of sides in turn.")
    return SpeedResult(
        engine=engine.name,
        reference=strongest.name,
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
            lambda: read_timed_answers(placement, timed, protocol, say=say),
        ),
        open_loop=OpenLoopResult(engine=in_engine.result, reference=in_reference.result),
        sweep=tuple(sweep),
        omitted=tuple(omitted),
    )


@dataclass(frozen=True, slots=True)
class _OpenLoop:
    """Asks sides in open loop, each at the share of what it can serve by its rounds."""

    placement: Placement
    runner: RoundRunner
    points: Sequence[SpeedPoint]
    protocol: JudgingProtocol
    budget: Budget
    kept: PhaseKeeper
    attempt: int
    say: Say

    def ask_both(self, engine: Side, reference: Side, *, lost: bool) -> tuple[OpenLoopAsked, OpenLoopAsked]:
        """Ask the engine and the strongest reference, as far as it can change the verdict.

        `lost` says that the engine was not fast enough in rounds.
        """
        if not lost:
            # The engine first: if the budget is small, the reference is what can be left out.
            return self._ask(engine, "engine"), self._ask(reference, "reference")
        theirs = self._ask(reference, "reference")
        confidence = attempt_confidence(self.protocol.speed.confidence, self.attempt)
        shown = shown_of(theirs.result, self.points[0].rounds, self.protocol.workload.slo, confidence)
        if shown == "missed":
            return self._ask(engine, "engine"), theirs
        why = (
            f"{engine.name} is not fast enough, and {reference.name} was not shown to miss the objective: it "
            "would change nothing"
        )
        return not_asked(engine, self._rate(engine, "engine"), why, self.say), theirs

    def _ask(self, side: Side, role: Role) -> OpenLoopAsked:
        made = self.kept.once(
            self.budget.phase(f"open-loop-{role}"),
            OpenLoopAsked,
            lambda: ask_in_open_loop(
                self.placement,
                side,
                role,
                self._rate(side, role),
                self.runner,
                self.protocol,
                self.budget,
                attempt=self.attempt,
                say=self.say,
            ),
        )
        self.budget.spend(made.result.spent_s)
        return made

    def _rate(self, side: Side, role: Role) -> Rate:
        load = load_of(self.points, role, self.protocol, self.attempt)
        return rate_of(load, side.devices, self.protocol.workload)
