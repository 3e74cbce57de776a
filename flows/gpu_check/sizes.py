"""Sizes of the checkpoint that is trained: from a number of parameters to the dimensions of a Llama. Pure.

Invariants:
- The vocabulary is the demo's, so that its tokenizer is the checkpoint's. It is small: nearly all parameters
  are in the layers.
- Every dimension divides by 128, which all recipes accept, and there are at least two key-value heads, which
  two GPUs can divide.
"""

import math
import re
from typing import Any

from pydantic import Field

from artifacts.frozen import Frozen
from flows.errors import BadArgument

VOCABULARY, MAX_TOKENS = 1024, 512
UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}
WIDTHS = (256, 512, 1024, 1536, 2048, *range(3072, 8193, 1024))
MOST_LAYERS = 96
# Hidden size per layer of the Llama family, from 1 B (2048 / 16) to 8 B (4096 / 32).
WIDTH_PER_LAYER = 128
# A size is reached if it is missed by no more than this; then the usual shape counts.
NEAR = 0.05
SMALLEST, LARGEST = 10**6, 10**10


class ModelSize(Frozen):
    """The dimensions of one Llama."""

    hidden: int = Field(description="Hidden size.")
    layers: int = Field(description="Decoder layers.")

    @property
    def head_dim(self) -> int:
        """Size of one head."""
        return 64 if self.hidden <= 2048 else 128

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.hidden // self.head_dim

    @property
    def kv_heads(self) -> int:
        """Number of key-value heads."""
        return max(2, self.heads // 4)

    @property
    def intermediate(self) -> int:
        """Size inside the MLP."""
        return 4 * self.hidden

    @property
    def parameters(self) -> int:
        """Number of parameters; the embedding is lm_head, too."""
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * self.kv_heads * self.head_dim
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.layers * layer + VOCABULARY * self.hidden + self.hidden

    def config(self) -> dict[str, Any]:
        """Return the arguments of transformers' LlamaConfig; RoPE and special tokens are the demo's."""
        return {
            "vocab_size": VOCABULARY,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": MAX_TOKENS,
            "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0},
            "tie_word_embeddings": True,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 2,
        }


def parse_size(text: str) -> int:
    """Return the number of parameters that a text such as 1B, 350M or 2600000 names.

    Raises:
        BadArgument: it names none, or none between SMALLEST and LARGEST.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMB]?)", text.strip().upper())
    number = round(float(match[1]) * UNITS[match[2]]) if match else 0
    if not SMALLEST <= number <= LARGEST:
        raise BadArgument(f"{text!r} is not a size from 1M to 10B", fix="name one such as 1B, 350M or 2.6M")
    return number


def size_near(parameters: int) -> ModelSize:
    """Return dimensions with about this many parameters: the usual shape, or if none is near, the nearest."""
    sizes = [_nearest(width, parameters) for width in WIDTHS]
    near = [size for size in sizes if _error(size, parameters) <= NEAR]
    if near:
        return min(near, key=lambda size: abs(math.log(size.hidden / size.layers / WIDTH_PER_LAYER)))
    return min(sizes, key=lambda size: _error(size, parameters))


def _nearest(width: int, parameters: int) -> ModelSize:
    one = ModelSize(hidden=width, layers=1).parameters
    layer = ModelSize(hidden=width, layers=2).parameters - one
    return ModelSize(hidden=width, layers=min(MOST_LAYERS, max(2, 1 + round((parameters - one) / layer))))


def _error(size: ModelSize, parameters: int) -> float:
    return abs(size.parameters / parameters - 1)
