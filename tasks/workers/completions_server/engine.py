"""The interface between the server and an engine, whatever computes behind it.

Invariants:
- Only one thread calls an engine.
- Row r belongs to one sequence until another one is moved or read into it; a call touches only the rows that
  it names.
- A call beyond the limits raises `BeyondLimits` and leaves every row as it was.
- The greedy token of every row comes with the iteration; `choose` is only called for rows that want another
  one, so that greedy rows wait for nothing else.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tasks.workers.common.shape import Shape


@dataclass(frozen=True)
class TokenScore:
    """Log-probability of a generated token and of the likeliest alternatives, best first."""

    chosen: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Sampling:
    """How the tokens of one sequence are chosen. The defaults choose the likeliest one.

    Attributes:
        temperature: 0 takes the likeliest token; logits are divided by anything else.
        top_p: only the likeliest tokens that together have this probability, in (0, 1].
        top_k: only so many of the likeliest tokens; 0: all.
        min_p: only tokens at least this fraction as likely as the likeliest.
        presence: taken off the logits of tokens that were generated before.
        frequency: the same, per occurrence.
        repetition: divides positive logits of tokens in prompt and answer, and multiplies negative ones.
        bias: what is added to the logits of single tokens.
        min_tokens: so many tokens come before one that ends the sequence may.
        seed: of the choices; None: any.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence: float = 0.0
    frequency: float = 0.0
    repetition: float = 1.0
    bias: tuple[tuple[int, float], ...] = ()
    min_tokens: int = 0
    seed: int | None = None

    @property
    def penalizes(self) -> bool:
        """Whether tokens that occurred before become less or more likely."""
        return bool(self.presence or self.frequency) or self.repetition != 1

    @property
    def takes_the_likeliest(self) -> bool:
        """Whether every token is the one that the engine's iteration chose."""
        return not (self.temperature or self.penalizes or self.bias or self.min_tokens)


@dataclass(eq=False)
class Draw:
    """The choices of one sequence so far.

    Attributes:
        sampling: how they are made.
        prompt: token ids.
        ends: tokens that end the sequence.
        generated: tokens chosen so far.
        source: of random numbers; one is taken per token, so that a seed gives the same ones on any device.
    """

    sampling: Sampling
    prompt: tuple[int, ...]
    ends: frozenset[int]
    generated: list[int] = field(default_factory=list)
    source: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.source = random.Random(self.sampling.seed)  # noqa: S311  text, not secrets

    @property
    def may_end(self) -> bool:
        """Whether the next token may be one that ends the sequence."""
        return len(self.generated) >= self.sampling.min_tokens


class BeyondLimits(ValueError):
    """A call that the engine was not compiled for."""


class Step(Protocol):
    """The result of one iteration."""

    @property
    def tokens(self) -> Sequence[int]:
        """The greedy next token of each row that the call named."""

    def choose(self, rows: Sequence[int], draws: Sequence[Draw]) -> list[int]:
        """The next tokens of some rows, each chosen as its draw says; takes one random number of each."""

    def score(self, row: int, token: int, alternatives: int) -> TokenScore:
        """Log-probabilities of one row's token and of the likeliest `alternatives`, before any sampling."""


class Engine(Protocol):
    """Generates tokens in rows."""

    @property
    def limits(self) -> Shape:
        """The shape that it was compiled for."""

    @property
    def vocab_size(self) -> int:
        """The number of tokens in the vocabulary."""

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """The tokens that end a sequence."""

    def prefill(self, first_row: int, prompts: Sequence[Sequence[int]]) -> Step:
        """Read prompts into the rows `first_row`, `first_row + 1`, ... and return what follows each."""

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> Step:
        """Append one token to each of the rows 0, 1, ... and return what follows."""

    def move_row(self, source: int, destination: int) -> None:
        """Let the sequence of row `source` continue in row `destination`."""


class PreparedEngine(Engine, Protocol):
    """An engine that prepares itself for serving, and reports what that came to."""

    def prepare(self, cores: int, *, pinned: bool) -> str:
        """Run once, so that kernels prepare themselves; returns what was chosen.

        Args:
            cores: most threads to use.
            pinned: whether the operator chose the number of threads.
        """

    def waits(self) -> str:
        """What steps waited for, and how long, as a part of a sentence; empty if for nothing."""
