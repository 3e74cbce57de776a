"""Memory of what a server keeps and computes: KV cache, activations, logits and CUDA graphs."""

from collections.abc import Iterator
from math import ceil

from engine_specs.preflight.decoder import most_in_stage, spread_of
from engine_specs.preflight.memory.records import MemoryLine
from engine_specs.preflight.memory.stages import stage_layers, stage_text
from engine_specs.preflight.memory.weights import scale_share
from engine_specs.preflight.model_facts import ModelFacts
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import KvCacheFormat, load_kinds, load_kv_caches

LOGIT_BYTES = 4
# Tokens of the largest block of a KV cache that a kind offers.
LARGEST_BLOCK = 128


def kv_cache(variant: ResolvedVariant, model: ModelFacts, cached_tokens: int | None) -> MemoryLine:
    """Return what keys and values take; of latent attention, what they are compressed to."""
    row = load_kv_caches()[_cache_name(variant, model)]
    tensor, shape, bits = variant.tensor_parallel, variant.shape, kv_bits(row, model)
    tokens, held = (
        shape.max_batch_size * shape.max_seq_len,
        f"{shape.max_batch_size} sequences x {shape.max_seq_len:,}",
    )
    if cached_tokens is not None:
        tokens, held = cached_tokens, f"{cached_tokens:,}"
    heads = max(1, ceil(model.key_value_heads / tensor))
    each = 2 * heads * model.head_dim
    layer = f"{heads} heads ({model.key_value_heads} / tp {tensor}) x {model.head_dim}"
    if model.latent is not None:
        each, layer = model.latent.stored, f"({model.latent.rank} + {model.latent.rope}), undivided,"
    whole, windowed, recent = _cached_layers(variant, model, tokens)
    more = f" + {windowed} layers with windows x {recent:,} tokens" if windowed else ""
    stages = f"{whole} layers" if windowed else stage_text(variant, model)
    return MemoryLine(
        what=f"KV cache ({row.name if row.bits else model.dtype})",
        bytes=ceil((whole * tokens + windowed * recent) * each * bits / 8),
        arithmetic=(
            f"{'' if model.latent else '2 x '}{stages} x {layer} x {bits:g} bits / 8 x {held} tokens{more}"
        ),
    )


def _cached_layers(variant: ResolvedVariant, model: ModelFacts, tokens: int) -> tuple[int, int, int]:
    """Return layers that keep all tokens, those that keep a window, and how many tokens these keep.

    Per sequence, a window and the blocks at its ends; besides, what two iterations read (vllm 0.32.0,
    v1/kv_cache_interface.py, SlidingWindowSpec.max_admission_blocks_per_request).
    """
    stage, shape = stage_layers(variant, model), variant.shape
    if model.window is None or not load_kinds()[variant.engine.kind].frees_windows:
        return stage, 0, 0
    recent = shape.max_batch_size * (model.window + LARGEST_BLOCK) + 2 * shape.max_num_tokens
    if recent >= tokens:
        return stage, 0, 0
    whole = most_in_stage(model.full_layers, model.layers, stage)
    return whole, stage - whole, recent


def _cache_name(variant: ResolvedVariant, model: ModelFacts) -> str:
    """Return the format of the KV cache; a ready-made checkpoint's own files say it."""
    asked = variant.quantization
    return model.ready_made.kv_cache if asked.source and model.ready_made else asked.kv_cache


def kv_bits(kv_cache: KvCacheFormat, model: ModelFacts) -> float:
    """Return the bits of one stored key or value with its share of the scales."""
    if kv_cache.bits is None:
        return 8.0 * model.dtype_bytes
    return kv_cache.bits + scale_share(kv_cache)


def activations(variant: ResolvedVariant, model: ModelFacts) -> MemoryLine:
    """Return what one layer holds per token, as if nothing were freed before the layer ends.

    That is twice the residual, undivided; q, k, v and the output of attention; and a feed-forward block,
    which is three times its inner width, or what experts take: for each that a token passes through, its
    inner width and twice that, or the residual if it is wider (vllm 0.32.0,
    fused_moe/experts/triton_moe.py, workspace_shapes). The tokens of all copies of attention may pass
    through the experts of one device.
    """
    tensor, tokens, blocks = variant.tensor_parallel, variant.shape.max_num_tokens, ""
    attention, whole = _attention_activations(model, tensor)
    inner = 3 * model.intermediate_size
    per_token = 2 * model.hidden_size + whole
    if (experts := model.experts) is not None:
        spread, copies = spread_of(variant), variant.data_parallel
        width = ceil(experts.inner / spread.within)
        each = max(width, model.hidden_size) + max(2 * width, model.hidden_size)
        inner = max(
            3 * experts.shared * tensor // spread.shared, inner if len(experts.layers) < model.layers else 0
        )
        per_token += copies * experts.active * each
        passed = f"{experts.active} experts x {each:,}"
        blocks = f" + {f'{copies} copies x ' if copies > 1 else ''}{passed}"
    per_token += ceil((attention + inner) / tensor)
    return MemoryLine(
        what="activations",
        bytes=tokens * per_token * model.dtype_bytes,
        arithmetic=(
            f"{tokens:,} tokens x (2 x {model.hidden_size:,}{f' + {whole:,}' if whole else ''}"
            f" + ({attention:,} + {inner:,}) / tp {tensor}{blocks}) x {model.dtype_bytes} B"
        ),
    )


def _attention_activations(model: ModelFacts, tensor: int) -> tuple[int, int]:
    """Return numbers per token that tensor parallelism divides, and those that it does not."""
    if model.latent is None:
        key_value_heads = max(model.key_value_heads, tensor)
        return (2 * model.attention_heads + 2 * key_value_heads) * model.head_dim, 0
    latent = model.latent
    per_head = 2 * (latent.plain + latent.rope) + 2 * latent.value
    return model.attention_heads * per_head, (latent.query_rank or 0) + latent.stored


def logits(variant: ResolvedVariant, model: ModelFacts) -> MemoryLine:
    """Return the scores of all tokens, once per sequence and token of it that is checked at once."""
    sequences = variant.shape.max_batch_size
    drafted = variant.speculative.tokens if variant.speculative else 0
    checked = f" x (1 + {drafted} drafted tokens)" if drafted else ""
    return MemoryLine(
        what="logits",
        bytes=sequences * (1 + drafted) * model.vocab_size * LOGIT_BYTES,
        arithmetic=f"{sequences} sequences{checked} x {model.vocab_size:,} x {LOGIT_BYTES} B (float32)",
    )


def step_graphs(variant: ResolvedVariant, model: ModelFacts) -> Iterator[MemoryLine]:
    """Yield what CUDA graphs for 1, 2, 4, ... sequences hold: less than twice the logits of one."""
    kind, sequences = load_kinds()[variant.engine.kind], variant.shape.max_batch_size
    if variant.target.accelerator != "cuda" or not kind.step_graphs:
        return
    yield MemoryLine(
        what="logits of CUDA graphs",
        bytes=2 * sequences * model.vocab_size * model.dtype_bytes,
        arithmetic=(
            f"2 x {sequences} sequences x {model.vocab_size:,} x {model.dtype_bytes} B ({model.dtype})"
        ),
    )
