"""Memory of weights: layers as they are quantized, ready-made files, of tables, and what is undivided."""

from collections.abc import Iterator, Sequence
from math import ceil

from engine_specs.preflight.decoder import Spread, Weight, spread_of
from engine_specs.preflight.memory.records import QUANTIZE, MemoryLine
from engine_specs.preflight.memory.stages import stage_layers, stage_text
from engine_specs.preflight.model_facts import ModelFacts, StoredWeights
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import KvCacheFormat, Recipe, load_kinds, load_recipes

UNDIVIDED = "norms, routers and projections that compress"
# Dimensions of an expert as kernels for MXFP4 lay it out are multiples of these at most: vllm 0.32.0,
# model_executor/layers/fused_moe/oracle/mxfp4.py, mxfp4_round_up_hidden_size_and_intermediate_size.
PADDED_HIDDEN, PADDED_INNER = 256, 128


def linear_bits(variant: ResolvedVariant, recipe: Recipe, model: ModelFacts) -> float | None:
    """Return the bits of a quantized weight with its share of the scales; None if known after quantize.

    A search keeps to its mean bits, but does not count the scales of some formats (modelopt 0.47,
    torch/quantization/algorithms.py): the largest share of its candidates is added.
    """
    search = variant.quantization.search
    if search is not None:
        return search.effective_bits + max(scale_share(load_recipes()[name]) for name in search.candidates)
    if recipe.form == "file":
        return None
    if recipe.weight_bits is None:
        return 8.0 * model.dtype_bytes
    return recipe.weight_bits + scale_share(recipe)


def quantized_parameters(recipe: Recipe, model: ModelFacts) -> int:
    """Count the weights of all decoder layers that a recipe quantizes."""
    return sum(
        model.layers_with(one, model.layers) * one.parameters
        for one in model.weights
        if not one.is_left_out(recipe.left_out)
    )


def tables(model: ModelFacts, export_format: str) -> int:
    """Count the tables of the size of the embedding that an engine holds.

    Tied ones are one table in Hugging Face's layout; ModelOpt's export for TensorRT-LLM writes lm_head next
    to the embedding (modelopt 0.37.0, torch/export/model_config_export.py), except for Gemma.
    """
    shared = model.tied_embeddings and (export_format == "hf" or model.architecture.startswith("Gemma"))
    return 1 if shared else 2


def weight_lines(variant: ResolvedVariant, model: ModelFacts) -> Iterator[MemoryLine]:
    """Yield what a device holds of the weights, and of what is made of them when they are loaded."""
    recipe = load_recipes()[variant.quantization.recipe]
    if recipe.form == "source" and model.ready_made is not None:
        yield from _stored(variant, model, model.ready_made)
        yield from _never_quantized(variant, model)
        return
    split = [one for one in model.weights if one.split != "none"]
    quantized = [one for one in split if not one.is_left_out(recipe.left_out)]
    left_out = [one for one in split if one.is_left_out(recipe.left_out)]
    if quantized:
        yield from _linear("linear weights", variant, model, quantized, linear_bits(variant, recipe, model))
    if left_out:
        bits = 8.0 * model.dtype_bytes
        yield from _linear(f"linear weights that {recipe.name} leaves out", variant, model, left_out, bits)
    yield from _never_quantized(variant, model)
    if model.surplus_bytes > 0:
        yield MemoryLine(
            what="weights that config.json does not explain",
            bytes=model.surplus_bytes,
            arithmetic=f"safetensors {model.checkpoint_bytes:,} B - counted {model.counted_bytes:,} B",
        )


def _never_quantized(variant: ResolvedVariant, model: ModelFacts) -> Iterator[MemoryLine]:
    yield _tables(variant, model)
    yield _whole(variant, model)
    yield from _vision(model)
    yield from _absorbed(variant, model)


def _stored(variant: ResolvedVariant, model: ModelFacts, files: StoredWeights) -> Iterator[MemoryLine]:
    """Yield what a device holds of a ready-made checkpoint besides what is whole on each: bytes of files.

    Which of its weights have how many bits is not known: those that are no experts count in full, as each
    device holds more of them than of the experts.
    """
    spread, stage = spread_of(variant), stage_layers(variant, model)
    tables_in_it = tables(model, load_kinds()[variant.engine.kind].export_format) * model.table_parameters
    undivided = _parameters(model, [one for one in model.weights if one.split == "none"])
    plain = tables_in_it + model.norm_parameters + model.vision_parameters + undivided
    linear = max(0, files.bytes - plain * model.dtype_bytes)
    rest = [one for one in model.weights if one.split != "none" and not one.of_experts]
    others = linear if model.experts is None else min(linear, _parameters(model, rest) * model.dtype_bytes)
    yield _share("linear weights, ready-made", others, rest, spread, stage, model)
    if model.experts is not None:
        experts = [one for one in model.weights if one.of_experts]
        line = _share("experts, ready-made", linear - others, experts, spread, stage, model)
        yield _padded(line, model.hidden_size, model.experts.inner, spread) if files.padded else line


def _share(
    what: str, whole_bytes: int, weights: Sequence[Weight], spread: Spread, stage: int, model: ModelFacts
) -> MemoryLine:
    """Divide the bytes that some weights take in files as the weights are divided."""
    whole = _parameters(model, weights)
    here = sum(model.layers_with(one, stage) * one.parameters_with(spread) for one in weights)
    return MemoryLine(
        what=what,
        bytes=ceil(whole_bytes * here / whole),
        arithmetic=f"{whole_bytes:,} B of its safetensors x {here:,} / {whole:,} weights",
    )


