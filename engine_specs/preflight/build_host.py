"""How much disk and memory a build takes of the host that runs it: upper estimates from metadata alone.

While an engine is built, the Hub client's cache and the store's local cache both hold the checkpoint, the
store's cache also holds the quantized one, and the engine is written next to them. While the engine is
measured, the store's cache holds all three.

ModelOpt holds a model that it quantizes on a CPU, and its export for TensorRT-LLM copies the weights of all
ranks, and those of the rank that it writes once more (modelopt 0.37.0, torch/export/postprocess.py);
trtllm-build holds the weights and the plan of every rank that it builds at the same time.
"""

from collections.abc import Mapping
from math import ceil

from pydantic import Field

from engine_specs.preflight.memory import QUANTIZE, MemoryLine, linear_bits, quantized_parameters, tables
from engine_specs.preflight.model_facts import ModelFacts
from engine_specs.reading import StrictFrozen
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import load_kinds, load_recipes


class DiskEstimate(StrictFrozen):
    """The disk space that a build host needs."""

    lines: tuple[MemoryLine, ...] = Field(description="What takes space on it.")
    total_bytes: int = Field(description="Sum of all lines.")


def required_disk(variant: ResolvedVariant, model: ModelFacts, file_bytes: Mapping[str, int]) -> DiskEstimate:
    """Estimate what fetching, quantizing and building a variant writes.

    Args:
        variant: what is built.
        model: facts of its checkpoint.
        file_bytes: size in bytes of each file of the checkpoint.
    """
    fetched, engine = sum(file_bytes.values()), _export_bytes(variant, model)
    bits = linear_bits(variant, load_recipes()[variant.quantization.recipe], model)
    known_after = QUANTIZE if bits is None else None
    lines = [
        MemoryLine(
            what="checkpoint",
            bytes=2 * fetched,
            arithmetic=f"{fetched:,} B in the Hub client's cache and again in the store's",
        )
    ]
    if variant.quantization.source:
        arithmetic = f"{engine:,} B in the Hub client's cache and again in the store's"
        lines.append(MemoryLine(what="ready-made checkpoint", bytes=2 * engine, arithmetic=arithmetic))
    if variant.speculative and variant.speculative.draft and model.draft:
        held = model.draft.checkpoint_bytes
        arithmetic = f"{held:,} B in the Hub client's cache, in the store's, and in the engine"
        lines.append(MemoryLine(what="draft", bytes=3 * held, arithmetic=arithmetic))
    if not _built_as_fetched(variant):
        arithmetic = "weights of all ranks, counted as for memory but undivided"
        lines.append(
            MemoryLine(
                what="quantized checkpoint", bytes=engine, arithmetic=arithmetic, known_after=known_after
            )
        )
    arithmetic = "an engine holds the weights once"
    lines.append(MemoryLine(what="engine", bytes=engine, arithmetic=arithmetic, known_after=known_after))
    return DiskEstimate(lines=tuple(lines), total_bytes=sum(line.bytes for line in lines))


def required_host_memory(variant: ResolvedVariant, model: ModelFacts) -> tuple[MemoryLine, ...]:
    """Estimate what the step that takes the most of the host's memory holds; empty if none takes much."""
    return max(_quantizing(variant, model), _compiling(variant, model), key=_sum)


def _sum(lines: tuple[MemoryLine, ...]) -> int:
    return sum(line.bytes for line in lines)


def _quantizing(variant: ResolvedVariant, model: ModelFacts) -> tuple[MemoryLine, ...]:
    if _built_as_fetched(variant):
        return ()
    layout = load_kinds()[variant.engine.kind].export_format
    tables_in_it = tables(model, layout) * model.table_parameters
    weights = (model.linear_parameters + tables_in_it + model.norm_parameters) * model.dtype_bytes
    lines, on_cpu = [], variant.quantization.device == "cpu"
    if on_cpu:
        arithmetic = f"all weights in {model.dtype}, on the CPU"
        lines.append(MemoryLine(what="model that is quantized", bytes=weights, arithmetic=arithmetic))
    if layout == "tensorrt-llm":
        ranks = variant.devices
        copies = weights + (ceil(weights / ranks) if on_cpu else 0)
        arithmetic = f"weights of {ranks} ranks" + (", and of one more while it is written" if on_cpu else "")
        lines.append(MemoryLine(what="copies of the export", bytes=copies, arithmetic=arithmetic))
    return tuple(lines)


def _compiling(variant: ResolvedVariant, model: ModelFacts) -> tuple[MemoryLine, ...]:
    if load_kinds()[variant.engine.kind].export_format != "tensorrt-llm":
        return ()
    weights = _export_bytes(variant, model)
    return (
        MemoryLine(
            what="weights and plans of trtllm-build",
            bytes=2 * weights,
            arithmetic=f"2 x {weights:,} B, all ranks at the same time",
        ),
    )


def _built_as_fetched(variant: ResolvedVariant) -> bool:
    asked = variant.quantization
    plain = asked.recipe == "none" and asked.kv_cache == "none"
    return (plain or asked.source is not None) and load_kinds()[variant.engine.kind].export_format == "hf"


def _export_bytes(variant: ResolvedVariant, model: ModelFacts) -> int:
    """Count the bytes of a whole quantized checkpoint."""
    if variant.quantization.source and model.ready_made:
        return model.ready_made.bytes
    recipe = load_recipes()[variant.quantization.recipe]
    quantized = quantized_parameters(recipe, model)
    bits = linear_bits(variant, recipe, model) or 8.0 * model.dtype_bytes
    count = tables(model, load_kinds()[variant.engine.kind].export_format)
    plain = model.linear_parameters - quantized + count * model.table_parameters + model.norm_parameters
    plain += model.vision_parameters
    return ceil(quantized * bits / 8) + plain * model.dtype_bytes + max(0, model.surplus_bytes)
