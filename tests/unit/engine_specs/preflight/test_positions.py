"""Positions and windows: what each TensorRT-LLM kind builds as the model was made, and what it would not."""

from typing import Any

import pytest
from support.specs.trt_plan import variant as plan_variant

from engine_specs.preflight.model_facts import ModelFacts, read_model_facts
from engine_specs.preflight.parallel import parallel_problems
from engine_specs.preflight.positions import attention_windows, position_problems
from engine_specs.preflight.support import support_problems
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant, Shape
from engine_specs.tables import load_kinds

LONG = Shape(max_batch_size=1, max_input_len=8000, max_seq_len=8192, max_num_tokens=8192)
MISTRAL = {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "num_hidden_layers": 4}
GEMMA_2 = {"architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "num_hidden_layers": 4}
QWEN_2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "num_hidden_layers": 3,
    "use_sliding_window": True,
    "sliding_window": 1024,
    "max_window_layers": 2,
}
LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 2}


def found(kind: str, variant: ResolvedVariant, config: dict[str, Any]) -> list[Problem]:
    """Problems of positions and windows."""
    return list(position_problems("owner/model", variant, load_kinds()[kind], config))


def plan(windows: list[int] | None = None, **more: Any) -> ResolvedVariant:
    """A plan of long sequences whose server gets windows."""
    passed = {"kv_cache_config": {"max_attention_window": windows}} if windows else None
    return plan_variant(shape=LONG, llm_args=passed, **more)


@pytest.mark.parametrize(
    ("config", "windows"),
    [
        (MISTRAL, [4096]),
        (MISTRAL | {"sliding_window": None}, [8192]),
        (GEMMA_2, [4096, 8192]),
        (GEMMA_2 | {"layer_types": ["full_attention", "sliding_attention"]}, [8192, 4096]),
        (QWEN_2, [8192, 8192, 1024]),
        (QWEN_2 | {"use_sliding_window": False}, [8192]),
        (LLAMA, [8192]),
    ],
)
def test_windows_are_those_of_the_models_layers(config: dict[str, Any], windows: list[int]) -> None:
    assert attention_windows(config, 8192) == windows
    asked = plan(windows)
    assert found("trt-plan", asked, config) == []
    assert (found("trt-plan", plan(), config) == []) == (windows == [8192])


def test_a_plan_without_its_windows_is_refused_with_those_to_pass() -> None:
    (problem,) = found("trt-plan", plan(), GEMMA_2)
    assert "max_attention_window: [4096, 8192]" in problem.accepted
    assert problem.field.endswith("shape.max_seq_len")


@pytest.mark.parametrize("windows", [[4096], [8192, 4096], [4096, 8192, 8192], [1024, 8192]])
def test_windows_of_another_model_are_refused(windows: list[int]) -> None:
    (problem,) = found("trt-plan", plan(windows), GEMMA_2)
    assert problem.field.endswith("engine.llm_args.kv_cache_config.max_attention_window")
    assert "[4096, 8192]" in problem.accepted


def test_a_list_that_repeats_the_windows_is_the_same() -> None:
    assert found("trt-plan", plan([4096, 9999, 4096, 8192]), GEMMA_2) == []


def test_a_window_that_the_model_does_not_have_is_refused_within_any_length() -> None:
    (problem,) = found("trt-plan", plan([64]), LLAMA)
    assert "[8192], the windows of the model's layers" in problem.accepted


def test_windows_that_differ_by_layer_are_not_divided_between_stages() -> None:
    (problem,) = found("trt-plan", plan([8192, 8192, 1024], pipeline_parallel=2), QWEN_2)
    assert "not established" in problem.accepted
    assert found("trt-plan", plan([4096], pipeline_parallel=2), MISTRAL) == []


@pytest.mark.parametrize(
    ("scaling", "plans", "torch"),
    [
        ({"factor": 4.0, "original_max_position_embeddings": 2048}, "", ""),
        ({"factor": 4.0}, "", "original_max_position_embeddings"),
        ({"factor": 4.0, "original_max_position_embeddings": 2048, "attention_factor": 1.2}, "1.2", "1.2"),
        (
            {"factor": 4.0, "original_max_position_embeddings": 2048, "attention_factor": 1.138629436111989},
            "",
            "",
        ),
        (
            {"factor": 4.0, "original_max_position_embeddings": 2048, "truncate": False},
            "truncate",
            "truncate",
        ),
        ({"factor": 4.0, "original_max_position_embeddings": 2048, "mscale": 0.7}, "", "mscale"),
    ],
)
def test_yarn_is_refused_if_a_kind_would_compute_it_otherwise(
    scaling: dict[str, Any], plans: str, torch: str
) -> None:
    config = LLAMA | {"rope_scaling": {"rope_type": "yarn", **scaling}}
    for kind, said in (("trt-plan", plans), ("trtllm-torch", torch)):
        problems = found(kind, plan_variant(), config)
        assert len(problems) == bool(said), problems
        assert all(said in problem.found for problem in problems)
    assert found("vllm", plan_variant(), config) == []


def gemma_2(**more: Any) -> ModelFacts:
    """Sizes of a Gemma 2."""
    sizes = {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "vocab_size": 1024}
    facts = read_model_facts(GEMMA_2 | sizes | {"torch_dtype": "bfloat16"} | more, {})
    assert isinstance(facts, ModelFacts)
    return facts


def test_gemma_2_is_not_divided_into_stages_by_plans() -> None:
    (problem,) = parallel_problems(plan_variant(pipeline_parallel=2), gemma_2())
    assert problem.field.endswith("pipeline_parallel")
    assert "at most 1 for Gemma2ForCausalLM" in problem.accepted
    assert list(parallel_problems(plan_variant(), gemma_2())) == []


@pytest.mark.parametrize(
    ("option", "architecture", "others"),
    [
        ("reduce_fusion", "LlamaForCausalLM", "Qwen3ForCausalLM"),
        ("reduce_fusion", "Gemma2ForCausalLM", "MistralForCausalLM"),
        ("user_buffer", "LlamaForCausalLM", "Gemma2ForCausalLM"),
        ("norm_quant_fusion", "LlamaForCausalLM", "MixtralForCausalLM"),
        ("pp_reduce_scatter", "MixtralForCausalLM", "LlamaForCausalLM"),
    ],
)
def test_an_option_of_other_architectures_is_refused_by_the_plan(
    option: str, architecture: str, others: str
) -> None:
    def problems(name: str, **options: Any) -> list[str]:
        config = {"architectures": [name]}
        asked = plan_variant(recipe="fp8", **options)
        found = support_problems("owner/model", asked, load_kinds()["trt-plan"], config)
        return [problem.field for problem in found]

    field = f"variants.a-variant.engine.options.{option}"
    assert field not in problems(architecture, **{option: True})
    assert field in problems(others, **{option: True})
    assert field not in problems(others)
