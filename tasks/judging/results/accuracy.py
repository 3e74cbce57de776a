"""Answers of an engine as the reference finds them: regrets, lengths, tokenizer."""

import math
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.results.task_scores import TaskResult


class Departure(Frozen):
    """One token of a continuation that the reference would not have chosen there."""

    index: int = Field(ge=0, description="Place in the continuation; 0 is the token after the context.")
    engine_token: int
    reference_token: int = Field(description="The reference's own choice after the same tokens.")
    regret_nats: float = Field(
        gt=0, description="How much less likely the reference finds the engine's token."
    )


class RegretSample(Frozen):
    """One held-out text, continued by the engine."""

    sample_id: str = Field(description="Index of the text.")
    in_flight: int = Field(ge=1, description="Requests that the engine had in flight.")
    context_tokens: int = Field(ge=1, description="Tokens of context that the engine was given.")
    behind: tuple[str, ...] = Field(
        default=(), description="Indexes of the texts that stand in front of it in the context."
    )
    asked_tokens: int = Field(ge=1, description="Tokens that the engine was asked for, whatever they are.")
    engine_tokens: tuple[int, ...] = Field(min_length=1, description="The engine's continuation.")
    departures: tuple[Departure, ...] = Field(
        description="Tokens that are not the reference's own choice; the others have no regret."
    )

    @property
    def regret_nats(self) -> float:
        """The mean regret of the continuation's tokens."""
        return math.fsum(one.regret_nats for one in self.departures) / len(self.engine_tokens)

    def beyond(self, nats: float) -> tuple[int, ...]:
        """Return the indexes of its tokens that have a larger regret."""
        return tuple(one.index for one in self.departures if one.regret_nats > nats)

    @property
    def is_cut(self) -> bool:
        """Whether the engine ended the answer, though it was asked for so many tokens."""
        return len(self.engine_tokens) < self.asked_tokens

    @property
    def agreement(self) -> float:
        """The share of its tokens that are the reference's own choice."""
        return 1 - len(self.departures) / len(self.engine_tokens)


class Excerpt(Frozen):
    """A departure with the text around it, for people; no gate reads it."""

    sample_id: str = Field(description="Index of the text.")
    context_tokens: int = Field(ge=1, description="Tokens of context that the engine was given.")
    departure: Departure
    before: str = Field(description="The end of what both sides had read there.")
    engine_text: str = Field(description="What the engine's token adds; empty if it has no text of its own.")
    reference_text: str = Field(description="What the reference's own choice would have added.")


End = Literal["alike", "early", "late", "apart"]
"""Where the engine's answer ends next to the reference's: after the same tokens both end, or the engine
alone, or the reference alone; or other tokens come before that, so that nothing can be said."""


class LengthSample(Frozen):
    """Greedy continuations of one window by both sides."""

    sample_id: str
    engine_tokens: int
    reference_tokens: int
    common_prefix_tokens: int = Field(description="Number of leading tokens that are equal.")
    end: End


class TokenizerCheck(Frozen):
    """The comparison of one text on both servers."""

    text: str = Field(description="The text, shortened.")
    same_ids: bool = Field(
        description="Whether both servers read it as the same token ids, or as the same number if one does "
        "not return them."
    )
    same_text: bool = Field(
        description="Whether the engine's text is what the reference decodes from its token ids; for a text "
        "streamed as in timed rounds, whether the engine writes the same if nothing is timed."
    )
    detail: str = Field(default="", description="What differs.")


class AccuracyResult(Frozen):
    """Answers of one side, scored by the reference."""

    side: str
    reference: str
    protocol_digest: str
    samples: tuple[RegretSample, ...]
    lengths: tuple[LengthSample, ...]
    tokenizer: tuple[TokenizerCheck, ...]
    excerpts: tuple[Excerpt, ...] = Field(
        default=(), description="The departures of largest regret as text; none if nothing departs."
    )
    tasks: tuple[TaskResult, ...] = Field(
        default=(), description="Answers to the tasks of the spec, in their order."
    )
