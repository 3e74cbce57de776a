"""The interface between the server and an engine, whatever computes behind it.

Invariants:
- Only one thread calls an engine.
- Row r belongs to one sequence until another one is moved or read into it; a call touches only the rows that
  it names.
- A call beyond the limits raises `BeyondLimits` and leaves every row as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.workers.common.shape import Shape


@dataclass(frozen=True)
class TokenScore:
    """Log-probability of a generated token and of the likeliest alternatives, best first."""

    chosen: float
    top: tuple[tuple[int, float], ...]


class BeyondLimits(ValueError):
    """A call that the engine was not compiled for."""


class Step(Protocol):
    """The result of one iteration."""

    @property
    def tokens(self) -> Sequence[int]:
        """The greedy next token of each row that the call named."""

    def score(self, row: int, token: int, alternatives: int) -> TokenScore:
        """Log-probabilities of one row's token and of the likeliest `alternatives`."""


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
