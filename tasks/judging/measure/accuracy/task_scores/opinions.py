"""Second opinions on tasks: another tool asks both sides, one at a time."""

from collections.abc import Callable
from functools import partial

from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.measure.phases import PhaseKeeper
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import AccuracyResult, Opinion, SecondOpinion

Opine = Callable[[Endpoint], Opinion]
"""Lets another tool score a running side on the tasks that ask for it."""


def with_opinions(
    accuracy: AccuracyResult, placement: Placement, protocol: JudgingProtocol, opine: Opine, kept: PhaseKeeper
) -> AccuracyResult:
    """Return the accuracy of the engine with a second opinion on each task that asks for one."""
    engine, reference = (
        kept.once(f"opinion-{side.name}", Opinion, partial(_ask, placement, side, opine))
        for side in (protocol.engine, protocol.references[0])
    )
    tasks = tuple(
        task.model_copy(
            update={
                "second_opinion": SecondOpinion(
                    tool=engine.tool, engine=engine.right[task.task], reference=reference.right[task.task]
                )
            }
        )
        if task.task in engine.right
        else task
        for task in accuracy.tasks
    )
    return accuracy.model_copy(update={"tasks": tasks})


def _ask(placement: Placement, side: Side, opine: Opine) -> Opinion:
    with placement.serving([side]) as (endpoint,):
        return opine(endpoint)
