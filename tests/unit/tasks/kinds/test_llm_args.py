"""What a spec passes through to TensorRT-LLM: added to what it decides, never against it."""

from typing import Any

import pytest
from support.specs.trt_plan import variant as plan_variant

from engine_specs.spec import ResolvedVariant, Shape
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_kinds, load_llm_args, load_targets
from tasks.kinds import kind_named


def torch_variant(llm_args: dict[str, Any] | None = None, **options: Any) -> ResolvedVariant:
    """A variant of the PyTorch kind."""
    defaults = {row.name: row.default for row in load_kinds()["trtllm-torch"].options}
    return ResolvedVariant(
        name="v",
        target=load_targets()["b200"],
        engine=Engine(kind="trtllm-torch", options=defaults | options, llm_args=llm_args or {}),
        quantization=Quantization(recipe="nvfp4", kv_cache="fp8", device="cuda"),
        shape=Shape(max_batch_size=64, max_input_len=1024, max_seq_len=2048, max_num_tokens=8192),
    )


def variant_of(kind: str, llm_args: dict[str, Any]) -> ResolvedVariant:
    """A variant of a kind that passes these arguments."""
    return plan_variant(llm_args=llm_args) if kind == "trt-plan" else torch_variant(llm_args)


@pytest.mark.parametrize("kind", ["trt-plan", "trtllm-torch"])
def test_what_is_passed_is_added_to_what_is_decided(kind: str) -> None:
    passed = {
        "kv_cache_config": {"copy_on_partial_reuse": False},
        "guided_decoding_backend": "xgrammar",
        "scheduler_config": {"context_chunking_policy": "EQUAL_PROGRESS"},
    }
    asked, plain = variant_of(kind, passed), variant_of(kind, {})
    assert kind_named(kind).option_problems(asked) == ()
    given = kind_named(kind).build_job(asked).params.llm_args
    default = kind_named(kind).build_job(plain).params.llm_args
    assert given["guided_decoding_backend"] == "xgrammar"
    assert given["kv_cache_config"] == default["kv_cache_config"] | {"copy_on_partial_reuse": False}
    assert given["scheduler_config"]["context_chunking_policy"] == "EQUAL_PROGRESS"
    assert {**default, **given} == given
    assert given != default


@pytest.mark.parametrize(
    ("kind", "passed", "path", "by"),
    [
        ("trt-plan", {"max_batch_size": 4}, "max_batch_size", "shape.max_batch_size"),
        ("trt-plan", {"max_num_tokens": 1}, "max_num_tokens", "shape.max_num_tokens"),
        ("trt-plan", {"tensor_parallel_size": 2}, "tensor_parallel_size", "tensor_parallel"),
        (
            "trt-plan",
            {"kv_cache_config": {"free_gpu_memory_fraction": 0.5}},
            "kv_cache_config.free_gpu_memory_fraction",
            "engine.options.kv_cache_free_gpu_memory_fraction",
        ),
        (
            "trt-plan",
            {"extended_runtime_perf_knob_config": {"cuda_graph_mode": False}},
            "extended_runtime_perf_knob_config.cuda_graph_mode",
            "engine.options.cuda_graph_mode",
        ),
        ("trtllm-torch", {"max_seq_len": 4096}, "max_seq_len", "shape.max_seq_len"),
        (
            "trtllm-torch",
            {"kv_cache_config": {"dtype": "nvfp4"}},
            "kv_cache_config.dtype",
            "quantization.kv_cache",
        ),
        ("trtllm-torch", {"enable_autotuner": False}, "enable_autotuner", "the kind"),
        (
            "trtllm-torch",
            {"torch_compile_config": {"enable_inductor": True}},
            "torch_compile_config.enable_inductor",
            "engine.options.torch_compile",
        ),
    ],
)
def test_what_contradicts_the_spec_is_refused_and_named(
    kind: str, passed: dict[str, Any], path: str, by: str
) -> None:
    asked = variant_of(kind, passed)
    (problem,) = kind_named(kind).option_problems(asked)
    assert problem.field == f"variants.{asked.name}.engine.llm_args.{path}"
    assert by in problem.accepted


@pytest.mark.parametrize("passed", [{"max_batch_size": 8}, {"kv_cache_config": {}}, {"scheduler_config": {}}])
def test_what_repeats_the_spec_or_adds_nothing_is_no_contradiction(passed: dict[str, Any]) -> None:
    asked = plan_variant(llm_args=passed)
    assert kind_named("trt-plan").option_problems(asked) == ()
    default = kind_named("trt-plan").build_job(plan_variant()).params.llm_args
    assert kind_named("trt-plan").build_job(asked).params.llm_args == default


def test_a_section_that_the_spec_switches_off_is_not_switched_on() -> None:
    asked = torch_variant({"torch_compile_config": {}})
    (problem,) = kind_named("trtllm-torch").option_problems(asked)
    assert "engine.options.torch_compile" in problem.accepted


def test_a_nested_argument_without_a_default_has_to_be_whole() -> None:
    # With 1.4 it is an object whose fields are not listed.
    asked = torch_variant({"scheduler_config": {"dynamic_batch_config": {"other": 1}}})
    assert kind_named("trtllm-torch").option_problems(asked) == ()
    table = load_llm_args()["trt-plan"]
    partial = {"scheduler_config": {"dynamic_batch_config": {"enable_batch_size_tuning": True}}}
    assert list(table.missing(partial)) == [
        "scheduler_config.dynamic_batch_config.enable_max_num_tokens_tuning",
        "scheduler_config.dynamic_batch_config.dynamic_batch_moving_average_window",
    ]


@pytest.mark.parametrize("kind", ["trt-plan", "trtllm-torch"])
def test_what_is_not_checked_is_marked_in_the_engine(kind: str) -> None:
    asked = variant_of(kind, {"of_another_release": [1], "kv_cache_config": {"other": {"x": 1}}})
    params = kind_named(kind).build_job(asked).params
    assert params.unchecked_args == ("kv_cache_config.other", "of_another_release")
    assert params.llm_args["of_another_release"] == [1]
    assert kind_named(kind).build_job(variant_of(kind, {})).params.unchecked_args == ()


def test_a_piece_of_a_prompt_holds_a_block() -> None:
    asked = torch_variant(enable_chunked_prefill=True, tokens_per_block=128)
    small = asked.shape.model_copy(update={"max_num_tokens": 64})
    assert kind_named("trtllm-torch").option_problems(asked) == ()
    (problem,) = kind_named("trtllm-torch").option_problems(asked.model_copy(update={"shape": small}))
    assert problem.field == "variants.v.shape.max_num_tokens"
