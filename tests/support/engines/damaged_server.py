"""The server that an AOTInductor tree ships, with damage between it and its engine.

    PYTHONPATH=TREE/server PYTHON tests/support/engines/damaged_server.py CHOICE --tree TREE --host H --port P

Runs in the toolchain that serves. CHOICE is a file with the name of a damage; what is written there counts
from the next iteration on, so that one server serves all. The first token of every answer, which comes out of
the prompt's own iteration, is always right; a damage is a fault of the iterations after it, as real ones are.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tasks.workers.completions_server import aot_engine, main
from tasks.workers.completions_server.packages import AotStep

CHOICE = Path(sys.argv.pop(1))
NOISE_NATS = 1.0
STALE_BEYOND = 96


class DamagedEngine(aot_engine.AotEngine):
    """An engine that knows how many tokens each row has generated, and does wrong what is chosen."""

    def __init__(self, tree: Path, limits: Any) -> None:
        super().__init__(tree, limits)
        self.starts = [0] * limits.max_batch_size
        self.noise = torch.Generator().manual_seed(0)

    def prefill(self, first_row: int, prompts: Sequence[Sequence[int]]) -> Any:
        for row, prompt in enumerate(prompts, start=first_row):
            self.starts[row] = len(prompt)
        return super().prefill(first_row, prompts)

    def move_row(self, source: int, destination: int) -> None:
        self.starts[destination] = self.starts[source]
        super().move_row(source, destination)

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> Any:
        damaged = DAMAGES[CHOICE.read_text(encoding="utf-8")]
        return damaged(self, super().decode, tokens, positions)

    def generated(self, positions: Sequence[int]) -> list[int]:
        """Tokens of each row before this iteration."""
        return [position - self.starts[row] + 1 for row, position in enumerate(positions)]


Decode = Callable[[Sequence[int], Sequence[int]], Any]


def undamaged(_engine: DamagedEngine, decode: Decode, tokens: Sequence[int], positions: Sequence[int]) -> Any:
    """What the engine says."""
    return decode(tokens, positions)


def garbage(
    engine: DamagedEngine, decode: Decode, tokens: Sequence[int], positions: Sequence[int], *, after: int
) -> Any:
    """Any token but the right one, once a row has generated some."""
    step = decode(tokens, positions)
    for row, generated in enumerate(engine.generated(positions)):
        if generated >= after:
            step.tokens[row] = (step.tokens[row] * 7 + 13) % engine.vocab_size
    return step


def off_by_one(engine: DamagedEngine, decode: Decode, tokens: Sequence[int], positions: Sequence[int]) -> Any:
    """Tokens are put one place behind their own."""
    last = engine.limits.max_seq_len - 1
    return decode(tokens, [min(position + 1, last) for position in positions])


def noise(engine: DamagedEngine, decode: Decode, tokens: Sequence[int], positions: Sequence[int]) -> Any:
    """Logits that are not quite what the model says."""
    logits = decode(tokens, positions).logits.float()
    logits = logits + NOISE_NATS * torch.randn(logits.shape, generator=engine.noise)
    return AotStep(logits.argmax(dim=-1).tolist(), logits)


def stale_cache(
    engine: DamagedEngine, decode: Decode, tokens: Sequence[int], positions: Sequence[int]
) -> Any:
    """What is generated beyond a length never gets into the cache."""
    before = [tensor[:, :, STALE_BEYOND:].clone() for tensor in engine.cache]
    step = decode(tokens, positions)
    for tensor, kept in zip(engine.cache, before, strict=True):
        tensor[:, :, STALE_BEYOND:] = kept
    return step


def swapped_rows(
    _engine: DamagedEngine, decode: Decode, tokens: Sequence[int], positions: Sequence[int]
) -> Any:
    """Each of two neighbours gets the other's token."""
    step = decode(tokens, positions)
    for row in range(0, len(step.tokens) - 1, 2):
        step.tokens[row], step.tokens[row + 1] = step.tokens[row + 1], step.tokens[row]
    return step


DAMAGES: dict[str, Callable[..., Any]] = {
    "none": undamaged,
    "garbage-after-2": partial(garbage, after=2),
    "garbage-after-8": partial(garbage, after=8),
    "garbage-after-32": partial(garbage, after=32),
    "position-off-by-one": off_by_one,
    "decode-noise": noise,
    "kv-stale-beyond-96": stale_cache,
    "rows-swapped": swapped_rows,
}

aot_engine.AotEngine = DamagedEngine
sys.exit(main.main())
