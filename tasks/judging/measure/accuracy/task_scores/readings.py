"""Which option was chosen, and whether an answer is right. Pure.

Invariant: a tie goes to the option that comes first, on every side.
"""

import re
from collections.abc import Sequence

from engine_specs.spec import Task
from tasks.judging.results import TaskAnswer


def chosen_option(scores: Sequence[float], options: Sequence[str], task: Task) -> int:
    """Return the index of the likeliest option, by the declared normalization."""
    lengths = [1] * len(options)
    if task.length_normalization == "bytes":
        lengths = [max(1, len(option.encode())) for option in options]
    normalized = [score / length for score, length in zip(scores, lengths, strict=True)]
    return normalized.index(max(normalized))


def read_choice(scores: Sequence[float], options: Sequence[str], label: int, task: Task) -> TaskAnswer:
    """Return the answer to a question with options."""
    chosen = chosen_option(scores, options, task)
    return TaskAnswer(right=chosen == label, chosen=chosen, logprobs=tuple(scores))


def read_text(text: str, answers: Sequence[str], task: Task) -> TaskAnswer:
    """Return the generated answer to a question; servers may leave a stop text in it, or not."""
    ends = [text.find(stop) for stop in task.stop if stop in text]
    text = text[: min(ends)] if ends else text
    wanted = {
        _normalized(answer if (found := _extracted(answer, task)) is None else found, task)
        for answer in answers
    }
    found = _extracted(text, task)
    return TaskAnswer(right=found is not None and _normalized(found, task) in wanted, text=text)


def _extracted(text: str, task: Task) -> str | None:
    """Return the answer in a text; None if the expression does not match."""
    if task.extract is None:
        return text
    match = re.search(task.extract, text)
    return None if match is None else match[match.re.groups] or ""


def _normalized(text: str, task: Task) -> str:
    text = text.strip() if "strip" in task.normalize else text
    return text.lower() if "lower-case" in task.normalize else text
