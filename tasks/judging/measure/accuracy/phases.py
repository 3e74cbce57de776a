"""The phases of a measurement of accuracy; each brings up the one side that it needs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import fmean
from typing import TypeVar

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.progress import Say
from tasks.hub import TaskItem
from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.measure.accuracy.answers import Answers, collect_answers
from tasks.judging.measure.accuracy.questions import Questions, prepare_questions
from tasks.judging.measure.accuracy.scores import score_answers
from tasks.judging.measure.completions import CompletionsClient, open_client
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import AccuracyResult, TaskResult

Kept = TypeVar("Kept")


class Scores(Frozen):
    """What the reference found of one or more sides."""

    results: tuple[AccuracyResult, ...] = Field(description="In the order of the sides.")


class AccuracyPhases:
    """Asks the sides of one protocol, one after the other.

    Args:
        placement: brings up sides.
        protocol: what to ask; its first reference, which must be vLLM, prepares and scores.
        say: takes lines of progress.
    """

    def __init__(self, placement: Placement, protocol: JudgingProtocol, *, say: Say) -> None:
        self._placement = placement
        self._protocol = protocol
        self._plan = protocol.accuracy
        self._reference = protocol.references[0]
        self._say = say

    def questions(
        self, texts: Sequence[str], items: Mapping[str, Sequence[TaskItem]] | None = None
    ) -> Questions:
        """Prepare what every side is asked; needs the reference. Questions are by the names of the tasks.

        Raises `TooLittleText` if the texts do not hold the declared samples.
        """

        def prepare(client: CompletionsClient) -> Awaitable[Questions]:
            return prepare_questions(client, texts, self._protocol, items or {})

        return self._with(self._reference, prepare)

    def answers(self, side: Side, questions: Questions) -> Answers:
        """Collect the answers of a side; needs only that side."""
        answers = self._with(side, lambda client: collect_answers(client, questions, self._protocol))
        self._say(f"{side.name}: {len(answers.continued)} texts continued; the answers are kept for scoring")
        return answers

    def scores(self, questions: Questions, kept: Sequence[Answers]) -> Scores:
        """Score the answers of one or more sides; needs the reference."""

        async def score(client: CompletionsClient) -> list[AccuracyResult]:
            return [await score_answers(client, questions, answers, self._protocol) for answers in kept]

        results = self._with(self._reference, score)
        for result in results:
            for line in _lines(result):
                self._say(f"{result.side}: {line}")
        return Scores(results=tuple(results))

    def _with(self, side: Side, ask: Callable[[CompletionsClient], Awaitable[Kept]]) -> Kept:
        with self._placement.serving([side]) as (endpoint,):
            return asyncio.run(self._asked(endpoint, ask))

    async def _asked(self, endpoint: Endpoint, ask: Callable[[CompletionsClient], Awaitable[Kept]]) -> Kept:
        most, limit_s = max(self._plan.in_flight), self._plan.request_limit_s
        async with open_client(endpoint, connections=most, request_limit_s=limit_s) as client:
            return await ask(client)


def _lines(result: AccuracyResult) -> tuple[str, ...]:
    agreed = fmean(sample.agreement for sample in result.samples)
    tokens = sum(len(sample.engine_tokens) for sample in result.samples)
    longest = max(sample.context_tokens + len(sample.engine_tokens) for sample in result.samples)
    failed = sum(not (check.same_ids and check.same_text) for check in result.tokenizer)
    return (
        (
            f"{len(result.samples)} texts continued by {tokens:,} tokens in all and scored, {agreed:.1%} of "
            f"them the reference's own choice; the longest context and answer has {longest:,} tokens"
        ),
        f"{len(result.lengths)} texts continued by both sides",
        f"{len(result.tokenizer)} texts read and written by both sides, {failed} differ",
        *(_task_line(task) for task in result.tasks),
    )


def _task_line(result: TaskResult) -> str:
    right, known = (sum(side) for side in zip(*result.pairs, strict=True))
    return f"task {result.task}: {right} of {len(result.pairs)} answers right; of the reference's, {known}"
