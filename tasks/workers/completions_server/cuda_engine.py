"""The AOTInductor packages behind the server, on a GPU: prompts as they come, single tokens as CUDA graphs.

Invariants:
- Every call is checked before it reaches compiled code, which checks nothing.
- Row r of the cache belongs to sequence r. Rows are independent: a call touches only the rows that it names.
  The graphs are for 1, 2, 4, ... rows; rows of a graph that a call does not name write to the slot behind the
  last position, which nothing reads.
- A step costs one wait: its graph begins with the copy of tokens and positions to the GPU and ends with the
  copy of the new tokens back, both from and to memory that stays where it is.
- One stream, the default one, which all threads share: whatever was queued before is done before.
- It needs only torch; in particular, no compiler.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tasks.workers.common.shape import Shape
from tasks.workers.completions_server.facts import (
    Facts,
    bucket_of,
    check_prompts,
    check_step,
    padded_prompts,
    read_facts,
    rounded,
    row_buckets,
)
from tasks.workers.completions_server.packages import AotStep, open_graph
from tasks.workers.completions_server.weights import load_weights

PROMPT_PACKAGE, STEP_PACKAGE, SINGLE_PACKAGE = "prefill.pt2", "decode.pt2", "single.pt2"
# How the step of a single row is computed: by the graph of any number of rows, or by one of its own.
SHARED, SINGLE = "shared", "single"
TIMED_STEPS = 20
PROMPT_BUCKET = 16
# Torch's libraries prepare themselves when they run for the first time, which must not be while a graph is
# captured.
WARM_UPS = 2


@dataclass(frozen=True)
class StepGraph:
    """A captured step for a number of rows.

    Attributes:
        graph: the step.
        logits: what it leaves on the GPU, [rows, vocabulary].
        inputs: what it reads there, kept for as long as the graph is.
    """

    graph: torch.cuda.CUDAGraph
    logits: torch.Tensor
    inputs: list[torch.Tensor]


class StepInputs:
    """What a step gets for each row, in one piece of memory, so that one copy takes it to the GPU.

    Tokens and positions are int64, the slots in use int32, each [rows].
    """

    def __init__(self, rows: int, device: torch.device) -> None:
        width = rounded(rows, 4)  # each part begins at a multiple of 16 bytes
        memory = torch.zeros(width * (8 + 8 + 4), dtype=torch.uint8, device=device)
        self.memory = memory if device.type == "cuda" else memory.pin_memory()
        self.tokens = self.memory[: 8 * width].view(torch.int64)
        self.positions = self.memory[8 * width : 16 * width].view(torch.int64)
        self.used = self.memory[16 * width :].view(torch.int32)


class CudaEngine:
    """The loaded packages on one GPU; only one thread at a time may use it."""

    def __init__(self, tree: Path, limits: Shape) -> None:
        self.facts = read_facts(tree)
        self.limits = limits
        self._device = current_device()
        self.weights = load_weights(tree, self.facts.weights, self._device)
        self._prompt = open_graph(tree / PROMPT_PACKAGE, self.weights)
        step = open_graph(tree / STEP_PACKAGE, self.weights)
        single = tree / SINGLE_PACKAGE
        self.cache = _new_cache(self.facts, limits, self._device)
        self._buckets = row_buckets(limits.max_batch_size)
        self._asked = StepInputs(limits.max_batch_size, torch.device("cpu"))
        self._asked_here = StepInputs(limits.max_batch_size, self._device)
        self._answer = torch.zeros(limits.max_batch_size, dtype=torch.int64).pin_memory()
        self._tokens, self._positions = self._asked.tokens.numpy(), self._asked.positions.numpy()
        self._used, self._chosen = self._asked.used.numpy(), self._answer.numpy()
        self._stream = torch.cuda.current_stream(self._device)
        self.waited_s = 0.0
        pool = torch.cuda.graph_pool_handle()
        # Largest first, so that smaller ones use the memory of the pool.
        self._graphs = {rows: self._capture(step, rows, pool) for rows in reversed(self._buckets)}
        self._single = self._capture(open_graph(single, self.weights), 1, pool) if single.is_file() else None
        self.way = self.ways[0]

    @property
    def ways(self) -> tuple[str, ...]:
        """How the step of a single row can be computed; `way` is the one in use."""
        return (SHARED,) if self._single is None else (SHARED, SINGLE)

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return self.facts.vocab_size

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Tokens that end a sequence."""
        return frozenset(self.facts.eos_token_ids)

    def prepare(self, cores: int, *, pinned: bool) -> str:  # noqa: ARG002  the processor only starts kernels
        """Read prompts, so that kernels prepare themselves, and choose how single rows are computed."""
        for length in (1, self.limits.max_input_len):
            self.prefill(0, [[0] * length])
        milliseconds = {}
        for way in self.ways:
            self.way = way
            milliseconds[way] = self._time_single()
        self.way = min(milliseconds, key=lambda way: milliseconds[way])
        timed = ", ".join(f"{way} {taken:.3f} ms" for way, taken in milliseconds.items())
        held = torch.cuda.memory_reserved(self._device)
        return f"CUDA graphs for {self._buckets} rows, {held:,} B of GPU memory; one row: {timed}"

    def _time_single(self) -> float:
        """Milliseconds of a step of one row, half of whose slots are in use."""
        started = time.perf_counter()
        for _ in range(TIMED_STEPS):
            self.decode([0], [self.limits.max_seq_len // 2])
        return (time.perf_counter() - started) / TIMED_STEPS * 1e3

    def prefill(self, first_row: int, prompts: Sequence[Sequence[int]]) -> AotStep:
        """Read prompts into the rows `first_row`, `first_row + 1`, ... and return what follows each.

        Raises:
            BeyondLimits: too many rows or tokens, an empty prompt, or a token outside the vocabulary.
        """
        lengths = check_prompts(self.limits, self.vocab_size, first_row, prompts)
        width = min(rounded(max(lengths), PROMPT_BUCKET), self.limits.max_input_len)
        tokens, positions = padded_prompts(prompts, width, self.limits.max_seq_len)
        rows = [tensor[first_row : first_row + len(prompts)] for tensor in self.cache]
        last = [length - 1 for length in lengths]
        inputs = [torch.tensor(one, device=self._device) for one in (tokens, positions, last)]
        chosen, logits = self._prompt.boxed_run([*inputs, *rows])
        return AotStep(chosen.tolist(), logits)

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> AotStep:
        """Append one token to each of the rows 0, 1, ... and return what follows.

        Raises:
            BeyondLimits: too many rows, a position past the cache, or a token outside the vocabulary.
        """
        check_step(self.limits, self.vocab_size, tokens, positions)
        count = len(tokens)
        bucket = bucket_of(self._buckets, count)
        step = self._graphs[bucket]
        if bucket == 1 and self.way == SINGLE and self._single is not None:
            step = self._single
        self._tokens[:count], self._positions[:count] = tokens, positions
        self._used[:count] = self._positions[:count] + 1
        self._leave_unused(count, bucket)
        step.graph.replay()
        started = time.perf_counter()
        self._stream.synchronize()
        self.waited_s += time.perf_counter() - started
        return AotStep(self._chosen[:count].tolist(), step.logits)

    def waits(self) -> str:
        """The seconds for which steps waited for the GPU; the rest of their time is the host's."""
        return f"{self.waited_s:.1f} s of it waiting for the GPU"

    def move_row(self, source: int, destination: int) -> None:
        """Copy the cache of one row over another's."""
        for tensor in self.cache:
            tensor[destination].copy_(tensor[source])

    def _capture(self, package: Any, rows: int, pool: tuple[int, int]) -> StepGraph:
        """Capture the step of a package for a number of rows, none of which is in use."""
        self._leave_unused(0, self.limits.max_batch_size)
        cache = [tensor[:rows] for tensor in self.cache]
        starts = torch.arange(rows + 1, dtype=torch.int32, device=self._device)
        begins = [starts * self.facts.step_queries, starts * (self.limits.max_seq_len + 1)]
        here, answer = self._asked_here, self._answer[:rows]
        inputs = [here.tokens[:rows], here.positions[:rows], here.used[:rows], *begins, *cache]

        def step() -> torch.Tensor:
            here.memory.copy_(self._asked.memory, non_blocking=True)
            chosen, logits = package.run(inputs)
            answer.copy_(chosen, non_blocking=True)
            return torch.as_tensor(logits)

        for _ in range(WARM_UPS):
            step()
        torch.cuda.synchronize(self._device)
        graph, logits = record(step, pool)
        return StepGraph(graph, logits, inputs)

    def _leave_unused(self, first: int, last: int) -> None:
        """Let rows of the next step write to the slot that nothing reads, and attend to one slot."""
        self._tokens[first:last] = 0
        self._positions[first:last] = self.limits.max_seq_len
        self._used[first:last] = 1


def current_device() -> torch.device:
    """The GPU of this process."""
    return torch.device("cuda", torch.cuda.current_device())


def record(
    step: Callable[[], torch.Tensor], pool: tuple[int, int]
) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
    """Capture a step with memory of a pool; returns the graph, and what the step returned."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        kept = step()
    return graph, kept


def _new_cache(facts: Facts, limits: Shape, device: torch.device) -> list[torch.Tensor]:
    size = (limits.max_batch_size, limits.max_seq_len + 1, facts.key_heads, facts.head_width)
    return [
        torch.zeros(size, dtype=getattr(torch, facts.dtype), device=device) for _ in range(2 * facts.layers)
    ]
