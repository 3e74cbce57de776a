"""A model of few lines that cares for what a real one cares for: every token before, and its position.

As an engine it keeps tokens in slots, as a cache does. As a reference it scores every token of a prompt. Some
second choices are nearly as likely as the first ones, most are far from it.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from support.judging.fake_completions import END, SHIFT, VOCABULARY, FakeServer
from tasks.workers.common.shape import Shape
from tasks.workers.completions_server.engine import Draw, TokenScore

LETTERS = 26
# So long that clients whose answers ended together have sent their next requests when the prompt was read.
PROMPT_S = 0.002
# The likeliest token; that of the others, which the model never chooses.
BEST, UNLIKELY = -0.1, -9.0


@dataclass(frozen=True)
class Guess:
    """The model's opinion of the next token: letters, best first, with log-probabilities."""

    state: int

    def ranked(self, count: int) -> list[tuple[int, float]]:
        """The likeliest tokens."""
        gap = (0.02, 0.4, 1.2, 3.0, 5.0)[self.state // LETTERS % 5]
        return [
            (self._letter(place), BEST - (gap + 0.2 * (place - 1) if place else 0.0))
            for place in range(min(count, LETTERS))
        ]

    @property
    def best(self) -> int:
        """The likeliest token."""
        return self._letter(0)

    def logprob(self, token: int) -> float:
        """The log-probability of a token."""
        return dict(self.ranked(LETTERS)).get(token, UNLIKELY)

    def _letter(self, place: int) -> int:
        return SHIFT + ord("a") + (self.state + place) % LETTERS


def mixed(state: int, token: int, position: int) -> int:
    """The state after a token at a position; the order of the tokens does not matter, only where they are."""
    return state + (token + 1) * (position * 2_654_435_761 % 1_000_003 + 7)


def guess(state: int) -> Guess:
    """What follows a state."""
    return Guess(random.Random(state).randrange(1 << 20))


def guesses(tokens: Sequence[int]) -> list[Guess]:
    """What follows each start of a text; the first follows its first token."""
    state, made = 0, []
    for position, token in enumerate(tokens):
        state = mixed(state, token, position)
        made.append(guess(state))
    return made


@dataclass
class ToyStep:
    guessed: list[Guess]

    @property
    def tokens(self) -> list[int]:
        return [one.best for one in self.guessed]

    def choose(self, rows: Sequence[int], draws: Sequence[Draw]) -> list[int]:
        raise NotImplementedError(f"the judge asks for greedy tokens, and not for {rows} by {draws}")

    def score(self, row: int, token: int, alternatives: int) -> TokenScore:
        one = self.guessed[row]
        return TokenScore(one.logprob(token), tuple(one.ranked(alternatives)))


class ToyEngine:
    """The model as an engine: a slot per position and row."""

    vocab_size = VOCABULARY
    eos_token_ids = frozenset([END])

    def __init__(self, limits: Shape) -> None:
        self.limits = limits
        self.slots: list[list[int]] = [[0] * limits.max_seq_len for _ in range(limits.max_batch_size)]

    def prefill(self, first_row: int, prompts: Sequence[Sequence[int]]) -> ToyStep:
        time.sleep(PROMPT_S)
        for row, prompt in enumerate(prompts, start=first_row):
            self.slots[row][: len(prompt)] = prompt
        rows = range(first_row, first_row + len(prompts))
        return ToyStep([self._guess(row, len(prompt)) for row, prompt in zip(rows, prompts, strict=True)])

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> ToyStep:
        for row, (token, position) in enumerate(zip(tokens, positions, strict=True)):
            self.slots[row][position] = token
        return ToyStep([self._guess(row, position + 1) for row, position in enumerate(positions)])

    def move_row(self, source: int, destination: int) -> None:
        self.slots[destination] = list(self.slots[source])

    def keep(self, first: int) -> Callable[[], None]:
        """Save the slots from `first` on; returns what puts them back."""
        kept = [row[first:] for row in self.slots]

        def put_back() -> None:
            for row, before in zip(self.slots, kept, strict=True):
                row[first:] = before

        return put_back

    def _guess(self, row: int, length: int) -> Guess:
        state = 0
        for position, token in enumerate(self.slots[row][:length]):
            state = mixed(state, token, position)
        return guess(state)


class ToyReference(FakeServer):
    """The model as a reference server."""

    def _score(self, prompt: list[int]) -> list[dict[str, Any] | None]:
        opinions = guesses(prompt)[:-1]
        return [None, *(_entry(one, token) for one, token in zip(opinions, prompt[1:], strict=True))]


def _entry(opinion: Guess, token: int) -> dict[str, Any]:
    entry: dict[str, Any] = {str(opinion.best): {"logprob": BEST, "rank": 1}}
    if token != opinion.best:
        entry[str(token)] = {"logprob": opinion.logprob(token), "rank": 2}
    return entry


def next_token(prompt: Sequence[int]) -> int:
    """The model's greedy choice after a prompt."""
    state = 0
    for position, token in enumerate(prompt):
        state = mixed(state, token, position)
    return guess(state).best
