"""A variant without its quantization: what vLLM serves for reference, and how a draft is served."""

from engine_specs.spec import ResolvedVariant


def unquantized(variant: ResolvedVariant) -> ResolvedVariant:
    """Return the variant as vLLM serves its checkpoint for reference."""
    plain = {"recipe": "none", "kv_cache": "none", "search": None, "source": None}
    quantization = variant.quantization.model_copy(update=plain)
    return variant.model_copy(update={"quantization": quantization})
