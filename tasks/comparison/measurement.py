"""Measuring an engine against its references in the chosen placement, or in the next one that is possible.

Invariants:
- Sides share GPUs only if it was shown that idle ones cost nothing; otherwise they are measured in turn, and
  the record says why.
- What a run finished in turn is used by the next one if it was ended.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from engine_specs.preflight import ServedMemory
from tasks.comparison.placements import resident_sides, sides_in_turn
from tasks.comparison.second_opinions import ask_lm_eval, opinion_toolchains
from tasks.errors import HostBusy, WorkerOutOfMemory
from tasks.hub import TaskItem
from tasks.judging import IdleCheck, JudgingProtocol, Measured, Placement, PlacementChoice, Side
from tasks.judging.judge import measure_engine
from tasks.judging.measure import IdleChecks, OnLook, PromptText, check_idle_sides, ignore_look
from tasks.runs import KeptPhases, Pipeline


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is measured, and where.

    Attributes:
        protocol: what to ask, and of whom.
        texts: held-out texts.
        label: part of the names of logs.
        choice: the placement.
        served: pre-flight's estimate of each side's memory, for the record.
        items: the questions of each task, by its name.
        tokenizer: content of tokenizer.json of the checkpoint, for second opinions.
        attempt: how often this question was measured, this time included.
        on_text: takes the text that prompts are windows of, before the first round is timed.
        on_look: called before the first look at a ratio, unless an ended run can be continued.
    """

    protocol: JudgingProtocol
    texts: Sequence[str]
    label: str
    choice: PlacementChoice
    served: ServedMemory | None
    items: Mapping[str, Sequence[TaskItem]] = field(default_factory=dict)
    tokenizer: bytes = b""
    attempt: int = 1
    on_text: Callable[[PromptText], None] | None = None
    on_look: OnLook = ignore_look

    @property
    def sides(self) -> tuple[Side, ...]:
        """The engine and its references."""
        return (self.protocol.engine, *self.protocol.references)


def measure_sides(pipeline: Pipeline, comparison: Comparison, kept: KeptPhases) -> Measured:
    """Measure an engine in the chosen placement; raise what `measure_engine` raises."""
    pipeline.say(f"placement: {comparison.choice.text()}")
    if comparison.choice.name == "in-turn":
        return _in_turn(pipeline, comparison, kept, comparison.choice)
    if comparison.choice.name == "together":
        one = comparison
        with resident_sides(pipeline, one.sides, one.label, one.choice, one.served) as placement:
            return _measured(pipeline, one, placement)
    made = _shared(pipeline, comparison, kept)
    if isinstance(made, Measured):
        return made
    choice = PlacementChoice(name="in-turn", reason=f"sides cannot share devices: {made.why}")
    pipeline.say(f"placement: {choice.text()}")
    return _in_turn(pipeline, comparison, kept, choice, made.checks)


@dataclass(frozen=True, slots=True)
class _CannotShare:
    """Why sides cannot share devices after all, and how the check of idle sides went."""

    why: str
    checks: tuple[IdleCheck, ...] = ()


def _shared(pipeline: Pipeline, one: Comparison, kept: KeptPhases) -> Measured | _CannotShare:
    for found in kept.appended("idle", IdleChecks):
        return _CannotShare(found.obstacle, found.checks)
    try:
        with resident_sides(pipeline, one.sides, one.label, one.choice, one.served) as placement:
            if placement.unstoppable:
                names = " and ".join(placement.unstoppable)
                return _CannotShare(f"{names} cannot be suspended, to show that idle sides cost nothing")
            idle = check_idle_sides(placement, placement.alone, one.protocol, say=pipeline.say)
            if not idle.obstacle:
                return _measured(pipeline, one, placement.checked(idle.checks))
    except HostBusy as error:
        return _CannotShare(f"others kept the host too busy to find out what idle sides cost ({error.what})")
    except WorkerOutOfMemory as error:
        return _CannotShare(f"a side ran out of memory next to the others ({error.what})")
    kept.append("idle", idle)
    return _CannotShare(idle.obstacle, idle.checks)


def _in_turn(
    pipeline: Pipeline,
    one: Comparison,
    kept: KeptPhases,
    choice: PlacementChoice,
    idle: Sequence[IdleCheck] = (),
) -> Measured:
    with sides_in_turn(
        pipeline, one.sides, one.label, choice, kept, served=one.served, idle=idle
    ) as placement:
        return _measured(pipeline, one, placement, kept)


def _measured(
    pipeline: Pipeline, one: Comparison, placement: Placement, kept: KeptPhases | None = None
) -> Measured:
    opine = partial(ask_lm_eval, pipeline, one.protocol, one.items, one.tokenizer, one.label, placement)
    return measure_engine(
        placement,
        one.texts,
        one.protocol,
        items=one.items,
        opine=opine if opinion_toolchains(plan.task for plan in one.protocol.tasks) else None,
        on_text=one.on_text,
        attempt=one.attempt,
        say=pipeline.say,
        kept=kept,
        on_look=one.on_look,
    )
