"""How much memory one device needs for a variant: an upper estimate, with arithmetic that a person can check.

Invariants:
- Every line says how its bytes come about; the total is their sum, and nothing else is in it.
- The estimate is for the fullest device: of a pipeline, a stage with the most layers and one of the tables.
- A size that only a stage's output determines is an upper limit here, and names that stage.

The formulas (all per device):
    linear weights   layers / pp x weights of a layer / tp x bits of a weight; a key-value head is not cut, so
                     with fewer heads than devices each device holds a whole one
    tables           rows of the vocabulary / tp x hidden size, once for the embedding, once for lm_head
    KV cache         2 x layers / pp x key-value heads / tp x head size x bits x sequences x tokens
    activations      tokens of an iteration x what one layer holds per token; layers reuse the same memory
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import ceil
from typing import Annotated, Literal

from pydantic import Field

from engine_specs.preflight.model_facts import ModelFacts, StoredWeights
from engine_specs.preflight.weights import Weight
from engine_specs.reading import MEMORY_FILE, StrictFrozen, read_data
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import KvCacheFormat, Recipe, Target, load_kinds, load_kv_caches, load_recipes

Fit = Literal["fits", "exceeds", "known after quantize", "target fixes no memory"]
LOGIT_BYTES = 4
QUANTIZE = "quantize"


class Reserve(StrictFrozen):
    """Memory of a GPU that is taken whatever the model."""

    what: str = Field(min_length=1, description="What takes it.")
    bytes: int = Field(ge=0, description="How much, at most.")
    source: str = Field(min_length=10, description="How that is known.")


class MemoryRules(StrictFrozen):
    """The content of `data/memory.yaml`."""

    usable_share: float = Field(gt=0, le=1, description="Share of a device's memory that may be planned for.")
    usable_share_source: str = Field(min_length=10, description="Why this share.")
    reserves: Annotated[tuple[Reserve, ...], Field(strict=False)] = Field(
        description="What every GPU process takes."
    )


class MemoryLine(StrictFrozen):
    """One thing that a device holds."""

    what: str = Field(description="What it is.")
    bytes: int = Field(description="How much; an upper limit if `known_after` names a stage.")
    arithmetic: str = Field(description="How the bytes are computed.")
    known_after: str | None = Field(default=None, description="Stage whose output gives the exact size.")


class MemoryEstimate(StrictFrozen):
    """The memory of one device."""

    devices: int = Field(description="Devices that share the engine.")
    lines: tuple[MemoryLine, ...] = Field(description="What it holds.")
    total_bytes: int = Field(description="Sum of all lines.")
    budget_bytes: int | None = Field(description="What may be planned for; null: the target fixes no memory.")
    budget_arithmetic: str = Field(description="How the budget is computed.")
    fit: Fit = Field(description="Whether the device holds it.")
    counting_note: str = Field(description="How the counted weights and the checkpoint's files compare.")


@lru_cache(maxsize=1)
def load_memory_rules() -> MemoryRules:
    """Return the rules; raises SpecInvalid if the data file is invalid."""
    return read_data(MEMORY_FILE, MemoryRules)


def estimate_memory(
    variant: ResolvedVariant, model: ModelFacts, *, cached_tokens: int | None = None
) -> MemoryEstimate:
    """Estimate what the fullest device of a variant holds while it serves.

    Args:
        variant: the variant.
        model: sizes of its checkpoint.
        cached_tokens: tokens that the KV cache holds; None: as many as the variant's shape allows.
    """
    lines = (
        *_weights(variant, model),
        _kv_cache(variant, model, cached_tokens),
        _activations(variant, model),
        _logits(variant, model),
        *_step_graphs(variant, model),
        *_reserves(variant.target),
    )
    budget_bytes, arithmetic = _budget(variant.target)
    return MemoryEstimate(
        devices=variant.devices,
        lines=lines,
        total_bytes=sum(line.bytes for line in lines),
        budget_bytes=budget_bytes,
        budget_arithmetic=arithmetic,
        fit=_fit(lines, budget_bytes),
        counting_note=model.counting_note,
    )


def unquantized(variant: ResolvedVariant) -> ResolvedVariant:
    """Return the variant as vLLM serves its checkpoint for reference."""
    plain = {"recipe": "none", "kv_cache": "none", "search": None, "source": None}
    quantization = variant.quantization.model_copy(update=plain)
    return variant.model_copy(update={"quantization": quantization})


def _fit(lines: tuple[MemoryLine, ...], budget_bytes: int | None) -> Fit:
    if budget_bytes is None:
        return "target fixes no memory"
    if sum(line.bytes for line in lines) <= budget_bytes:
        return "fits"
    certain = sum(line.bytes for line in lines if line.known_after is None)
    return "exceeds" if certain > budget_bytes else "known after quantize"


def linear_bits(variant: ResolvedVariant, recipe: Recipe, model: ModelFacts) -> float | None:
    """Return the bits of a quantized weight with its share of the scales; None if known after quantize.

    A search keeps to its mean bits, but does not count the scales of some formats (modelopt 0.47,
    torch/quantization/algorithms.py): the largest share of its candidates is added.
    """
    search = variant.quantization.search
    if search is not None:
        return search.effective_bits + max(_scale_share(load_recipes()[name]) for name in search.candidates)
    if recipe.form == "file":
        return None
    if recipe.weight_bits is None:
        return 8.0 * model.dtype_bytes
    return recipe.weight_bits + _scale_share(recipe)


def quantized_parameters(recipe: Recipe, model: ModelFacts) -> int:
    """Count the weights of one decoder layer that a recipe quantizes."""
    return sum(one.parameters for one in model.weights if not one.is_left_out(recipe.left_out))


def tables(model: ModelFacts, export_format: str) -> int:
    """Count the tables of the size of the embedding that an engine holds.

    Tied ones are one table in Hugging Face's layout; ModelOpt's export for TensorRT-LLM writes lm_head next
    to the embedding (modelopt 0.37.0, torch/export/model_config_export.py), except for Gemma.
    """
    shared = model.tied_embeddings and (export_format == "hf" or model.architecture.startswith("Gemma"))
    return 1 if shared else 2


def _weights(variant: ResolvedVariant, model: ModelFacts) -> Iterator[MemoryLine]:
    recipe = load_recipes()[variant.quantization.recipe]
    if recipe.form == "source" and model.ready_made is not None:
        yield _stored(variant, model, model.ready_made)
        yield _tables(variant, model)
        yield _whole(variant, model)
        return
    split = [one for one in model.weights if one.split != "none"]
    quantized = [one for one in split if not one.is_left_out(recipe.left_out)]
    left_out = [one for one in split if one.is_left_out(recipe.left_out)]
    if quantized:
        yield _linear("linear weights", variant, model, quantized, linear_bits(variant, recipe, model))
    if left_out:
        bits = 8.0 * model.dtype_bytes
        yield _linear(f"linear weights that {recipe.name} leaves out", variant, model, left_out, bits)
    yield _tables(variant, model)
    yield _whole(variant, model)
    if model.surplus_bytes > 0:
        yield MemoryLine(
            what="weights that config.json does not explain",
            bytes=model.surplus_bytes,
            arithmetic=f"safetensors {model.checkpoint_bytes:,} B - counted {model.counted_bytes:,} B",
        )


def _stored(variant: ResolvedVariant, model: ModelFacts, files: StoredWeights) -> MemoryLine:
    """What a device holds of a ready-made checkpoint besides tables and norms: bytes of its files."""
    tensor, layers = variant.tensor_parallel, _layers(variant, model)
    tables_in_it = tables(model, load_kinds()[variant.engine.kind].export_format) * model.table_parameters
    plain = (tables_in_it + model.norm_parameters) * model.dtype_bytes
    linear = max(0, files.bytes - plain)
    whole = sum(one.parameters for one in model.weights)
    here = sum(one.parameters_with(tensor) for one in model.weights)
    return MemoryLine(
        what="linear weights, ready-made",
        bytes=ceil(linear * layers / model.layers * here / whole),
        arithmetic=(
            f"({files.bytes:,} B of its safetensors - {plain:,} B of tables and norms) "
            f"x {layers} / {model.layers} layers x {here:,} / {whole:,} weights of a layer"
        ),
    )


def _linear(
    what: str, variant: ResolvedVariant, model: ModelFacts, weights: Sequence[Weight], bits: float | None
) -> MemoryLine:
    tensor, layers = variant.tensor_parallel, _layers(variant, model)
    parameters = sum(one.parameters for one in weights)
    here = sum(one.parameters_with(tensor) for one in weights)
    repeated = here - ceil(parameters / tensor)
    more = f" + {repeated:,} of heads that repeat" if repeated >= tensor else ""
    known = bits if bits is not None else 8.0 * model.dtype_bytes
    limit = "" if bits is not None else f" ({model.dtype})"
    return MemoryLine(
        what=what,
        bytes=ceil(layers * here * known / 8),
        arithmetic=(
            f"{_stages(variant, model)} x {_divided(parameters, tensor, more)} x {known:g} bits / 8{limit}"
        ),
        known_after=QUANTIZE if bits is None else None,
    )


def _divided(parameters: int, tensor: int, more: str) -> str:
    divided = f"{parameters:,} weights / tp {tensor}"
    return f"({divided}{more})" if more else divided


def _tables(variant: ResolvedVariant, model: ModelFacts) -> MemoryLine:
    tensor = variant.tensor_parallel
    count = tables(model, load_kinds()[variant.engine.kind].export_format)
    here, place = (1, "1 at either end") if variant.pipeline_parallel > 1 else (count, f"{count}")
    rows = ceil(model.vocab_size / tensor)
    return MemoryLine(
        what="embedding and lm_head" if count > 1 else "embedding, shared with lm_head",
        bytes=here * rows * model.hidden_size * model.dtype_bytes,
        arithmetic=(
            f"{place} x ceil({model.vocab_size:,} rows / tp {tensor}) x {model.hidden_size:,} "
            f"x {model.dtype_bytes} B"
        ),
    )


def _whole(variant: ResolvedVariant, model: ModelFacts) -> MemoryLine:
    """What every device of a pipeline stage holds undivided: norms, and routers of experts."""
    layers = _layers(variant, model)
    routers = sum(one.parameters for one in model.weights if one.split == "none")
    return MemoryLine(
        what="norms" if not routers else "norms and routers",
        bytes=((2 * layers + 1) * model.hidden_size + layers * routers) * model.dtype_bytes,
        arithmetic=f"((2 x {layers} + 1) x {model.hidden_size:,}"
        + (f" + {layers} x {routers:,}" if routers else "")
        + f") x {model.dtype_bytes} B",
    )


def _kv_cache(variant: ResolvedVariant, model: ModelFacts, cached_tokens: int | None) -> MemoryLine:
    kv_cache = load_kv_caches()[_cache_name(variant, model)]
    tensor, shape = variant.tensor_parallel, variant.shape
    bits = kv_bits(kv_cache, model)
    heads = max(1, ceil(model.key_value_heads / tensor))
    tokens, held = (
        shape.max_batch_size * shape.max_seq_len,
        f"{shape.max_batch_size} sequences x {shape.max_seq_len:,}",
    )
    if cached_tokens is not None:
        tokens, held = cached_tokens, f"{cached_tokens:,}"
    values = 2 * _layers(variant, model) * heads * model.head_dim * tokens
    return MemoryLine(
        what=f"KV cache ({kv_cache.name if kv_cache.bits else model.dtype})",
        bytes=ceil(values * bits / 8),
        arithmetic=(
            f"2 x {_stages(variant, model)} x {heads} heads ({model.key_value_heads} / tp {tensor}) "
            f"x {model.head_dim} x {bits:g} bits / 8 x {held} tokens"
        ),
    )


def _cache_name(variant: ResolvedVariant, model: ModelFacts) -> str:
    """Return the format of the KV cache; a ready-made checkpoint's own files say it."""
    asked = variant.quantization
    return model.ready_made.kv_cache if asked.source and model.ready_made else asked.kv_cache


