"""The answers of one side to all tasks, and those of two sides next to each other."""

from collections.abc import Sequence
from functools import partial

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.measure.accuracy.task_scores.options import score_options
from tasks.judging.measure.accuracy.task_scores.questions import Question, TaskQuestions
from tasks.judging.measure.accuracy.task_scores.readings import read_choice, read_text
from tasks.judging.measure.completions import CompletionsClient, generated_text, map_bounded
from tasks.judging.protocol import TaskPlan
from tasks.judging.results import TaskAnswer, TaskResult, TaskSample


class TaskAnswers(Frozen):
    """The answers of one side to one task."""

    task: str = Field(description="Name of the task.")
    answers: tuple[TaskAnswer, ...] = Field(description="In the order of the questions.")


async def answer_tasks(
    asked: CompletionsClient, tasks: Sequence[TaskQuestions], plans: Sequence[TaskPlan]
) -> tuple[TaskAnswers, ...]:
    """Ask one side all questions; raise what `CompletionsClient` raises."""
    made = []
    for one, plan in zip(tasks, plans, strict=True):
        answer = partial(_answer, asked, plan=plan)
        answers = await map_bounded(answer, one.questions, parallel=plan.in_flight)
        made.append(TaskAnswers(task=one.task, answers=tuple(answers)))
    return tuple(made)


async def _answer(asked: CompletionsClient, question: Question, *, plan: TaskPlan) -> TaskAnswer:
    item, task = question.item, plan.task
    if item.label is not None:
        scores = await score_options(asked, question.prompt, question.options)
        return read_choice(scores, item.options, item.label, task)
    stops = {"stop": list(task.stop)} if task.stop else {}
    ends = list(plan.end_tokens)
    written = await asked.complete_text(question.prompt, task.max_tokens or 1, stop_token_ids=ends, **stops)
    return read_text(generated_text(written, asked.endpoint), item.answers, task)


def compare_answers(
    questions: Sequence[TaskQuestions], engine: Sequence[TaskAnswers], reference: Sequence[TaskAnswers]
) -> tuple[TaskResult, ...]:
    """Return the answers of both sides to every question, in pairs."""
    return tuple(
        TaskResult(
            task=asked.task,
            samples=tuple(
                TaskSample(item_id=one.item.id, engine=a, reference=b)
                for one, a, b in zip(asked.questions, ours.answers, theirs.answers, strict=True)
            ),
        )
        for asked, ours, theirs in zip(questions, engine, reference, strict=True)
    )
