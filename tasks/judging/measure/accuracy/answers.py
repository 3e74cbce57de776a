"""The answers of one side, kept until the reference scores them: no other side has to run meanwhile."""

from collections.abc import Iterator
from functools import partial

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.measure.accuracy.questions import Questions, to_its_end
from tasks.judging.measure.accuracy.round_trips import Reading, check_streams, read_texts
from tasks.judging.measure.accuracy.task_scores import TaskAnswers, answer_tasks
from tasks.judging.measure.accuracy.windows import Window
from tasks.judging.measure.completions import CompletionsClient, map_bounded, streamed_ids
from tasks.judging.protocol import AccuracyPlan, JudgingProtocol
from tasks.judging.results import TokenizerCheck


class Continuation(Frozen):
    """A window, and how the side continued it."""

    window: Window
    in_flight: int = Field(ge=1, description="Requests that the side had in flight.")
    tokens: tuple[int, ...] = Field(
        min_length=1, description="Ids of the continuation; fewer than asked for if the side ended it."
    )


class Answers(Frozen):
    """All answers of one side."""

    side: str = Field(description="Name of the side.")
    continued: tuple[Continuation, ...] = Field(description="Every window, continued as timed requests are.")
    to_their_end: tuple[tuple[int, ...], ...] = Field(
        description="The first windows, each continued to its own end."
    )
    readings: tuple[tuple[Reading, ...], ...] = Field(
        description="Every text of the round trips, once per attempt."
    )
    streams: tuple[TokenizerCheck, ...] = Field(
        description="Whether it writes the same in timed and untimed requests."
    )
    tasks: tuple[TaskAnswers, ...] = Field(default=(), description="Its answers to each task.")


async def collect_answers(
    asked: CompletionsClient, questions: Questions, protocol: JudgingProtocol
) -> Answers:
    """Ask one side everything; raise what `CompletionsClient` raises."""
    plan = protocol.accuracy
    first = questions.windows[: plan.length_texts]
    to_end = partial(to_its_end, asked, plan=plan)
    return Answers(
        side=asked.endpoint.side.name,
        continued=tuple(await _continued(asked, questions.windows, plan)),
        to_their_end=tuple(await map_bounded(to_end, first, parallel=max(plan.in_flight))),
        readings=tuple(await read_texts(asked, questions.round_trips, plan)),
        streams=tuple(await check_streams(asked, questions.windows[: plan.streamed_texts])),
        tasks=await answer_tasks(asked, questions.tasks, protocol.tasks),
    )


async def _continued(
    asked: CompletionsClient, windows: tuple[Window, ...], plan: AccuracyPlan
) -> list[Continuation]:
    """Continue all windows, an equal part of each group with each number of requests in flight."""

    async def ask(window: Window, *, in_flight: int) -> Continuation:
        stream = await asked.stream_ids(window.prompt, window.continuation_tokens)
        tokens = streamed_ids(stream.read(may_be_short=True), asked.endpoint)
        return Continuation(window=window, in_flight=in_flight, tokens=tokens)

    made: list[Continuation] = []
    for in_flight, own in _by_number_in_flight(windows, plan):
        made += await map_bounded(partial(ask, in_flight=in_flight), own, parallel=in_flight)
    return made


def _by_number_in_flight(
    windows: tuple[Window, ...], plan: AccuracyPlan
) -> Iterator[tuple[int, tuple[Window, ...]]]:
    """Yield equal parts of each group, with the number of requests that are to be in flight."""
    begin = 0
    for in_flight, texts in plan.runs():
        yield in_flight, windows[begin : begin + texts]
        begin += texts
