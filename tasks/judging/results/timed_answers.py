"""What answers to timed requests held, read after the rounds."""

import math

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.results.accuracy import Departure


class TimedSample(Frozen):
    """One timed answer of the engine, read and scored after the rounds."""

    concurrency: int = Field(ge=1, description="Requests that were in flight.")
    claimed_tokens: int = Field(ge=1, description="Its tokens by the engine's own count.")
    same_text: bool = Field(
        description="Whether it has the text of the ids that the engine gave when it was asked again."
    )
    tokens: tuple[int, ...] = Field(
        description="Its ids: those given when asked again, as far as they have the same text, then the "
        "reference's reading of the rest."
    )
    scored_tokens: int = Field(ge=0, description="How many of them the reference scored, from the first on.")
    departures: tuple[Departure, ...] = Field(
        description="Scored tokens that are not the reference's own choice."
    )
    read_in_full: bool = Field(
        default=True,
        exclude_if=lambda is_full: is_full,
        description="Whether its ids are those of its whole text: not if characters of a text that differs "
        "could not be read, and were left out.",
    )

    @property
    def regret_nats(self) -> float:
        """The mean regret of the scored tokens; 0 if there are none."""
        return math.fsum(one.regret_nats for one in self.departures) / max(1, self.scored_tokens)

    @property
    def missing_share(self) -> float:
        """The share of the claimed tokens that its text does not have."""
        return max(0.0, 1 - len(self.tokens) / self.claimed_tokens)

    @property
    def distinct_share(self) -> float:
        """The share of its tokens that are different ones."""
        return len(set(self.tokens)) / max(1, len(self.tokens))


class TimedCount(Frozen):
    """The tokens of all timed answers of one side, by its own count and by the reference's tokenizer."""

    side: str
    claimed: tuple[int, ...] = Field(min_length=1, description="By the side's count, per answer.")
    read: tuple[int, ...] = Field(
        min_length=1, description="Tokens that the reference reads in the text; special ones have no text."
    )

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the claimed tokens that can be read, per answer."""
        return tuple(min(1.0, r / c) for r, c in zip(self.read, self.claimed, strict=True))


class TimedAnswers(Frozen):
    """What the reference found in the answers of timed rounds."""

    samples: tuple[TimedSample, ...] = Field(min_length=1, description="Answers of the engine, drawn by lot.")
    engine: TimedCount = Field(description="All answers of the engine.")
    reference: TimedCount = Field(description="All answers of the side that it is compared with.")
