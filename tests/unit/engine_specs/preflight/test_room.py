"""Pre-flight of room: what does not fit names the settings of which each alone would."""

import re

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support.specs.gpu import CONFIG, FILES, SHAPE, gpu_variant, preflight

from engine_specs.preflight import examine
from engine_specs.preflight.build_host import required_host_memory
from engine_specs.preflight.memory import estimate_memory
from engine_specs.preflight.model_facts import ModelFacts, read_model_facts
from engine_specs.preflight.room import (
    CPU_CACHE,
    CPU_CACHE_BYTES,
    NO_SINGLE_SETTING,
    host_memory_problems,
    memory_problems,
)
from engine_specs.spec import ResolvedVariant, Spec
from engine_specs.tables import load_targets
from tasks.toolchains import declaration

LARGE = SHAPE.model_copy(update={"max_batch_size": 100})
CONFIG_70B = CONFIG | {"hidden_size": 8192, "intermediate_size": 28672, "num_attention_heads": 64}
CONFIG_70B |= {"num_hidden_layers": 80}


@pytest.fixture
def model() -> ModelFacts:
    read = read_model_facts(CONFIG, FILES)
    assert isinstance(read, ModelFacts)
    return read


def applied(variant: ResolvedVariant, setting: str) -> list[ResolvedVariant]:
    """The variant with one of the settings that a refusal names."""
    name, _, values = setting.partition(" ")
    match name:
        case "max_batch_size" | "max_seq_len":
            shape = variant.shape.model_copy(update={name: int(values)})
            return [variant.model_copy(update={"shape": shape})]
        case "tensor_parallel":
            return [variant.model_copy(update={name: int(values)})]
        case "target":
            return [variant.model_copy(update={name: load_targets()[one]}) for one in values.split(", ")]
        case _:
            quantization = variant.quantization.model_copy(update={name: values})
            return [variant.model_copy(update={"quantization": quantization})]


def test_every_named_setting_alone_makes_it_fit(spec: Spec, model: ModelFacts) -> None:
    variant = gpu_variant(spec, "trt-plan", "h100-sxm", "fp8", shape=LARGE)
    (problem,) = preflight(spec, variant, CONFIG, FILES)
    assert problem.field == "variants.first.target"
    assert re.match(
        r"h100-sxm with 77\.0 GB to plan for on each device, but 1\d\d\.\d GB are needed", problem.found
    )
    settings = problem.accepted.removeprefix("one of: ").split("; ")
    assert [one.partition(" ")[0] for one in settings] == [
        "max_batch_size",
        "max_seq_len",
        "tensor_parallel",
        "kv_cache",
        "target",
    ]
    for setting in settings:
        for changed in applied(variant, setting):
            assert estimate_memory(changed, model).fit == "fits", setting


