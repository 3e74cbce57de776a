"""The AOTInductor package behind the server, on CPU: a compiled graph, its weights and its cache.

Invariants:
- Every call is checked before it reaches compiled code, which checks nothing.
- Row r of the cache belongs to sequence r. Rows are independent: a call touches only the rows that it names.
- It needs only torch; in particular, no compiler.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tasks.workers.common.shape import Shape
from tasks.workers.completions_server.facts import (
    Facts,
    check_prompts,
    check_step,
    padded_prompts,
    read_facts,
    rounded,
)
from tasks.workers.completions_server.packages import AotStep, open_graph
from tasks.workers.completions_server.threads import PROMPT_TOKENS, ThreadPlan, measure_threads
from tasks.workers.completions_server.weights import load_weights

PACKAGE_FILE, WIDE_PACKAGE_FILE = "model.pt2", "prompt.pt2"
# Tokens at once from which products in float32 may be worth the widening of every weight.
WIDE_TOKENS = 16
# Lengths are rounded up to these, so that kernels that prepare themselves per size do so for few sizes.
PROMPT_BUCKET, SLOT_BUCKET = 16, 32


class AotEngine:
    """One loaded package on CPU; only one thread at a time may use it."""

    def __init__(self, tree: Path, limits: Shape) -> None:
        self.facts = read_facts(tree)
        self.limits = limits
        self.weights = load_weights(tree, self.facts.weights, torch.device("cpu"))
        self._graph = open_graph(tree / PACKAGE_FILE, self.weights)
        wide = tree / WIDE_PACKAGE_FILE
        self._wide = open_graph(wide, self.weights) if wide.is_file() else None
        self.way = self.ways[0]
        self.cache = _new_cache(self.facts, limits)
        self._threads: ThreadPlan | None = None

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return self.facts.vocab_size

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Tokens that end a sequence."""
        return frozenset(self.facts.eos_token_ids)

    @property
    def ways(self) -> tuple[str, ...]:
        """How the products of long prompts can be computed; `way` is the one in use."""
        return (self.facts.dtype,) if self._wide is None else (self.facts.dtype, "float32")

    def prepare(self, cores: int, *, pinned: bool) -> str:
        """Run each number of rows once, so that kernels prepare themselves; returns what was chosen.

        Args:
            cores: most threads to use.
            pinned: whether the operator chose the number of threads.
        """
        chosen = self._choose_products()
        return f"{self._choose_threads(cores, pinned=pinned)}; {chosen}"

    def _choose_products(self) -> str:
        """Take the way to read prompts that is faster on this host."""
        prompt = [0] * min(PROMPT_TOKENS, self.limits.max_input_len)
        seconds = {}
        for way in self.ways if len(self.ways) > 1 else ():
            self.way = way
            self.prefill(0, [prompt[:WIDE_TOKENS]])  # in which its kernels prepare themselves
            started = time.perf_counter()
            self.prefill(0, [prompt])
            seconds[way] = time.perf_counter() - started
        self.way = min(seconds, key=lambda way: seconds[way], default=self.ways[0])
        timed = ", ".join(f"{way} {taken:.2f} s" for way, taken in seconds.items())
        return f"prompts in {self.way}" + (f" ({len(prompt)} tokens: {timed})" if timed else "")

    def _choose_threads(self, cores: int, *, pinned: bool) -> str:
        if pinned:
            for rows in range(1, self.limits.max_batch_size + 1):
                self.decode([0] * rows, [0] * rows)
            self.prefill(0, [[0] * min(PROMPT_TOKENS, self.limits.max_input_len)])
            return f"threads: {torch.get_num_threads()}, from OMP_NUM_THREADS"
        self._threads = measure_threads(self, cores, torch.set_num_threads)
        return str(self._threads)

    def prefill(self, first_row: int, prompts: Sequence[Sequence[int]]) -> AotStep:
        """Read prompts into the rows `first_row`, `first_row + 1`, ... and return what follows each.

        Raises:
            BeyondLimits: too many rows or tokens, an empty prompt, or a token outside the vocabulary.
        """
        lengths = check_prompts(self.limits, self.vocab_size, first_row, prompts)
        if self._threads:
            torch.set_num_threads(self._threads.prefill)
        width = min(rounded(max(lengths), PROMPT_BUCKET), self.limits.max_input_len)
        tokens, positions = padded_prompts(prompts, width, self.limits.max_seq_len)
        wide = self.way != self.facts.dtype and len(prompts) * width >= WIDE_TOKENS
        graph = self._wide if wide else self._graph
        last = [length - 1 for length in lengths]
        return self._run(graph, first_row, tokens, positions, last, max(lengths))

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> AotStep:
        """Append one token to each of the rows 0, 1, ... and return what follows.

        Raises:
            BeyondLimits: too many rows, a position past the cache, or a token outside the vocabulary.
        """
        check_step(self.limits, self.vocab_size, tokens, positions)
        if self._threads:
            torch.set_num_threads(self._threads.decode[len(tokens) - 1])
        ids, places = [[token] for token in tokens], [[position] for position in positions]
        return self._run(self._graph, 0, ids, places, [0] * len(tokens), max(positions) + 1)

    def waits(self) -> str:
        """Nothing: a step is the processor's work alone."""
        return ""

    def move_row(self, source: int, destination: int) -> None:
        """Copy the cache of one row over another's."""
        for tensor in self.cache:
            tensor[destination].copy_(tensor[source])

    def _run(
        self,
        graph: Any,
        first_row: int,
        tokens: list[list[int]],
        positions: list[list[int]],
        last: list[int],
        slots: int,
    ) -> AotStep:
        read = min(rounded(slots, SLOT_BUCKET), self.limits.max_seq_len)
        rows = [tensor[first_row : first_row + len(tokens)] for tensor in self.cache]
        ids, places = torch.tensor(tokens), torch.tensor(positions)
        inputs = [ids, places, torch.tensor(last), torch.arange(read), *rows]
        chosen, logits = graph.boxed_run(inputs)
        return AotStep(chosen.tolist(), logits)


def _new_cache(facts: Facts, limits: Shape) -> list[torch.Tensor]:
    # Zeros, not empty: masked slots are multiplied by zero, and zero times a stray NaN is NaN.
    size = (limits.max_batch_size, facts.key_heads, limits.max_seq_len + 1, facts.head_width)
    return [torch.zeros(size, dtype=getattr(torch, facts.dtype)) for _ in range(2 * facts.layers)]
