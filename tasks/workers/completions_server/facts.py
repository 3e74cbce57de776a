"""What `decoder.json` of an engine tree says about its graphs, and which calls they take.

A call that a graph was not compiled for (too many rows, a position past the cache, a token outside the
vocabulary) would abort the process or read memory out of bounds, so every call is checked before it.
Standard library only.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.workers.common.shape import Shape
from tasks.workers.completions_server.engine import BeyondLimits

FACTS_FILE, WEIGHTS_FOLDER, CONSTANTS_FILE = "decoder.json", "weights", "constants.safetensors"


@dataclass(frozen=True)
class Source:
    """Where a weight of the graphs comes from.

    Attributes:
        tensors: names in the checkpoint's files; several are joined along their first dimension.
        dtype: of the weight, as torch names it.
    """

    tensors: tuple[str, ...]
    dtype: str


@dataclass(frozen=True)
class Facts:
    """What `decoder.json` says.

    Attributes:
        device: cpu or cuda.
        dtype: of cache and logits, as torch names it.
        layers: decoder layers.
        key_heads: heads of keys and values.
        head_width: elements of one head.
        vocab_size: number of tokens in the vocabulary.
        eos_token_ids: tokens that end a sequence.
        step_queries: as how many queries a row of a step on a GPU attends.
        weights: where each weight of the graphs comes from, by the graphs' names.
    """

    device: str
    dtype: str
    layers: int
    key_heads: int
    head_width: int
    vocab_size: int
    eos_token_ids: tuple[int, ...]
    step_queries: int
    weights: dict[str, Source]


def read_facts(tree: Path) -> Facts:
    """Read `decoder.json` of a tree."""
    raw = json.loads((tree / FACTS_FILE).read_text(encoding="utf-8"))
    weights = {name: Source(tuple(one["tensors"]), one["dtype"]) for name, one in raw.pop("weights").items()}
    return Facts(**{**raw, "eos_token_ids": tuple(raw["eos_token_ids"]), "weights": weights})


def check_prompts(
    limits: Shape, vocab_size: int, first_row: int, prompts: Sequence[Sequence[int]]
) -> list[int]:
    """Return the lengths of prompts that are to be read into the rows from `first_row` on.

    Raises:
        BeyondLimits: too many rows or tokens, an empty prompt, or a token outside the vocabulary.
    """
    lengths = [len(prompt) for prompt in prompts]
    if not lengths or first_row + len(lengths) > limits.max_batch_size:
        raise BeyondLimits(f"rows {first_row} to {first_row + len(lengths)} of {limits.max_batch_size}")
    if not 0 < min(lengths) <= max(lengths) <= limits.max_input_len:
        raise BeyondLimits(f"prompts of {lengths} tokens, the engine takes 1 to {limits.max_input_len}")
    if len(lengths) > 1 and len(lengths) * max(lengths) > limits.max_num_tokens:
        raise BeyondLimits(f"{len(lengths)} prompts of up to {max(lengths)} tokens at once")
    for prompt in prompts:
        _check_tokens(vocab_size, prompt)
    return lengths


def check_step(limits: Shape, vocab_size: int, tokens: Sequence[int], positions: Sequence[int]) -> None:
    """Check the last token of each of the rows 0, 1, ... and its position.

    Raises:
        BeyondLimits: too many rows, a position past the cache, or a token outside the vocabulary.
    """
    if not 0 < len(tokens) <= limits.max_batch_size or len(tokens) != len(positions):
        raise BeyondLimits(f"{len(tokens)} rows, the engine takes 1 to {limits.max_batch_size}")
    if not 0 <= min(positions) <= max(positions) < limits.max_seq_len:
        raise BeyondLimits(f"positions {positions}, the engine has {limits.max_seq_len}")
    _check_tokens(vocab_size, tokens)


def padded_prompts(
    prompts: Sequence[Sequence[int]], width: int, padding: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Tokens and positions of prompts, each filled up to `width`; fillers are at the position `padding`."""
    tokens = [[*prompt, *[0] * (width - len(prompt))] for prompt in prompts]
    positions = [[*range(len(prompt)), *[padding] * (width - len(prompt))] for prompt in prompts]
    return tokens, positions


def row_buckets(most: int) -> list[int]:
    """The numbers of rows that graphs are for: 1, 2, 4, ... and the most."""
    return [*(1 << bit for bit in range(most.bit_length()) if 1 << bit < most), most]


def bucket_of(buckets: Sequence[int], rows: int) -> int:
    """The smallest bucket that holds so many rows."""
    return next(bucket for bucket in buckets if bucket >= rows)


def rounded(value: int, multiple: int) -> int:
    """The next multiple that is at least the value."""
    return -(-value // multiple) * multiple


def _check_tokens(vocab_size: int, tokens: Sequence[int]) -> None:
    if min(tokens) < 0 or max(tokens) >= vocab_size:
        raise BeyondLimits(f"a token is outside the vocabulary of {vocab_size}")
