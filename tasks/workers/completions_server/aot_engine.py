"""The AOTInductor package behind the server: a compiled graph, its cache, and the checks that it lacks.

Invariants:
- A call that the graph was not compiled for (too many rows, a position past the cache, a token outside the
  vocabulary) would abort the process or read memory out of bounds. Every call is checked here first.
- Row r of the cache belongs to sequence r. Rows are independent: a call touches only the rows that it names.
- It needs only torch; in particular, no compiler.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.workers.common.shape import Shape
from tasks.workers.completions_server.engine import BeyondLimits, TokenScore
from tasks.workers.completions_server.threads import ThreadPlan

PACKAGE_FILE = "model.pt2"
FACTS_FILE = "decoder.json"
# Lengths are rounded up to these, so that kernels that prepare themselves per size do so for few sizes.
PROMPT_BUCKET, SLOT_BUCKET = 16, 32


@dataclass(frozen=True)
class Facts:
    """What `decoder.json` says about the graph.

    Attributes:
        dtype: of cache and logits, as torch names it.
        layers: decoder layers.
        key_heads: heads of keys and values.
        head_width: elements of one head.
        vocab_size: number of tokens in the vocabulary.
        eos_token_ids: tokens that end a sequence.
    """

    dtype: str
    layers: int
    key_heads: int
    head_width: int
    vocab_size: int
    eos_token_ids: tuple[int, ...]


@dataclass(frozen=True)
class AotStep:
    """Result of one iteration: each row's greedy next token, and the logits [rows, vocabulary]."""

    tokens: list[int]
    logits: torch.Tensor

    def score(self, row: int, token: int, alternatives: int) -> TokenScore:
        """Log-probabilities of one row's token and of the likeliest ones, computed in float32."""
        logprobs = torch.log_softmax(self.logits[row].float(), dim=-1)
        values, ids = torch.topk(logprobs, alternatives)
        top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
        return TokenScore(float(logprobs[token]), top)


class AotEngine:
    """One loaded package; only one thread at a time may use it."""

    def __init__(self, tree: Path, limits: Shape) -> None:
        raw = json.loads((tree / FACTS_FILE).read_text(encoding="utf-8"))
        self.facts = Facts(**{**raw, "eos_token_ids": tuple(raw["eos_token_ids"])})
        self.limits = limits
        # torch's public loader probes for a compiler and warns about the build host's vector width; neither
        # matters here.
        loader = torch._C._aoti.AOTIModelPackageLoader  # noqa: SLF001
        self._graph = loader(str(tree / PACKAGE_FILE), "model", True, 1, -1)
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

    def use_threads(self, plan: ThreadPlan) -> None:
        """Run every iteration from now on with as many threads as the plan says."""
        self._threads = plan

    def prefill(self, first_row: int, prompts: Sequence[Sequence[int]]) -> AotStep:
        """Read prompts into the rows `first_row`, `first_row + 1`, ... and return what follows each.

        Raises:
            BeyondLimits: too many rows or tokens, an empty prompt, or a token outside the vocabulary.
        """
        lengths = [len(prompt) for prompt in prompts]
        self._check_prompts(first_row, lengths)
        if self._threads:
            torch.set_num_threads(self._threads.prefill)
        width = min(_rounded(max(lengths), PROMPT_BUCKET), self.limits.max_input_len)
        padding = self.limits.max_seq_len
        tokens = [[*prompt, *[0] * (width - len(prompt))] for prompt in prompts]
        positions = [[*range(length), *[padding] * (width - length)] for length in lengths]
        return self._run(first_row, tokens, positions, [length - 1 for length in lengths], max(lengths))

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> AotStep:
        """Append one token to each of the rows 0, 1, ... and return what follows.

        Raises:
            BeyondLimits: too many rows, a position past the cache, or a token outside the vocabulary.
        """
        if not 0 < len(tokens) <= self.limits.max_batch_size or len(tokens) != len(positions):
            raise BeyondLimits(f"{len(tokens)} rows, the engine takes 1 to {self.limits.max_batch_size}")
        if not 0 <= min(positions) <= max(positions) < self.limits.max_seq_len:
            raise BeyondLimits(f"positions {positions}, the engine has {self.limits.max_seq_len}")
        if self._threads:
            torch.set_num_threads(self._threads.decode[len(tokens) - 1])
        return self._run(
            0, [[t] for t in tokens], [[p] for p in positions], [0] * len(tokens), max(positions) + 1
        )

    def move_row(self, source: int, destination: int) -> None:
        """Copy the cache of one row over another's."""
        for tensor in self.cache:
            tensor[destination].copy_(tensor[source])

    def _check_prompts(self, first_row: int, lengths: list[int]) -> None:
        limits = self.limits
        if not lengths or first_row + len(lengths) > limits.max_batch_size:
            raise BeyondLimits(f"rows {first_row} to {first_row + len(lengths)} of {limits.max_batch_size}")
        if not 0 < min(lengths) <= max(lengths) <= limits.max_input_len:
            raise BeyondLimits(f"prompts of {lengths} tokens, the engine takes 1 to {limits.max_input_len}")
        if len(lengths) > 1 and len(lengths) * max(lengths) > limits.max_num_tokens:
            raise BeyondLimits(f"{len(lengths)} prompts of up to {max(lengths)} tokens at once")

    def _run(
        self, first_row: int, tokens: list[list[int]], positions: list[list[int]], last: list[int], slots: int
    ) -> AotStep:
        ids = torch.tensor(tokens, dtype=torch.int64)
        if int(ids.min()) < 0 or int(ids.max()) >= self.facts.vocab_size:
            raise BeyondLimits(f"a token is outside the vocabulary of {self.facts.vocab_size}")
        read = min(_rounded(slots, SLOT_BUCKET), self.limits.max_seq_len)
        rows = [tensor[first_row : first_row + len(tokens)] for tensor in self.cache]
        inputs = [ids, torch.tensor(positions), torch.tensor(last), torch.arange(read), *rows]
        chosen, logits = self._graph.boxed_run(inputs)
        return AotStep(chosen.tolist(), logits)


def _new_cache(facts: Facts, limits: Shape) -> list[torch.Tensor]:
    # Zeros, not empty: masked slots are multiplied by zero, and zero times a stray NaN is NaN.
    size = (limits.max_batch_size, facts.key_heads, limits.max_seq_len + 1, facts.head_width)
    return [torch.zeros(size, dtype=getattr(torch, facts.dtype)) for _ in range(2 * facts.layers)]


def _rounded(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