@given(
    target=st.sampled_from([one.name for one in load_targets().values() if one.gpu]),
    recipe=st.sampled_from(["none", "fp8", "int4_awq", "nvfp4"]),
    kv_cache=st.sampled_from(["none", "fp8"]),
    batch=st.integers(2, 2048),
    length=st.integers(4097, 131072),
    tensor_parallel=st.sampled_from([1, 2, 4, 8]),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_for_what_is_named_fits(
    spec: Spec,
    model: ModelFacts,
    target: str,
    recipe: str,
    kv_cache: str,
    batch: int,
    length: int,
    tensor_parallel: int,
) -> None:
    shape = SHAPE.model_copy(update={"max_batch_size": batch, "max_seq_len": length})
    variant = gpu_variant(
        spec, "trtllm-torch", target, recipe, kv_cache, shape=shape, tensor_parallel=tensor_parallel
    )
    problems = tuple(memory_problems(spec, variant, model))
    assert bool(problems) == (estimate_memory(variant, model).fit == "exceeds")
    named = [one.accepted.removeprefix("one of: ") for one in problems if one.accepted != NO_SINGLE_SETTING]
    for setting in (one for text in named for one in text.split("; ")):
        for changed in applied(variant, setting):
            assert estimate_memory(changed, model).fit == "fits", setting


def test_the_named_sizes_are_the_largest_that_fit(spec: Spec, model: ModelFacts) -> None:
    variant = gpu_variant(spec, "trt-plan", "h100-sxm", "fp8", shape=LARGE)
    (problem,) = preflight(spec, variant, CONFIG, FILES)
    for name in ("max_batch_size", "max_seq_len"):
        found = re.search(rf"{name} (\d+)", problem.accepted)
        assert found
        (one_more,) = applied(variant, f"{name} {int(found[1]) + 1}")
        assert estimate_memory(one_more, model).fit == "exceeds"


def test_a_smaller_kv_cache_and_smaller_weights_are_named(spec: Spec, model: ModelFacts) -> None:
    shape = SHAPE.model_copy(update={"max_batch_size": 32})
    variant = gpu_variant(spec, "trt-plan", "l40s", "fp8", shape=shape)
    (problem,) = preflight(spec, variant, CONFIG, FILES)
    assert "kv_cache fp8" in problem.accepted
    tight = gpu_variant(
        spec, "trt-plan", "l40s", "none", shape=shape.model_copy(update={"max_batch_size": 24})
    )
    (problem,) = preflight(spec, tight, CONFIG, FILES)
    assert "recipe fp8" in problem.accepted
    for setting in ("recipe fp8", "kv_cache fp8"):
        assert all(estimate_memory(one, model).fit == "fits" for one in applied(tight, setting))


def test_sizes_that_rules_or_workload_forbid_are_not_named(spec: Spec) -> None:
    long_input = SHAPE.model_copy(update={"max_input_len": 8191, "max_batch_size": 32})
    variant = gpu_variant(spec, "trt-plan", "l40s", "fp8", shape=long_input)
    (problem,) = preflight(spec, variant, CONFIG, FILES)
    assert "max_seq_len" not in problem.accepted
    assert "max_batch_size" in problem.accepted
    busy = spec.model_copy(update={"workload": spec.workload.model_copy(update={"operating_point": 32})})
    (problem,) = preflight(busy, variant, CONFIG, FILES)
    assert "max_batch_size" not in problem.accepted


def test_devices_that_do_not_divide_are_not_named(spec: Spec) -> None:
    variant = gpu_variant(spec, "trt-plan", "h100-sxm", "fp8", shape=LARGE, tensor_parallel=1)
    config = CONFIG | {"hidden_size": 4032, "num_attention_heads": 28, "num_key_value_heads": 7}
    (problem,) = preflight(spec, variant, config, FILES)
    assert "tensor_parallel 7" in problem.accepted


def test_where_nothing_alone_is_enough_it_says_so(spec: Spec) -> None:
    variant = gpu_variant(
        spec, "trt-plan", "a10", "none", shape=LARGE.model_copy(update={"max_batch_size": 4096})
    )
    config = CONFIG_70B | {"num_hidden_layers": 800}
    (problem,) = preflight(spec, variant, config, FILES | {"model.safetensors": 1_373_000_000_000})
    assert problem.accepted == NO_SINGLE_SETTING


def test_an_estimate_that_a_stage_has_to_give_is_not_refused(spec: Spec) -> None:
    shape = SHAPE.model_copy(update={"max_batch_size": 24})
    variant = gpu_variant(spec, "trtllm-torch", "l40s", "modelopt_file", "fp8", shape=shape)
    tight = variant.model_copy(update={"target": load_targets()["l4"], "shape": SHAPE})
    for one, fit in ((variant, "fits"), (tight, "known after quantize")):
        examined = examine(spec, one, CONFIG, FILES)
        assert examined.memory is not None
        assert (examined.memory.fit, examined.problems) == (fit, ())


def test_a_reference_that_does_not_fit_is_a_warning(spec: Spec) -> None:
    config = CONFIG_70B | {"transformers_version": "4.47.0"}
    files = FILES | {"model.safetensors": 141_107_497_872}
    shape = SHAPE.model_copy(update={"max_batch_size": 8})
    variant = gpu_variant(spec, "trt-plan", "h200", "fp8", "fp8", shape=shape)
    examined = examine(spec, variant, config, files)
    assert examined.problems == ()
    (warning,) = examined.warnings
    assert warning.startswith("vLLM, the reference, needs 144")
    two = examine(spec, variant.model_copy(update={"tensor_parallel": 2}), config, files)
    assert (two.problems, two.warnings) == ((), ())


def test_a_cache_on_processors_that_is_too_small_for_the_workload_is_a_warning(spec: Spec) -> None:
    """vLLM would have to wait for room, and an engine would seem faster than it is."""
    shape = SHAPE.model_copy(update={"max_batch_size": 32, "max_seq_len": 1024, "max_input_len": 512})
    variant = gpu_variant(spec, "aot-inductor", "cpu-x86-64-v3", "none", shape=shape)
    few = spec.workload.model_copy(update={"input_tokens": 32, "output_tokens": 16, "concurrency": (1,)})
    many = few.model_copy(update={"input_tokens": 512, "output_tokens": 128, "concurrency": (1, 32)})
    found = [
        examine(spec.model_copy(update={"workload": load}), variant, CONFIG, FILES).warnings
        for load in (few, many)
    ]
    assert found[0] == ()
    ((warning,),) = found[1:]
    assert "has room for 1.1 GB of keys and values on processors, and the workload keeps 2.7 GB" in warning
    assert "(20,480 tokens)" in warning
    assert warning.endswith("Hand VLLM_CPU_KVCACHE_SPACE=3 to all tools ([tool_env])")


def test_the_cache_on_processors_is_what_the_toolchain_sets() -> None:
    assert int(declaration("vllm-cpu").env[CPU_CACHE]) << 30 == CPU_CACHE_BYTES


def test_a_full_disk_is_reported_before_anything_is_fetched(spec: Spec) -> None:
    variant = gpu_variant(spec)
    disk = examine(spec, variant, CONFIG, FILES).disk
    assert disk is not None
    assert preflight(spec, variant, CONFIG, FILES, free_disk_bytes=disk.total_bytes) == ()
    (problem,) = preflight(spec, variant, CONFIG, FILES, free_disk_bytes=disk.total_bytes - 10**9)
    assert problem.field == "this host's disk"
    assert problem.accepted.startswith(
        "50.3 GB (checkpoint 32.1 GB, quantized checkpoint 9.1 GB, engine 9.1 GB)"
    )


def test_what_a_build_writes_by_hand(spec: Spec) -> None:
    fetched = sum(FILES.values())
    quantized = 32 * 218_103_808 + 2 * (2 * 128_256 * 4096 + 65 * 4096)
    disk = examine(spec, gpu_variant(spec), CONFIG, FILES).disk
    assert disk is not None
    assert [line.bytes for line in disk.lines] == [2 * fetched, quantized, quantized]
    as_it_is = examine(spec, gpu_variant(spec, "trtllm-torch", recipe="none"), CONFIG, FILES).disk
    assert as_it_is is not None
    assert [line.what for line in as_it_is.lines] == ["checkpoint", "engine"]
    assert as_it_is.lines[1].bytes == 16_060_522_496


@pytest.mark.parametrize(
    ("kind", "recipe", "device", "whats"),
    [
        ("trt-plan", "fp8", "cpu", ["model that is quantized", "copies of the export"]),
        ("trt-plan", "fp8", "cuda", ["weights and plans of trtllm-build"]),
        ("trtllm-torch", "fp8", "cpu", ["model that is quantized"]),
        ("trtllm-torch", "fp8", "cuda", []),
    ],
)
def test_the_hosts_memory_is_what_the_largest_step_holds(
    spec: Spec, model: ModelFacts, kind: str, recipe: str, device: str, whats: list[str]
) -> None:
    made = gpu_variant(spec, kind, "h100-sxm", recipe)
    quantization = made.quantization.model_copy(update={"device": device})
    variant = made.model_copy(update={"quantization": quantization})
    lines = required_host_memory(variant, model)
    assert [line.what for line in lines] == whats
    needed = sum(line.bytes for line in lines)
    assert list(host_memory_problems(variant, model, needed)) == []
    assert list(host_memory_problems(variant, model, None)) == []
    short = list(host_memory_problems(variant, model, max(needed - 1, 0)))
    assert [problem.field for problem in short] == ["this host's memory"] * bool(whats)
    assert all(what in problem.accepted for problem in short for what in whats)


def test_an_export_of_several_ranks_holds_the_weights_more_than_once(spec: Spec, model: ModelFacts) -> None:
    made = gpu_variant(spec, "trt-plan", "h100-sxm", "none")
    on_cpu = made.quantization.model_copy(update={"device": "cpu", "kv_cache": "none"})
    variant = made.model_copy(update={"tensor_parallel": 2, "quantization": on_cpu})
    whole, copies = required_host_memory(variant, model)
    assert whole.bytes * 3 // 2 <= copies.bytes <= whole.bytes * 3 // 2 + 1
    assert whole.bytes > model.linear_parameters * model.dtype_bytes
