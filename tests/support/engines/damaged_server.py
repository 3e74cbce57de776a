"""The server that an AOTInductor tree ships, with damage between it and its engine.

    PYTHONPATH=TREE/server PYTHON tests/support/engines/damaged_server.py DAMAGE --tree TREE --host H --port P

Runs in the toolchain that serves. The first token of every answer, which comes out of the prompt's own
iteration, is always right; a damage is a fault of the iterations after it, as real ones are.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tasks.workers.completions_server import aot_engine, main

DAMAGE = sys.argv.pop(1)
NOISE_NATS = 1.0
STALE_BEYOND = 96


class Damaged(aot_engine.AotEngine):
    """An engine that knows how many tokens each row has generated."""

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

    def generated(self, positions: Sequence[int]) -> list[int]:
        """Tokens of each row before this iteration."""
        return [position - self.starts[row] + 1 for row, position in enumerate(positions)]


class GarbageAfter(Damaged):
    """Any token but the right one, once a row has generated `count`."""

    count = 0

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> Any:
        step = super().decode(tokens, positions)
        for row, generated in enumerate(self.generated(positions)):
            if generated >= self.count:
                step.tokens[row] = (step.tokens[row] * 7 + 13) % self.vocab_size
        return step


class GarbageAfter2(GarbageAfter):
    count = 2


class GarbageAfter8(GarbageAfter):
    count = 8


class GarbageAfter32(GarbageAfter):
    count = 32


class OffByOne(Damaged):
    """Tokens are put one place behind their own."""

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> Any:
        last = self.limits.max_seq_len - 1
        return super().decode(tokens, [min(position + 1, last) for position in positions])


class Noise(Damaged):
    """Logits that are not quite what the model says."""

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> Any:
        step = super().decode(tokens, positions)
        logits = step.logits.float()
        logits = logits + NOISE_NATS * torch.randn(logits.shape, generator=self.noise)
        return aot_engine.AotStep(logits.argmax(dim=-1).tolist(), logits)


class StaleCache(Damaged):
    """What is generated beyond a length never gets into the cache."""

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> Any:
        before = [tensor[:, :, STALE_BEYOND:].clone() for tensor in self.cache]
        step = super().decode(tokens, positions)
        for tensor, kept in zip(self.cache, before, strict=True):
            tensor[:, :, STALE_BEYOND:] = kept
        return step


class SwappedRows(Damaged):
    """Each of two neighbours gets the other's token."""

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> Any:
        step = super().decode(tokens, positions)
        for row in range(0, len(step.tokens) - 1, 2):
            step.tokens[row], step.tokens[row + 1] = step.tokens[row + 1], step.tokens[row]
        return step


DAMAGES = {
    "none": Damaged,
    "garbage-after-2": GarbageAfter2,
    "garbage-after-8": GarbageAfter8,
    "garbage-after-32": GarbageAfter32,
    "position-off-by-one": OffByOne,
    "decode-noise": Noise,
    "kv-stale-beyond-96": StaleCache,
    "rows-swapped": SwappedRows,
}

aot_engine.AotEngine = DAMAGES[DAMAGE]
sys.exit(main.main())
