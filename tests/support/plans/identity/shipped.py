"""Which stages of the shipped specs use something: what a related edit of a table has to reach."""

from collections.abc import Callable

from engine_specs.spec import ResolvedVariant, Spec, list_specs, load_spec, resolve_variants
from engine_specs.tables import load_kinds


def using(uses: Callable[[Spec, ResolvedVariant], bool], *stages: str) -> tuple[str, ...]:
    """These stages of all shipped variants that use something; the last stage stands for itself."""
    used = [f"{spec.name}/{one.name}" for spec, one in _shipped() if uses(spec, one)]
    return tuple(f"{variant}/{stage}" for variant in used for stage in stages)


def of_kind(name: str, *stages: str) -> tuple[str, ...]:
    """These stages of all shipped variants of a kind."""
    return using(lambda _, variant: variant.engine.kind == name, *stages)


def built_with(toolchain: str) -> tuple[str, ...]:
    """The build of all shipped variants that a toolchain builds."""
    return using(
        lambda _, one: load_kinds()[one.engine.kind].toolchains.build[one.target.accelerator] == toolchain,
        "build",
    )


def quantized_otherwise(_spec: Spec, variant: ResolvedVariant) -> bool:
    """Whether vLLM on a GPU does not load what a variant is quantized to, and quantizes by itself instead."""
    kind, recipe = load_kinds()[variant.engine.kind], variant.quantization.recipe
    loads = kind.export_format == "hf" and load_kinds()["vllm"].recipe(recipe) is not None
    return variant.target.gpu is not None and recipe != "none" and not loads


def _shipped() -> tuple[tuple[Spec, ResolvedVariant], ...]:
    """All variants of the shipped specs, each with its spec."""
    specs = [load_spec(path) for path in list_specs()]
    return tuple((spec, variant) for spec in specs for variant in resolve_variants(spec))
