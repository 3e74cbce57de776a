"""Variants for GPUs and a checkpoint of eight billion weights, for tests of pre-flight."""

from typing import Any

from engine_specs.preflight import examine
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant, Shape, Spec, resolve_variants
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_targets
from support.specs.models import LLAMA_8B

CONFIG: dict[str, Any] = LLAMA_8B | {"transformers_version": "4.42.3"}
FILES = {"config.json": 855, "model.safetensors": 16_060_556_376, "tokenizer.json": 9_085_657}
SHAPE = Shape(max_batch_size=16, max_input_len=4096, max_seq_len=8192, max_num_tokens=8192)


def preflight(*judged: Any, **more: Any) -> tuple[Problem, ...]:
    """The problems that an examination finds."""
    return examine(*judged, **more).problems


def gpu_variant(
    spec: Spec,
    kind: str = "trt-plan",
    target: str = "h100-sxm",
    recipe: str = "fp8",
    kv_cache: str = "none",
    **changes: Any,
) -> ResolvedVariant:
    quantization = Quantization(recipe=recipe, kv_cache=kv_cache, device=changes.pop("device", "cuda"))
    quantization = quantization.model_copy(update={"search": changes.pop("search", None)})
    update = {
        "engine": Engine(kind=kind),
        "target": load_targets()[target],
        "quantization": quantization,
        "shape": SHAPE,
        **changes,
    }
    return resolve_variants(spec)[0].model_copy(update=update)
