"""What a worker accepts of a checkpoint: formats by the names of hf_quant_config.json."""

from engine_specs.spec import ResolvedVariant
from engine_specs.tables import load_kinds, load_kv_caches

# Other formats have no names there: pre-flight judges them by config.json, and workers do not.
BY_NAME = "modelopt"


def ready_made_algos(variant: ResolvedVariant) -> tuple[str, ...]:
    """Return the formats of weights that a variant's ready-made checkpoint may have; none without one."""
    if variant.quantization.source is None:
        return ()
    rows = load_kinds()[variant.engine.kind].ready_made
    taken = [row for row in rows if row.takes(variant.target.compute_capability)]
    return tuple(sorted({row.format if row.tool == BY_NAME else row.tool for row in taken}))


def kv_cache_algos(variant: ResolvedVariant) -> tuple[str | None, ...]:
    """Return the formats of the KV cache that a variant's checkpoint may have; None: as computed."""
    formats = load_kv_caches()
    if variant.quantization.source is None:
        return (formats[variant.quantization.kv_cache].quant_algo,)
    rows = load_kinds()[variant.engine.kind].kv_caches
    return tuple(formats[row.name].quant_algo for row in rows if row.takes(variant.target.compute_capability))
