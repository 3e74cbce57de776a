"""An engine without a graph: the next token is a function of the row's history, kept by row as in a cache."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks.workers.common.shape import Shape
from tasks.workers.completions_server.engine import Draw, TokenScore

EOS = 0
VOCABULARY = 128


def next_token(history: Sequence[int]) -> int:
    """What the fake engine says after these tokens; letters only."""
    return 97 + (sum(history) * 7 + len(history)) % 26


def continuation(prompt: Sequence[int], count: int) -> list[int]:
    """What a request for `count` tokens has to get."""
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(next_token(tokens))
    return tokens[len(prompt) :]


@dataclass
class FakeStep:
    tokens: list[int]
    chosen: list[Sequence[int]]

    def choose(self, rows: Sequence[int], draws: Sequence[Draw]) -> list[int]:
        """Letters by each draw's random numbers alone."""
        self.chosen.append(rows)
        return [97 + int(26 * draw.source.random()) for draw in draws]

    def score(self, row: int, token: int, alternatives: int) -> TokenScore:
        assert self.tokens[row] == token
        return TokenScore(-1.0, tuple((97 + index, -1.0 - index) for index in range(alternatives)))


@dataclass
class FakeEngine:
    max_batch_size: int = 3
    max_num_tokens: int = 16
    ends_after: int | None = None
    fails: bool = False
    calls: list[tuple[str, int]] = field(default_factory=list)
    chosen: list[Sequence[int]] = field(default_factory=list)
    gate: threading.Semaphore | None = None
    vocab_size: int = VOCABULARY
    eos_token_ids: frozenset[int] = frozenset([EOS])

    def __post_init__(self) -> None:
        self.rows: list[list[int]] = [[] for _ in range(self.max_batch_size)]
        self.limits = Shape(self.max_batch_size, 8, 40, self.max_num_tokens)

    def prefill(self, first_row: int, prompts: Sequence[Sequence[int]]) -> FakeStep:
        self._enter("prefill", len(prompts))
        for index, prompt in enumerate(prompts):
            self.rows[first_row + index] = list(prompt)
        return self._step(range(first_row, first_row + len(prompts)))

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> FakeStep:
        self._enter("decode", len(tokens))
        for row, (token, position) in enumerate(zip(tokens, positions, strict=True)):
            assert len(self.rows[row]) == position, "a token was fed to the wrong row or position"
            self.rows[row].append(token)
        return self._step(range(len(tokens)))

    def move_row(self, source: int, destination: int) -> None:
        self.rows[destination] = list(self.rows[source])

    def _enter(self, name: str, rows: int) -> None:
        if self.gate is not None:
            self.gate.acquire()
        if self.fails:
            raise RuntimeError("the graph broke")
        self.calls.append((name, rows))

    def _step(self, rows: range) -> FakeStep:
        return FakeStep([self._next(self.rows[row]) for row in rows], self.chosen)

    def _next(self, history: list[int]) -> int:
        ended = self.ends_after is not None and len(history) >= self.ends_after
        return EOS if ended else next_token(history)
