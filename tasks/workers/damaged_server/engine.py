"""An engine that does wrong what is planted, around one that does it right.

Invariants:
- Without damage, every call and every answer passes through as it is.
- Damage follows from what was asked since it was planted, and from its seed: the same requests in the same
  order get the same faults.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tasks.workers.common.shape import Shape
from tasks.workers.completions_server.engine import Draw, Engine, Step, TokenScore
from tasks.workers.damaged_server.request import Damage

# The likeliest tokens, to which noise is added: no other is within reach of it.
NOISY_TOKENS = 1024
SEED = 20_261_128

RowT = TypeVar("RowT")
Planted = Callable[[], Damage]
"""Returns the damage that is planted now."""
Keep = Callable[[int], Callable[[], None]]
"""Saves what the cache holds from a position on, and returns what puts it back."""


@dataclass(frozen=True)
class DamagedStep:
    """The result of an iteration, with other tokens.

    Attributes:
        step: what the engine said.
        tokens: what is returned instead of its greedy tokens.
    """

    step: Step
    tokens: Sequence[int]

    def choose(self, rows: Sequence[int], draws: Sequence[Draw]) -> list[int]:
        """The engine's own choices: only greedy tokens are damaged."""
        return self.step.choose(rows, draws)

    def score(self, row: int, token: int, alternatives: int) -> TokenScore:
        """The engine's own scores."""
        return self.step.score(row, token, alternatives)


@dataclass
class Row:
    """The sequence of one row.

    Attributes:
        prompt_tokens: length of its prompt.
        number: of its request, since the damage was planted.
    """

    prompt_tokens: int = 0
    number: int = 0


@dataclass
class _Count:
    """What has happened since the damage was planted."""

    requests: int = 0
    steps: int = 0
    noise: random.Random = field(default_factory=lambda: random.Random(SEED))  # noqa: S311  not secrecy


class DamagedEngine:
    """Passes calls on to an engine, and damages what goes in or comes out.

    Args:
        engine: the engine.
        planted: names the damage.
        keep: saves a part of the engine's cache.
    """

    def __init__(self, engine: Engine, planted: Planted, keep: Keep) -> None:
        self.engine = engine
        self._planted = planted
        self._keep = keep
        self._damage = Damage()
        self._count = _Count()
        self._rows = [Row() for _ in range(engine.limits.max_batch_size)]

    @property
    def limits(self) -> Shape:
        """Those of the engine."""
        return self.engine.limits

    @property
    def vocab_size(self) -> int:
        """That of the engine."""
        return self.engine.vocab_size

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Those of the engine."""
        return self.engine.eos_token_ids

    def prefill(self, first_row: int, prompts: Sequence[Sequence[int]]) -> Step:
        """Read prompts; those that arrive together may be read into each other's rows."""
        self._look()
        for row, prompt in enumerate(prompts, start=first_row):
            self._count.requests += 1
            self._rows[row] = Row(len(prompt), self._count.requests)
        swaps = self._damage.kind == "swapped-prompts" and len(prompts) >= self._damage.together
        step = self.engine.prefill(first_row, swapped(prompts) if swaps else prompts)
        return self._with_garbage(step, first_row, [row.prompt_tokens for row in self._rows[first_row:]])

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> Step:
        """Generate one token per row, with damage."""
        self._count.steps += 1
        match self._damage.kind:
            case "garbage":
                step = self.engine.decode(tokens, positions)
                return self._with_garbage(step, 0, [position + 1 for position in positions])
            case "stale-cache":
                return self._forgetting(tokens, positions)
            case "shifted-positions":
                last = self.limits.max_seq_len - 1
                return self.engine.decode(tokens, [min(one + self._damage.shift, last) for one in positions])
            case "noisy-logits":
                return self._noisy(self.engine.decode(tokens, positions), len(tokens))
            case "second-best":
                return self._second_best(self.engine.decode(tokens, positions))
            case "swapped-rows":
                step = self.engine.decode(tokens, positions)
                return DamagedStep(step, swapped(step.tokens))
        return self.engine.decode(tokens, positions)

    def move_row(self, source: int, destination: int) -> None:
        """Move a sequence."""
        self._rows[destination] = self._rows[source]
        self.engine.move_row(source, destination)

    def _look(self) -> None:
        """Find out what is planted; another damage begins to count anew."""
        planted = self._planted()
        if planted != self._damage:
            self._damage, self._count = planted, _Count()

    def _with_garbage(self, step: Step, first_row: int, places: Sequence[int]) -> Step:
        """Replace tokens that the damage concerns; `places` are their positions, per row."""
        if self._damage.kind != "garbage":
            return step
        rows = self._rows[first_row : first_row + len(step.tokens)]
        tokens = [
            self._garbage(token) if self._concerns(row, place) else token
            for token, row, place in zip(step.tokens, rows, places, strict=False)
        ]
        return DamagedStep(step, tokens)

    def _concerns(self, row: Row, place: int) -> bool:
        damage = self._damage
        return (
            place - row.prompt_tokens >= damage.after
            and place > damage.beyond
            and row.prompt_tokens >= damage.prompt_tokens
            and row.number % damage.one_in == damage.one_in // 2
        )

    def _garbage(self, token: int) -> int:
        """Return another token, which depends on the right one alone."""
        return (token + self.vocab_size // 3) % self.vocab_size

    def _forgetting(self, tokens: Sequence[int], positions: Sequence[int]) -> Step:
        """Decode, and put back what the cache held from a position on."""
        put_back = self._keep(max(0, self._damage.beyond))
        step = self.engine.decode(tokens, positions)
        put_back()
        return step

    def _noisy(self, step: Step, rows: int) -> Step:
        return DamagedStep(step, [self._noisy_token(step, row) for row in range(rows)])

    def _noisy_token(self, step: Step, row: int) -> int:
        best = min(NOISY_TOKENS, self.vocab_size)
        top = step.score(row, step.tokens[row], best).top
        noise, nats = self._count.noise, self._damage.nats
        return max(top, key=lambda one: one[1] + noise.gauss(0, nats))[0]

    def _second_best(self, step: Step) -> Step:
        if self._count.steps % self._damage.every:
            return step
        tokens = [step.score(row, token, 2).top[1][0] for row, token in enumerate(step.tokens)]
        return DamagedStep(step, tokens)


def swapped(rows: Sequence[RowT]) -> list[RowT]:
    """Return rows of which each two neighbours have changed places."""
    result = list(rows)
    for row in range(0, len(result) - 1, 2):
        result[row], result[row + 1] = result[row + 1], result[row]
    return result
