"""The graph that is compiled: a Hugging Face decoder over a KV cache that its caller owns.

Invariants:
- One graph serves prompts and single tokens, for every number of rows and every length within the limits.
- Row r, token t of a call is at position `positions[r, t]` and attends to the slots 0..positions[r, t] of
  its row. Slots beyond are never read, so nothing has to be cleared between sequences.
- Padding is at the position `max_seq_len`, a slot of its own that no real token reads.
- The cache is one tensor [rows, heads, max_seq_len + 1, head_dim] for keys and one for values per layer,
  mutated in place. Any contiguous run of rows of larger tensors works, so rows can come and go without
  affecting the others.
"""

from typing import Any

import torch
import transformers
from torch import nn
from torch.export import Dim
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

from tasks.workers.aot.config import BuildPlan
from tasks.workers.aot.int8 import read_tensors, split_int8, use_int8
from tasks.workers.common.io import Refusal
from tasks.workers.common.shape import Shape

ATTENTION = "enginery_grouped"
EXAMPLE_ROWS, EXAMPLE_TOKENS, EXAMPLE_SLOTS = 2, 5, 7


class CallerCache:
    """The cache that a decoder layer expects, on top of the caller's tensors.

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
        """Write [rows, heads, tokens, head_dim] at each token's position; return what may be attended to."""
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


class Decoder(nn.Module):
    """The entry point that is exported."""

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
            cache: keys and values of layer 0, of layer 1, ...

        Returns:
            Greedy next tokens int64 [rows], and the logits [rows, vocabulary] after each row's last token.
        """
        mask = slots[None, None, None, :] <= positions[:, None, :, None]
        hidden = self.model.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=CallerCache(cache, positions, slots.shape[0]),
            use_cache=True,
        ).last_hidden_state
        logits = self.model.lm_head(hidden[torch.arange(tokens.shape[0]), last])
        return logits.argmax(-1), logits


def grouped_attention(
    _module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend with a group's queries as additional rows of their shared key head, so that no key is copied.

    Query is [rows, heads, tokens, head_dim], key and value [rows, key_heads, slots, head_dim], the mask bool
    [rows, 1, tokens, slots]; returns [rows, tokens, heads, head_dim].
    """
    rows, heads, tokens, width = query.shape
    key_heads, slots = key.shape[1], key.shape[2]
    group = heads // key_heads
    stacked = _contiguous(query).view(rows, key_heads, group * tokens, width)
    mask = (
        attention_mask[:, :, None]
        .expand(rows, 1, group, tokens, slots)
        .reshape(rows, 1, group * tokens, slots)
    )
    out = nn.functional.scaled_dot_product_attention(stacked, key, value, attn_mask=mask, scale=scaling)
    return _contiguous(out.view(rows, heads, tokens, width).transpose(1, 2)), None


def load_eager(plan: BuildPlan, dtype: torch.dtype) -> PreTrainedModel:
    """The checkpoint as Hugging Face computes it, in `dtype`; int8 weights are widened."""
    tensors, quantized = split_int8(dict(read_tensors(plan.checkpoint)))
    widened = {name: weight.dequantized(dtype) for name, weight in quantized.items()}
    return _instantiate(plan, tensors | widened, dtype, "eager")


def load_decoder(plan: BuildPlan) -> Decoder:
    """The checkpoint as it is compiled: with our attention, and int8 layers if weights are int8."""
    dtype = getattr(torch, plan.dtype)
    tensors, quantized = split_int8(dict(read_tensors(plan.checkpoint)))
    widened = {name: weight.dequantized(dtype) for name, weight in quantized.items()}
    model = _instantiate(plan, tensors | widened, dtype, ATTENTION)
    use_int8(model, quantized, dtype)
    decoder = Decoder(model)
    decoder.eval().requires_grad_(False)
    return decoder


def example_inputs(model: PreTrainedModel, shape: Shape) -> tuple[Any, ...]:
    """Arguments of `Decoder.forward` to trace with; sizes differ, so that none is mistaken for another."""
    rows = min(EXAMPLE_ROWS, shape.max_batch_size)
    count = min(EXAMPLE_TOKENS, shape.max_input_len)
    slots = torch.arange(min(EXAMPLE_SLOTS, shape.max_seq_len))
    tokens = torch.ones(rows, count, dtype=torch.int64)
    positions = torch.arange(count).repeat(rows, 1)
    last = torch.full((rows,), count - 1)
    return tokens, positions, last, slots, new_cache(model, rows, shape)


def dynamic_shapes(model: PreTrainedModel, shape: Shape) -> tuple[Any, ...]:
    """Which dimensions of the arguments vary, and how far. A limit of one is a constant, not a dimension."""
    rows = {0: Dim("rows", min=1, max=shape.max_batch_size)} if shape.max_batch_size > 1 else {}
    tokens = {1: Dim("tokens", min=1, max=shape.max_input_len)} if shape.max_input_len > 1 else {}
    slots = {0: Dim("slots", min=1, max=shape.max_seq_len)}
    return rows | tokens, rows | tokens, rows, slots, [rows] * (2 * model.config.num_hidden_layers)


def new_cache(model: PreTrainedModel, rows: int, shape: Shape) -> list[torch.Tensor]:
    """An empty cache for `rows` rows."""
    heads, _, width = cache_dimensions(model)
    size = (rows, heads, shape.max_seq_len + 1, width)
    return [torch.zeros(size, dtype=model.dtype) for _ in range(2 * model.config.num_hidden_layers)]


def cache_dimensions(model: PreTrainedModel) -> tuple[int, int, int]:
    """Key heads, layers and head width of a decoder."""
    config = model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return config.num_key_value_heads, config.num_hidden_layers, width


def _instantiate(
    plan: BuildPlan, tensors: dict[str, torch.Tensor], dtype: torch.dtype, attention: str
) -> PreTrainedModel:
    AttentionInterface.register(ATTENTION, grouped_attention)
    AttentionMaskInterface.register(
        ATTENTION, sdpa_mask
    )  # looked up by name, though our masks are ready-made
    config = transformers.AutoConfig.from_pretrained(str(plan.checkpoint))
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # these weights are plain, so there is nothing to unpack
    cast = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    model, found = getattr(transformers, plan.architecture).from_pretrained(
        None,
        config=config,
        state_dict=cast,
        dtype=dtype,
        attn_implementation=attention,
        output_loading_info=True,
    )
    _check_complete(found)
    return model.eval()


def _check_complete(found: dict[str, Any]) -> None:
    """Refuse an incomplete checkpoint: the library would fill the gaps with random numbers and continue."""
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = sorted(map(str, found.get(problem) or ()))
        if names:
            raise Refusal(
                "input",
                f"the weights do not fit the architecture: {len(names)} {problem}, such as {names[0]}",
                "*.safetensors",
                "fetch the checkpoint again, or check `architectures` in its config.json",
            )


def _contiguous(tensor: torch.Tensor) -> torch.Tensor:
    # `.contiguous()` asks about strides, which the exporter turns into a guard on the number of tokens.
    return tensor.clone(memory_format=torch.contiguous_format)
