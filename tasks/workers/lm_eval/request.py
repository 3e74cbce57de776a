"""What judge and worker exchange: what is scored, and what was found.

The input `tokenizer` is a directory that holds tokenizer.json of the checkpoint.
"""

from dataclasses import dataclass
from typing import Literal

from tasks.workers.common.requests import Nothing, Request


@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        prompt: what is asked.
        options: options, if one of them is the answer.
        label: index of the right option.
        answers: right answers, if the answer is generated.
    """

    prompt: str
    options: tuple[str, ...]
    label: int | None
    answers: tuple[str, ...]


@dataclass(frozen=True)
class TaskToScore:
    """One task.

    Attributes:
        name: of the task.
        form: how it is answered.
        items: its questions.
        delimiter: what comes between prompt and option.
        length_normalization: what the log-likelihood of an option is divided by.
        max_tokens: tokens that are generated, at most.
        stop: texts at which an answer ends.
        strip: whether white space at the ends does not count.
        lower_case: whether case does not count.
        extract: regular expression whose first match is the answer in what is generated.
    """

    name: str
    form: Literal["multiple-choice", "exact-match"]
    items: tuple[Item, ...]
    delimiter: str = " "
    length_normalization: Literal["none", "bytes"] = "none"
    max_tokens: int = 1
    stop: tuple[str, ...] = ()
    strip: bool = False
    lower_case: bool = False
    extract: str | None = None


@dataclass(frozen=True)
class LmEvalParams:
    """What is scored, and by whom.

    Attributes:
        base_url: address of the server.
        model: its value of `model`.
        tasks: what it is asked.
        in_flight: requests in flight.
        request_limit_s: time limit of one request, in seconds.
    """

    base_url: str
    model: str
    tasks: tuple[TaskToScore, ...]
    in_flight: int
    request_limit_s: float


@dataclass(frozen=True)
class Scores:
    """What the tool found.

    Attributes:
        right: share of right answers, by name of the task.
    """

    right: dict[str, float]


LmEvalRequest = Request[LmEvalParams, Nothing]
