"""Tasks, their questions, and engines that answer them as a test says."""

from collections.abc import Sequence
from typing import Any

from engine_specs.spec import Task
from support.judging.fake_completions import SHIFT
from support.judging.measured_fakes import ASKED
from tasks.hub import TaskItem
from tasks.judging import JudgingProtocol, TaskPlan
from tasks.judging.results import TaskAnswer, TaskResult, TaskSample

OPTIONS = ("apple", "bread", "apricot")


def choosing(**changes: Any) -> Task:
    """A task with options."""
    settings: dict[str, Any] = {
        "name": "fruit",
        "form": "multiple-choice",
        "path": "fruit.jsonl",
        "samples": 60,
        "prompt": "Question {number}:",
        "options_field": "options",
        "label_field": "label",
        "max_loss": 0.1,
    }
    return Task(**(settings | changes))


def writing(**changes: Any) -> Task:
    """A task whose answers are generated."""
    settings: dict[str, Any] = {
        "name": "sums",
        "form": "exact-match",
        "path": "sums.jsonl",
        "samples": 60,
        "prompt": "{number} + 1 =",
        "answer_field": "sum",
        "max_tokens": 8,
        "max_loss": 0.1,
    }
    return Task(**(settings | changes))


def choices(count: int = 60) -> tuple[TaskItem, ...]:
    """Questions whose right option is their number modulo three."""
    return tuple(
        TaskItem(id=str(n), prompt=f"Question {n}:", options=OPTIONS, label=n % 3, sources=(str(n),))
        for n in range(count)
    )


def sums(count: int = 60) -> tuple[TaskItem, ...]:
    """Questions whose answer is a sum."""
    return tuple(
        TaskItem(id=str(n), prompt=f"{n} + 1 =", answers=(str(n + 1),), sources=(str(n),))
        for n in range(count)
    )


def asking(*tasks: Task, **changes: Any) -> JudgingProtocol:
    """The protocol of stand-ins, with tasks."""
    limits: dict[str, Any] = {"max_prompt_tokens": 100, "max_tokens": 120, "in_flight": 3}
    plans = tuple(TaskPlan(task=task, items_sha256="c" * 64, **(limits | changes)) for task in tasks)
    return ASKED.model_copy(update={"tasks": plans})


def text_of(ids: Sequence[int]) -> str:
    """The text of a stand-in's token ids."""
    return bytes(token - SHIFT for token in ids if token >= SHIFT).decode(errors="replace")


def number_in(ids: Sequence[int]) -> int:
    """The number of the question that a prompt asks."""
    return int("".join(letter for letter in text_of(ids).partition(":")[0] if letter.isdigit()))


def result_of(pairs: Sequence[tuple[bool, bool]], task: str = "fruit") -> TaskResult:
    """Answers of engine and reference that are right or not."""
    return TaskResult(
        task=task,
        samples=tuple(
            TaskSample(item_id=str(n), engine=TaskAnswer(right=a), reference=TaskAnswer(right=b))
            for n, (a, b) in enumerate(pairs)
        ),
    )
