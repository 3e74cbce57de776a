"""How much disk a build takes on the host that runs it: an upper estimate from metadata alone.

While an engine is built, the Hub client's cache and the store's local cache both hold the checkpoint, the
store's cache also holds the quantized one, and the engine is written next to them. While the engine is
measured, the store's cache holds all three.
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


def _built_as_fetched(variant: ResolvedVariant) -> bool:
    asked = variant.quantization
    plain = asked.recipe == "none" and asked.kv_cache == "none"
    return plain and load_kinds()[variant.engine.kind].export_format == "hf"


def _export_bytes(variant: ResolvedVariant, model: ModelFacts) -> int:
    """Count the bytes of a whole quantized checkpoint."""
    recipe = load_recipes()[variant.quantization.recipe]
    quantized = model.layers * quantized_parameters(recipe, model)
    bits = linear_bits(variant, recipe, model) or 8.0 * model.dtype_bytes
    count = tables(model, load_kinds()[variant.engine.kind].export_format)
    plain = model.linear_parameters - quantized + count * model.table_parameters + model.norm_parameters
    return ceil(quantized * bits / 8) + plain * model.dtype_bytes + max(0, model.surplus_bytes)
