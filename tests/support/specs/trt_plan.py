"""Variants of kind trt-plan, as a spec would resolve to them."""

from typing import Any

from engine_specs.spec import RecipeSearch, ResolvedVariant, Shape
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_kinds, load_targets

KIND = "trt-plan"
SMALL = Shape(max_batch_size=8, max_input_len=128, max_seq_len=192, max_num_tokens=256)


def variant(
    target: str = "h100-sxm",
    recipe: str = "fp8",
    kv_cache: str = "fp8",
    shape: Shape = SMALL,
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
    llm_args: dict[str, Any] | None = None,
    **options: Any,
) -> ResolvedVariant:
    """A variant with every option of the kind, those of `options` and `llm_args` as given.

    Recipe auto searches among every candidate of the kind.
    """
    candidates = {row.name: row.candidates for row in load_kinds()[KIND].recipes}.get(recipe)
    search = RecipeSearch(effective_bits=7.0, candidates=candidates) if candidates else None
    defaults = {option.name: option.default for option in load_kinds()[KIND].options}
    assert set(options) <= set(defaults)
    return ResolvedVariant(
        name="a-variant",
        target=load_targets()[target],
        tensor_parallel=tensor_parallel,
        pipeline_parallel=pipeline_parallel,
        engine=Engine(kind=KIND, options=defaults | options, llm_args=llm_args or {}),
        quantization=Quantization(recipe=recipe, kv_cache=kv_cache, device="cpu", search=search),
        shape=shape,
    )
