"""Memory of what drafts tokens: its weights, and its keys and values."""

from collections.abc import Iterator

from engine_specs.preflight.decoder import spread_of
from engine_specs.preflight.memory.plain import unquantized
from engine_specs.preflight.memory.records import MemoryLine
from engine_specs.preflight.memory.weights import weight_lines
from engine_specs.preflight.memory.working_set import kv_cache
from engine_specs.preflight.model_facts import ModelFacts
from engine_specs.spec import ResolvedVariant


def drafting(variant: ResolvedVariant, model: ModelFacts, cached_tokens: int | None) -> Iterator[MemoryLine]:
    """Yield what drafts, and its cache: of as many tokens as the engine's, in the same format.

    A smaller model is divided between devices like the engine; of a head, each is taken to hold all.
    """
    asked, draft = variant.speculative, model.draft
    if asked is None or draft is None:
        return
    if asked.method == "eagle3":
        held, arithmetic = draft.checkpoint_bytes, f"{draft.checkpoint_bytes:,} B of its safetensors"
    elif asked.method == "mtp":
        spread = spread_of(variant)
        here = sum(
            draft.layers_with(one, draft.layers) * one.parameters_with(spread) for one in draft.weights
        )
        held, arithmetic = here * draft.dtype_bytes, f"{here:,} weights x {draft.dtype_bytes} B"
    else:
        lines = list(weight_lines(unquantized(variant), draft))
        held = sum(line.bytes for line in lines)
        arithmetic = " + ".join(f"{line.what} {line.bytes:,} B" for line in lines)
    yield MemoryLine(what=f"weights that draft ({asked.method})", bytes=held, arithmetic=arithmetic)
    # A ready-made checkpoint's own files say how its keys and values are stored; its draft's say nothing.
    plain = unquantized(variant) if variant.quantization.source else variant
    cache = kv_cache(plain, draft, cached_tokens)
    yield cache.model_copy(update={"what": "KV cache of what drafts"})