def kv_bits(kv_cache: KvCacheFormat, model: ModelFacts) -> float:
    """Return the bits of one stored key or value with its share of the scales."""
    if kv_cache.bits is None:
        return 8.0 * model.dtype_bytes
    return kv_cache.bits + _scale_share(kv_cache)


def _scale_share(row: Recipe | KvCacheFormat) -> float:
    return row.scale_bits / row.group_size if row.group_size else 0.0


def _activations(variant: ResolvedVariant, model: ModelFacts) -> MemoryLine:
    """What one layer holds per token, as if nothing were freed before the layer ends.

    That is twice the residual, undivided; and q, k, v, the output of attention and three times the inner
    width, which tensor parallelism divides.
    """
    tensor, tokens = variant.tensor_parallel, variant.shape.max_num_tokens
    active = model.experts.active if model.experts else 1
    key_value_heads = max(model.key_value_heads, tensor)
    attention = (2 * model.attention_heads + 2 * key_value_heads) * model.head_dim
    inner = 3 * model.intermediate_size * active
    per_token = 2 * model.hidden_size + ceil((attention + inner) / tensor)
    return MemoryLine(
        what="activations",
        bytes=tokens * per_token * model.dtype_bytes,
        arithmetic=(
            f"{tokens:,} tokens x (2 x {model.hidden_size:,} + ({attention:,} + {inner:,}) / tp {tensor}) "
            f"x {model.dtype_bytes} B"
        ),
    )


