"""What is compiled: a Hugging Face decoder over a KV cache that its caller owns.

Invariants:
- Row r, token t of a call is at position `positions[r, t]` and attends to the slots 0..positions[r, t] of
  its row. Slots beyond are never read, so nothing has to be cleared between sequences.
- Padding is at the position `max_seq_len`, a slot of its own that no real token reads.
- The cache has one tensor for keys and one for values per layer, mutated in place. Any contiguous run of rows
  of larger tensors works, so rows can come and go without affecting the others.

On CPU one graph serves prompts and single tokens, for every number of rows and every length within the
limits; large models in bfloat16 have another one for prompts, with products in float32, and the server takes
the one that is faster on its host. On a GPU there are three: one for prompts; one
for single tokens, whose only variable is the number of rows, so that a CUDA graph holds it for each; and one
for the single token of one row, in which Inductor makes matrix products itself, together with what is before
and behind them. The server takes the faster one for a row.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.export import Dim
from transformers import PreTrainedModel

from tasks.workers.aot.attention import (
    FLASH_PROMPT,
    FLASH_STEP,
    GROUPED,
    Extents,
    HeadMajorCache,
    TokenMajorCache,
    queries_per_row,
    use_attention,
)
from tasks.workers.aot.config import FLASH_HEAD_MULTIPLE, FLASH_WIDEST_HEAD
from tasks.workers.aot.linear import widened
from tasks.workers.aot.tree import Dimensions
from tasks.workers.common.io import Refusal
from tasks.workers.common.shape import Shape

# From so many weights in linear layers on, prompts take long enough to be worth a graph of their own.
LARGE_WEIGHTS = 100_000_000
# With this, Inductor writes the products of a single row as sums, which it fuses with their neighbours.
SINGLE_ROW = {"coordinate_descent_tuning": True}
EXAMPLE_ROWS, EXAMPLE_TOKENS, EXAMPLE_SLOTS = 2, 5, 7
# Blocks of kernels for GPUs are chosen for about as many tokens.
EXAMPLE_GPU_TOKENS = 127


@dataclass(frozen=True)
class Graph:
    """One entry point to be compiled.

    Attributes:
        name: of its package, without the suffix.
        module: the entry point.
        inputs: arguments to trace it with; sizes differ, so that none is mistaken for another.
        dynamic: which dimensions of the arguments vary, and how far. A limit of one is a constant.
        settings: of Inductor, for this graph only.
    """

    name: str
    module: nn.Module
    inputs: tuple[Any, ...]
    dynamic: tuple[Any, ...]
    settings: dict[str, Any] = field(default_factory=dict)


class Decoder(nn.Module):
    """The entry point for CPUs."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        last: torch.Tensor,
        slots: torch.Tensor,
        cache: list[torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run one iteration.

        Args:
            tokens: int64 [rows, tokens].
            positions: int64 [rows, tokens], the position of each token; `max_seq_len` for padding.
            last: int64 [rows], the index in 0..tokens-1 of each row's last real token.
            slots: int64 [slots], the numbers 0..slots-1.
            cache: keys and values of layer 0, of layer 1, ..., each [rows, heads, max_seq_len + 1, width].

        Returns:
            Greedy next tokens int64 [rows], and the logits [rows, vocabulary] after each row's last token.
        """
        use_attention(self.model, GROUPED)
        mask = slots[None, None, None, :] <= positions[:, None, :, None]
        hidden = self.model.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=HeadMajorCache(cache, positions, slots.shape[0]),
            use_cache=True,
        ).last_hidden_state
        logits = self.model.lm_head(hidden[torch.arange(tokens.shape[0]), last])
        return logits.argmax(-1), logits


class GpuPrompt(nn.Module):
    """The entry point for prompts on a GPU, which are read whole: every row begins at position 0."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens: torch.Tensor, positions: torch.Tensor, last: torch.Tensor, cache: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Read prompts; arguments and results as of `Decoder`, the cache [rows, slots, heads, width]."""
        use_attention(self.model, FLASH_PROMPT)
        hidden = self.model.model(
            input_ids=tokens,
            # Ready-made, or the library would make one.
            attention_mask=(positions >= 0)[:, None, :, None],
            position_ids=positions,
            past_key_values=TokenMajorCache(cache, positions, prompt=True),
            use_cache=True,
        ).last_hidden_state
        rows = torch.arange(tokens.shape[0], device=tokens.device)
        return greedy(self.model.lm_head(hidden[rows, last]))


class GpuStep(nn.Module):
    """The entry point for one token per row on a GPU."""

    def __init__(self, model: PreTrainedModel, max_seq_len: int, queries: int) -> None:
        super().__init__()
        self.model = model
        self.max_seq_len = max_seq_len
        self.queries = queries

    def forward(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        used: torch.Tensor,
        query_starts: torch.Tensor,
        slot_starts: torch.Tensor,
        cache: list[torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Generate.

        Args:
            tokens: int64 [rows].
            positions: int64 [rows]; `max_seq_len` for a row that is not in use.
            used: int32 [rows], one more than the position; 1 for a row that is not in use.
            query_starts: int32 [rows + 1], the numbers 0, 1, ..., times `queries`.
            slot_starts: int32 [rows + 1], the same times `max_seq_len + 1`.
            cache: as of `GpuPrompt`.
        """
        use_attention(self.model, FLASH_STEP)
        places = positions[:, None]
        hidden = self.model.model(
            input_ids=tokens[:, None],
            attention_mask=(places >= 0)[:, None, :, None],
            position_ids=places,
            past_key_values=TokenMajorCache(cache, places, prompt=False),
            use_cache=True,
            extents=Extents(query_starts, slot_starts, used, self.max_seq_len, self.queries),
        ).last_hidden_state
        return greedy(self.model.lm_head(hidden[:, 0]))


def greedy(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The first of the largest logits of each row, and the logits.

    As two reductions that Inductor divides between processors; it does not divide `argmax`, and one processor
    would read a whole vocabulary.
    """
    ids = torch.arange(logits.shape[-1], device=logits.device)
    largest = logits.amax(-1, keepdim=True)
    last = logits.shape[-1] - 1  # of logits that are not numbers
    return torch.where(logits == largest, ids, last).amin(-1), logits


def cpu_graphs(model: PreTrainedModel, shape: Shape) -> list[Graph]:
    """The graphs of a model for CPUs."""
    graphs = [_cpu_graph("model", model, shape)]
    plain = sum(layer.weight.numel() for layer in model.modules() if type(layer) is nn.Linear)
    if model.dtype == torch.bfloat16 and plain >= LARGE_WEIGHTS:
        # The head reads one row of a prompt, as it does of a single token.
        graphs.append(_cpu_graph("prompt", widened(model, kept=("lm_head",)), shape))
    return graphs


def _cpu_graph(name: str, model: Any, shape: Shape) -> Graph:
    rows, tokens = _rows(shape), _tokens(shape)
    layers = 2 * model.config.num_hidden_layers
    ids, positions, last = _example_prompt(shape, EXAMPLE_TOKENS, torch.device("cpu"))
    slots = torch.arange(min(EXAMPLE_SLOTS, shape.max_seq_len))
    sizes = dimensions(model, shape)
    size = (len(ids), sizes.key_heads, shape.max_seq_len + 1, sizes.head_width)
    dynamic = (rows | tokens, rows | tokens, rows, {0: Dim("slots", min=1, max=shape.max_seq_len)})
    inputs = (ids, positions, last, slots, _new_cache(model, size))
    return Graph(name, Decoder(model), inputs, (*dynamic, [rows] * layers))


def gpu_graphs(model: PreTrainedModel, shape: Shape) -> list[Graph]:
    """The graphs of a model for GPUs.

    Raises:
        Refusal: the width of its heads is none that torch's flash attention takes.
    """
    width = dimensions(model, shape).head_width
    if width % FLASH_HEAD_MULTIPLE or width > FLASH_WIDEST_HEAD:
        raise Refusal(
            "unsupported",
            f"attention heads of {width} elements: on GPUs this kind takes multiples of "
            f"{FLASH_HEAD_MULTIPLE} up to {FLASH_WIDEST_HEAD}",
            "config.json: head_dim",
            "choose another engine kind",
        )
    rows, tokens = _rows(shape), _tokens(shape)
    ids, positions, last = _example_prompt(shape, EXAMPLE_GPU_TOKENS, model.device)
    cache = _gpu_cache(model, shape, len(ids))
    prompt = Graph(
        "prefill",
        GpuPrompt(model),
        (ids, positions, last, cache),
        (rows | tokens, rows | tokens, rows, [rows] * len(cache)),
    )
    if shape.max_batch_size == 1:
        return [prompt, _step_graph("decode", model, shape, 1)]
    return [prompt, _step_graph("decode", model, shape, len(ids)), _step_graph("single", model, shape, 1)]


def _step_graph(name: str, model: PreTrainedModel, shape: Shape, rows: int) -> Graph:
    """The graph of steps for one row, or for as many as the shape allows, with an example of so many."""
    varies = _rows(shape) if rows > 1 else {}
    ends = {0: varies[0] + 1} if varies else {}
    queries, cache = dimensions(model, shape).step_queries, _gpu_cache(model, shape, rows)
    tokens = torch.ones(rows, dtype=torch.int64, device=model.device)
    starts = torch.arange(rows + 1, dtype=torch.int32, device=model.device)
    begins = (starts * queries, starts * (shape.max_seq_len + 1))
    return Graph(
        name,
        GpuStep(model, shape.max_seq_len, queries),
        (tokens, tokens * 3, (tokens * 4).to(torch.int32), *begins, cache),
        (varies, varies, varies, ends, ends, [varies] * len(cache)),
        SINGLE_ROW if rows == 1 else {},
    )


def _gpu_cache(model: PreTrainedModel, shape: Shape, rows: int) -> list[torch.Tensor]:
    sizes = dimensions(model, shape)
    return _new_cache(model, (rows, shape.max_seq_len + 1, sizes.key_heads, sizes.head_width))


def dimensions(model: PreTrainedModel, shape: Shape) -> Dimensions:
    """The sizes of a decoder."""
    config = model.config
    heads, key_heads = config.num_attention_heads, config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    queries = queries_per_row(heads, key_heads, shape.max_seq_len)
    return Dimensions(config.num_hidden_layers, key_heads, width, queries)


def _example_prompt(
    shape: Shape, most: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows, count = min(EXAMPLE_ROWS, shape.max_batch_size), min(most, shape.max_input_len)
    tokens = torch.ones(rows, count, dtype=torch.int64, device=device)
    positions = torch.arange(count, device=device).repeat(rows, 1)
    return tokens, positions, torch.full((rows,), count - 1, device=device)


def _new_cache(model: PreTrainedModel, size: tuple[int, ...]) -> list[torch.Tensor]:
    count = 2 * model.config.num_hidden_layers
    return [torch.zeros(size, dtype=model.dtype, device=model.device) for _ in range(count)]


def _rows(shape: Shape) -> dict[int, Any]:
    return {0: Dim("rows", min=1, max=shape.max_batch_size)} if shape.max_batch_size > 1 else {}


def _tokens(shape: Shape) -> dict[int, Any]:
    return {1: Dim("tokens", min=1, max=shape.max_input_len)} if shape.max_input_len > 1 else {}
