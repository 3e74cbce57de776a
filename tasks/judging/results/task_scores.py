"""Answers of both sides to questions with known answers."""

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.results.opinions import NoOpinion, SecondOpinion


class TaskAnswer(Frozen):
    """The answer of one side to one question."""

    right: bool
    chosen: int | None = Field(default=None, ge=0, description="Index of the chosen option, if it chose one.")
    logprobs: tuple[float, ...] = Field(
        default=(), description="Log-likelihood of each option, in nats, before any normalization."
    )
    text: str = Field(default="", description="What it generated, up to the first stop text.")


class TaskSample(Frozen):
    """One question, answered by both sides."""

    item_id: str = Field(description="Id of the row.")
    engine: TaskAnswer
    reference: TaskAnswer


class TaskResult(Frozen):
    """All questions of one task."""

    task: str = Field(description="Name of the task.")
    samples: tuple[TaskSample, ...] = Field(min_length=1)
    second_opinion: SecondOpinion | NoOpinion | None = Field(
        default=None, description="What another tool found, or why nothing, if the spec asks for it."
    )

    @property
    def pairs(self) -> tuple[tuple[bool, bool], ...]:
        """Whether engine and reference are right, per question."""
        return tuple((one.engine.right, one.reference.right) for one in self.samples)