def _logits(variant: ResolvedVariant, model: ModelFacts) -> MemoryLine:
    sequences = variant.shape.max_batch_size
    return MemoryLine(
        what="logits",
        bytes=sequences * model.vocab_size * LOGIT_BYTES,
        arithmetic=f"{sequences} sequences x {model.vocab_size:,} x {LOGIT_BYTES} B (float32)",
    )


def _step_graphs(variant: ResolvedVariant, model: ModelFacts) -> Iterator[MemoryLine]:
    """What CUDA graphs for 1, 2, 4, ... sequences hold between steps: less than twice the logits of one."""
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


def _reserves(target: Target) -> Iterator[MemoryLine]:
    if target.accelerator != "cuda":
        return
    for reserve in load_memory_rules().reserves:
        yield MemoryLine(
            what=reserve.what, bytes=reserve.bytes, arithmetic=f"{reserve.bytes:,} B on every GPU"
        )


def _budget(target: Target) -> tuple[int | None, str]:
    if target.memory_bytes is None:
        return None, f"{target.name}: the target fixes no memory"
    share = load_memory_rules().usable_share
    return int(target.memory_bytes * share), f"{target.name}: {target.memory_bytes:,} B x {share:g}"


def _layers(variant: ResolvedVariant, model: ModelFacts) -> int:
    """Layers of the longest stage of the pipeline."""
    return ceil(model.layers / variant.pipeline_parallel)


def _stages(variant: ResolvedVariant, model: ModelFacts) -> str:
    layers = _layers(variant, model)
    if variant.pipeline_parallel == 1:
        return f"{layers} layers"
    return f"{layers} layers (ceil({model.layers} / pp {variant.pipeline_parallel}))"
