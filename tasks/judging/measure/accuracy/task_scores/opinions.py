"""Second opinions on tasks: another tool asks both sides, one at a time."""

from collections.abc import Callable, Sequence
from functools import partial

from artifacts.frozen import Frozen
from tasks.judging.endpoint import Side
from tasks.judging.measure.phases import PhaseKeeper
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import AccuracyResult, NoOpinion, Opinion, SecondOpinion, TaskResult

Opine = Callable[[Side], Opinion | NoOpinion]
"""Lets another tool score a side on the tasks that ask for it, or returns why it did not."""


class _Asked(Frozen):
    """What asking about one side gave."""

    found: Opinion | NoOpinion


def with_opinions(
    accuracy: AccuracyResult, protocol: JudgingProtocol, opine: Opine, kept: PhaseKeeper
) -> AccuracyResult:
    """Return the accuracy of the engine with a second opinion, or a reason, on each task that asks for one.

    A reference is not asked if the tool failed on the engine: there is nothing to compare.
    """
    found: list[Opinion] = []
    for side in (protocol.engine, protocol.references[0]):
        asked = kept.once(f"opinion-{side.name}", _Asked, partial(_ask, side, opine)).found
        if isinstance(asked, NoOpinion):
            return _given(accuracy, protocol, partial(_none, side, asked))
        found.append(asked)
    return _given(accuracy, protocol, partial(_of_task, found))


def _given(
    accuracy: AccuracyResult,
    protocol: JudgingProtocol,
    opinion_on: Callable[[TaskResult], SecondOpinion | NoOpinion],
) -> AccuracyResult:
    asks = {plan.task.name for plan in protocol.tasks if plan.task.second_opinion}
    tasks = tuple(
        task.model_copy(update={"second_opinion": opinion_on(task)}) if task.task in asks else task
        for task in accuracy.tasks
    )
    return accuracy.model_copy(update={"tasks": tasks})


def _none(side: Side, why: NoOpinion, _task: TaskResult) -> NoOpinion:
    return why.model_copy(update={"reason": f"on {side.name}: {why.reason}"})


def _of_task(found: Sequence[Opinion], task: TaskResult) -> SecondOpinion:
    engine, reference = found
    return SecondOpinion(
        tool=engine.tool, engine=engine.right[task.task], reference=reference.right[task.task]
    )


def _ask(side: Side, opine: Opine) -> _Asked:
    return _Asked(found=opine(side))
