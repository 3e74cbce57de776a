"""What the pipeline calls: `baseline_load` and `measure_engine` ask servers, `judge_engine` decides."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from artifacts.progress import Say
from tasks.hub import TaskItem
from tasks.judging.decide import Outcomes, decide, qualifies, rejecting
from tasks.judging.endpoint import Side
from tasks.judging.gates import Terms, judge_gates
from tasks.judging.judgement import JudgedResult, Subject, evidence_of
from tasks.judging.measure import (
    Budget,
    NothingKept,
    OnLook,
    PhaseKeeper,
    PromptText,
    baseline_runner,
    ignore_look,
    measure_load,
    measure_speed,
    with_open_loop,
)
from tasks.judging.measure.accuracy import AccuracyPhases, Answers, Opine, Questions, Scores, with_opinions
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol, LoadPlan, require_protocol_digest
from tasks.judging.results import AccuracyResult, LoadResult, Measured, NotMeasured


def baseline_load(
    placement: Placement,
    side: Side,
    texts: Sequence[str],
    plan: LoadPlan,
    *,
    suffices: Callable[[LoadResult], bool] = lambda _load: False,
    say: Say,
) -> LoadResult:
    """Measure one side on the declared workload, with windows of these texts.

    `suffices` says whether nothing is compiled if this side also meets the objective in open loop; only then
    it is asked in open loop. Raises what `CompletionsClient` raises.
    """
    with placement.serving([side]) as (endpoint,):
        runner = asyncio.run(baseline_runner(endpoint, texts, plan, placement.observer))
        load = asyncio.run(measure_load(endpoint, plan, runner, say=say))
    return with_open_loop(load, placement, plan, runner, say=say) if suffices(load) else load


def measure_engine(
    placement: Placement,
    texts: Sequence[str],
    protocol: JudgingProtocol,
    *,
    items: Mapping[str, Sequence[TaskItem]] | None = None,
    opine: Opine | None = None,
    on_text: Callable[[PromptText], None] | None = None,
    attempt: int = 1,
    say: Say,
    kept: PhaseKeeper | None = None,
    on_look: OnLook = ignore_look,
) -> Measured:
    """Measure the engine of a protocol against its references, phase by phase.

    An engine that is rejected for its answers is not timed: its speed would change nothing, and timing takes
    the longest.

    Args:
        placement: brings up the sides of the protocol: the engine, from the tree that ships, and vLLM. The
            first reference serves the unquantized checkpoint and scores accuracy; the engine is compared with
            the fastest reference that is accurate enough.
        texts: held-out texts.
        protocol: what to ask, and of whom.
        items: questions of each task, by its name.
        opine: gives second opinions on tasks, if the spec asks for any.
        on_text: takes the text that prompts are windows of, before the first round is timed.
        attempt: how often this was measured, this time included.
        say: takes lines of progress.
        kept: phases that an earlier run of the same measurement finished.
        on_look: called before the first look at a ratio, if sides are resident.
    """
    kept = kept or NothingKept()
    budget = Budget(protocol.speed.gate.budget_minutes)
    with budget.spending_once(kept, "time-of-answers"):
        accuracy_of = _Accuracy(AccuracyPhases(placement, protocol, say=say), texts, items or {}, kept)
        (accuracy,) = accuracy_of([protocol.engine])
    if opine is not None:
        accuracy = with_opinions(accuracy, protocol, opine, kept)
    if failed := rejecting(accuracy, protocol):
        left_out = _not_timed(failed)
        say(left_out.reason)
        return Measured(
            protocol_digest=protocol.digest,
            conditions=placement.conditions(),
            accuracy=accuracy,
            speed=left_out,
        )
    scorer, *others = protocol.references
    with budget.spending_once(kept, "time-of-references"):
        scored = accuracy_of(others)
    accurate = {result.side for result in scored if qualifies(result, protocol)}
    compared = [scorer, *(other for other in others if other.name in accurate)]
    if on_text is not None:
        on_text(accuracy_of.text)
    speed = measure_speed(
        placement,
        protocol.engine,
        compared,
        protocol,
        text=accuracy_of.text,
        budget=budget,
        attempt=attempt,
        say=say,
        kept=kept,
        on_look=on_look,
    )
    return Measured(
        protocol_digest=protocol.digest,
        conditions=placement.conditions(),
        accuracy=accuracy,
        references=scored,
        speed=speed,
    )


class _Accuracy:
    """The accuracy of sides, in phases that are made once."""

    def __init__(
        self,
        phases: AccuracyPhases,
        texts: Sequence[str],
        items: Mapping[str, Sequence[TaskItem]],
        kept: PhaseKeeper,
    ) -> None:
        self._phases = phases
        self._kept = kept
        self._questions = kept.once("questions", Questions, lambda: phases.questions(texts, items))

    @property
    def text(self) -> PromptText:
        """The texts as the reference reads them."""
        return self._questions.text

    def __call__(self, sides: Sequence[Side]) -> tuple[AccuracyResult, ...]:
        """Let each side answer, then the reference score all of them."""
        if not sides:
            return ()
        questions, phases = self._questions, self._phases
        answers = [
            self._kept.once(f"answers-{side.name}", Answers, partial(phases.answers, side, questions))
            for side in sides
        ]
        names = "-".join(side.name for side in sides)
        return self._kept.once(f"scores-{names}", Scores, lambda: phases.scores(questions, answers)).results


def _not_timed(failed: Sequence[str]) -> NotMeasured:
    return NotMeasured(
        reason=f"No round was timed: the engine is rejected by {' and '.join(failed)}, whatever its speed."
    )


def judge_engine(
    measured: Measured, protocol: JudgingProtocol, terms: Terms, subject: Subject
) -> JudgedResult:
    """Judge an engine by what was measured. Pure, except for the time stamp.

    Raises `ProtocolsDiffer` if the results were measured under another protocol.
    """
    outcomes = outcomes_of(measured, protocol, terms)
    return JudgedResult(
        subject=subject,
        protocol=protocol,
        measured=measured,
        terms=terms,
        disqualified=disqualified(measured, protocol),
        outcomes=outcomes,
        verdict=decide(outcomes),
        created_at=datetime.now(UTC),
    )


def outcomes_of(measured: Measured, protocol: JudgingProtocol, terms: Terms) -> Outcomes:
    """Return the outcome of every gate. Pure.

    Raises `ProtocolsDiffer` if the results were measured under another protocol.
    """
    for result in (measured, measured.accuracy, measured.speed):
        if not isinstance(result, NotMeasured):
            require_protocol_digest(protocol, result.protocol_digest)
    return Outcomes(
        gates=judge_gates(evidence_of(measured, protocol, terms)),
        not_timed=measured.speed if isinstance(measured.speed, NotMeasured) else None,
        compile_mode=terms.compile_mode,
    )


def disqualified(measured: Measured, protocol: JudgingProtocol) -> tuple[str, ...]:
    """Return the names of references that were shown not to be accurate enough."""
    return tuple(one.side for one in measured.references if not qualifies(one, protocol))