def _parameters(model: ModelFacts, weights: Sequence[Weight]) -> int:
    """Count some weights in all layers that have them."""
    return sum(model.layers_with(one, model.layers) * one.parameters for one in weights)


def _padded(line: MemoryLine, hidden: int, width: int, spread: Spread) -> MemoryLine:
    """Round an expert's dimensions up, on each of the devices that divide it."""
    inner = ceil(width / spread.within)
    rows, columns = _up(hidden, PADDED_HIDDEN), _up(inner, PADDED_INNER)
    more = f" x {rows:,} x {columns:,} / ({hidden:,} x {inner:,}), padded"
    padded = ceil(line.bytes * rows * columns / (hidden * inner))
    return line.model_copy(update={"bytes": padded, "arithmetic": line.arithmetic + more})


def _up(size: int, multiple: int) -> int:
    return ceil(size / multiple) * multiple


def _linear(
    what: str, variant: ResolvedVariant, model: ModelFacts, weights: Sequence[Weight], bits: float | None
) -> Iterator[MemoryLine]:
    """Yield the weights of attention and dense blocks, and those of experts, which are spread otherwise."""
    stage, spread = stage_layers(variant, model), spread_of(variant)
    known = bits if bits is not None else 8.0 * model.dtype_bytes
    limit = "" if bits is not None else f" ({model.dtype})"
    for name, of_experts in ((what, False), (what.replace("linear weights", "experts"), True)):
        chosen = [one for one in weights if one.of_experts == of_experts]
        parts = [
            _part(variant, model, [one for one in chosen if (one.layers, one.role) == alike])
            for alike in dict.fromkeys((one.layers, one.role) for one in chosen)
        ]
        here = sum(model.layers_with(one, stage) * one.parameters_with(spread) for one in chosen)
        if chosen:
            yield MemoryLine(
                what=name,
                bytes=ceil(here * known / 8),
                arithmetic=f"{_sum_of(parts)} x {known:g} bits / 8{limit}",
                known_after=QUANTIZE if bits is None else None,
            )


def _sum_of(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"


def _part(variant: ResolvedVariant, model: ModelFacts, weights: Sequence[Weight]) -> str:
    """Say how the weights of the same layers are divided."""
    spread, number = spread_of(variant), model.layers_with(weights[0], stage_layers(variant, model))
    layers = stage_text(variant, model) if weights[0].layers == "all" else f"{number} layers"
    if weights[0].of_experts:
        count = weights[0].copies
        each = sum(one.parameters for one in weights) // count
        groups = f" / ep {spread.groups}" if spread.groups > 1 else ""
        return f"{layers} x {count} experts{groups} x {each:,} weights / tp {spread.within}"
    parameters, parts = sum(one.parameters for one in weights), weights[0].parts(spread)
    repeated = sum(one.parameters_with(spread) for one in weights) - ceil(parameters / parts)
    more = f" + {repeated:,} of heads that repeat" if repeated >= parts else ""
    return f"{layers} x {_divided(parameters, parts, more)}"


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
    """What every device of a pipeline stage holds undivided, such as norms and the routers of experts."""
    stage = stage_layers(variant, model)
    norms = (2 * stage + 1) * model.hidden_size
    parts = {
        one: model.layers_with(one, stage) * one.parameters for one in model.weights if one.split == "none"
    }
    what = "norms" if not parts else "norms and routers" if model.latent is None else UNDIVIDED
    listed = "".join(f" + {model.layers_with(one, stage)} x {one.parameters:,}" for one in parts)
    return MemoryLine(
        what=what,
        bytes=(norms + sum(parts.values())) * model.dtype_bytes,
        arithmetic=f"((2 x {stage} + 1) x {model.hidden_size:,}{listed}) x {model.dtype_bytes} B",
    )


def _vision(model: ModelFacts) -> Iterator[MemoryLine]:
    """What reads images: servers load it, and whether they divide it is not counted on."""
    if model.vision_parameters:
        yield MemoryLine(
            what="what reads images",
            bytes=model.vision_parameters * model.dtype_bytes,
            arithmetic=f"{model.vision_parameters:,} weights x {model.dtype_bytes} B, on every device",
        )


def _absorbed(variant: ResolvedVariant, model: ModelFacts) -> Iterator[MemoryLine]:
    """What latent attention holds for decoding: kv_b_proj once more, per head.

    vllm 0.32.0, model_executor/layers/attention/mla_attention.py (W_UK_T, W_UV); TensorRT-LLM's MLA has
    k_b_proj_trans and v_b_proj (tensorrt_llm/_torch/modules/attention.py).
    """
    if (latent := model.latent) is None:
        return
    heads, stage = ceil(model.attention_heads / variant.tensor_parallel), stage_layers(variant, model)
    width = latent.plain + latent.value
    yield MemoryLine(
        what="kv_b_proj, kept for decoding",
        bytes=stage * latent.rank * heads * width * model.dtype_bytes,
        arithmetic=(
            f"{stage_text(variant, model)} x {latent.rank} x {heads} heads "
            f"x ({latent.plain} + {latent.value}) x {model.dtype_bytes} B"
        ),
    )


def scale_share(row: Recipe | KvCacheFormat) -> float:
    """Return the bits of scales per stored number."""
    return row.scale_bits / row.group_size if row.group_size else 0.0
