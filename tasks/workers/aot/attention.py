"""Attention over a KV cache that the caller owns, as functions that a Hugging Face decoder calls.

Two ways, by device:
- `grouped`: a mask says which slots each token attends to; the queries that share a key head are additional
  rows of it, so that no key is copied.
- `flash`: torch's flash attention kernels, for GPUs. A prompt attends to itself, and a single token to as
  many slots as its row has in use, which the kernel reads from memory: so no mask, no slot beyond, no bucket
  of lengths. One CUDA graph serves all lengths.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

GROUPED, FLASH_PROMPT, FLASH_STEP = "enginery_grouped", "enginery_flash_prompt", "enginery_flash_step"
FLASH = torch.ops.aten._flash_attention_forward  # noqa: SLF001  the only public name needs a later torch
# Slots that one processor reads about as fast as several do and exchange what they found.
LONGEST_UNDIVIDED = 1024


@dataclass(frozen=True)
class Extents:
    """Where rows begin and how far they are used, as flash attention wants it.

    Attributes:
        queries: int32 [rows + 1], first query of each row and the number of all.
        slots: int32 [rows + 1], first slot of each row and the number of all.
        used: int32 [rows], slots that each row attends to.
        most: most slots that a row may use.
        queries_per_row: 1, or the query heads that share a key head.
    """

    queries: torch.Tensor
    slots: torch.Tensor
    used: torch.Tensor
    most: int
    queries_per_row: int


class HeadMajorCache:
    """The cache that a decoder layer expects, on tensors [rows, heads, slots, width] of the caller.

    `slots` is how many leading slots of each row are read: enough for the longest sequence of the call.
    """

    is_compileable = True

    def __init__(self, tensors: list[torch.Tensor], positions: torch.Tensor, slots: int) -> None:
        self.tensors = tensors
        self.positions = positions
        self.slots = slots

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write [rows, heads, tokens, width] at each token's position; return what may be attended to."""
        return self._write(2 * layer_idx, keys), self._write(2 * layer_idx + 1, values)

    def get_seq_length(self, *_: object) -> int:
        """Zero: positions are always given, so the decoder never relies on this."""
        return 0

    def _write(self, index: int, new: torch.Tensor) -> torch.Tensor:
        cache = self.tensors[index]
        rows = torch.arange(new.shape[0])[:, None, None]
        heads = torch.arange(new.shape[1])[None, :, None]
        cache.index_put_((rows, heads, self.positions[:, None, :]), new)
        return cache[:, :, : self.slots]


class TokenMajorCache:
    """The same on tensors [rows, slots, heads, width], as flash attention reads them.

    With `prompt` a layer attends to the tokens of the call, and the cache is only written.
    """

    is_compileable = True

    def __init__(self, tensors: list[torch.Tensor], positions: torch.Tensor, *, prompt: bool) -> None:
        self.tensors = tensors
        self.positions = positions
        self.prompt = prompt

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write [rows, heads, tokens, width] at each token's position; return what is attended to."""
        whole = self._write(2 * layer_idx, keys), self._write(2 * layer_idx + 1, values)
        return (keys, values) if self.prompt else whole

    def get_seq_length(self, *_: object) -> int:
        """Zero: positions are always given, so the decoder never relies on this."""
        return 0

    def _write(self, index: int, new: torch.Tensor) -> torch.Tensor:
        cache = self.tensors[index]
        rows = torch.arange(new.shape[0], device=new.device)[:, None]
        cache.index_put_((rows, self.positions), new.transpose(1, 2))
        return cache


def use_attention(model: PreTrainedModel, name: str) -> None:
    """Let a model attend by one of the names above."""
    model.config._attn_implementation = name  # noqa: SLF001  its setter refuses names of functions


def register_attention() -> None:
    """Make the names known; masks are looked up by name too, though ours are ready-made."""
    functions = {GROUPED: grouped_attention, FLASH_PROMPT: flash_prompt, FLASH_STEP: flash_step}
    for name, function in functions.items():
        AttentionInterface.register(name, function)
        AttentionMaskInterface.register(name, sdpa_mask)


def grouped_attention(
    _module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend with a group's queries as additional rows of their shared key head.

    Query is [rows, heads, tokens, width], key and value [rows, key_heads, slots, width], the mask bool
    [rows, 1, tokens, slots]; returns [rows, tokens, heads, width].
    """
    rows, heads, tokens, width = query.shape
    key_heads, slots = key.shape[1], key.shape[2]
    group = heads // key_heads
    stacked = contiguous(query).view(rows, key_heads, group * tokens, width)
    mask = (
        attention_mask[:, :, None]
        .expand(rows, 1, group, tokens, slots)
        .reshape(rows, 1, group * tokens, slots)
    )
    out = nn.functional.scaled_dot_product_attention(stacked, key, value, attn_mask=mask, scale=scaling)
    return contiguous(out.view(rows, heads, tokens, width).transpose(1, 2)), None


def flash_prompt(
    _module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: torch.Tensor,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Let the tokens of a prompt attend to themselves and to those before them.

    Query is [rows, heads, tokens, width], key and value [rows, key_heads, tokens, width]; returns [rows,
    tokens, heads, width].
    """
    parts = [contiguous(part.transpose(1, 2)) for part in (query, key, value)]
    tokens = query.shape[2]
    out = FLASH(*parts, None, None, tokens, tokens, 0.0, True, False, scale=scaling)[0]
    return out, None


def flash_step(
    _module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: torch.Tensor,
    scaling: float | None = None,
    *,
    extents: Extents,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Let the only token of each row attend to the slots that the row has in use.

    Query is [rows, heads, 1, width], key and value are caches [rows, slots, key_heads, width]; returns [rows,
    1, heads, width].
    """
    rows, heads, _, width = query.shape
    key_heads, per_row = key.shape[2], extents.queries_per_row
    # Query heads of one key head, as queries of it; or, as one query per row, left to the kernels.
    grouped = query.view(rows, key_heads * (heads // key_heads // per_row), per_row, width)
    stacked = contiguous(grouped.transpose(1, 2)).view(rows * per_row, -1, width)
    out = FLASH(
        stacked,
        key.flatten(0, 1),
        value.flatten(0, 1),
        extents.queries,
        extents.slots,
        per_row,
        extents.most,
        0.0,
        False,
        False,
        scale=scaling,
        seqused_k=extents.used,
    )[0]
    apart = out.view(rows, per_row, -1, width).transpose(1, 2)
    return contiguous(apart).view(rows, 1, heads, width), None


def queries_per_row(heads: int, key_heads: int, max_seq_len: int) -> int:
    """As how many queries the query heads of one row and key head are given to flash attention.

    As one, the kernels copy queries and results to group them, divide the slots between processors, and
    combine what those found: four kernels, worth it for long rows. As a group, one processor reads all slots
    of a key head.
    """
    return heads // key_heads if max_seq_len <= LONGEST_UNDIVIDED else 1


def contiguous(tensor: torch.Tensor) -> torch.Tensor:
    """A contiguous copy.

    `.contiguous()` asks about strides, which the exporter turns into a guard on the number of tokens.
    """
    return tensor.clone(memory_format=torch.contiguous_format)
