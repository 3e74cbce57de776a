"""`engine.llm_args` and prompts in pieces: what a spec may say, by the table of the kind's release."""

from pathlib import Path

import pytest
from support.specs.text import edited, problems_in

from engine_specs.spec import read_spec, resolve_variants

GPUS = (
    ("recipe: int8_weight_only", "recipe: none"),
    ("target: cpu-x86-64-v3", "target: h100-sxm"),
    ("target: cpu-x86-64-v4", "target: h100-sxm"),
)


def spec(kind: str, engine: str = "", *edits: tuple[str, str]) -> str:
    """A spec of a kind, with more lines about its engine."""
    return edited(*GPUS, ("engine: {kind: aot-inductor}", f"engine:\n    kind: {kind}\n{engine}"), *edits)


def passing(*lines: str) -> str:
    """Lines of llm_args."""
    return "    llm_args:\n" + "\n".join(f"      {line}" for line in lines)


@pytest.mark.parametrize(
    ("kind", "lines", "field", "said"),
    [
        ("trt-plan", ("enable_tqdms: true",), "enable_tqdms", "enable_tqdm"),
        ("trt-plan", ("attn_backend: FLASHINFER",), "attn_backend", "TensorRT-LLM 1.2's TrtLlmArgs"),
        ("trtllm-torch", ("batching_type: INFLIGHT",), "batching_type", "TensorRT-LLM 1.4's TorchLlmArgs"),
        ("trt-plan", ("kv_cache_config: {max_tokenz: 1}",), "kv_cache_config.max_tokenz", "max_tokens"),
        ("trt-plan", ("guided_decoding_backend: outlines",), "guided_decoding_backend", "one of xgrammar"),
        ("trt-plan", ("kv_cache_config: {use_uvm: 1}",), "kv_cache_config.use_uvm", "type bool"),
        ("trt-plan", ("kv_cache_config: 1",), "kv_cache_config", "a mapping"),
        (
            "trt-plan",
            ("kv_cache_config: {max_attention_window: [4096, 0]}",),
            "kv_cache_config.max_attention_window",
            "whole numbers, each at least 1",
        ),
        ("trt-plan", ("build_config: {max_batch_size: 4}",), "build_config", "decides it"),
        ("trtllm-torch", ("model: other",), "model", "the engine itself decides it"),
        ("trtllm-torch", ("speculative_config: {}",), "speculative_config", "decides it"),
        ("trtllm-torch", ("moe_tensor_parallel_size: 2",), "moe_tensor_parallel_size", "expert_parallel"),
        ("trtllm-torch", ("enable_attention_dp: true",), "enable_attention_dp", "data_parallel decides it"),
        ("trtllm-torch", ("batch_wait_timeout_ms: -1",), "batch_wait_timeout_ms", "at least 0"),
        ("trtllm-torch", ("batch_wait_max_tokens_ratio: 1.5",), "batch_wait_max_tokens_ratio", "at most 1"),
        ("vllm", ("max_tokens: 1",), "", "only trt-plan, trtllm-torch take llm_args"),
    ],
)  # fmt: skip
def test_what_the_table_of_the_release_does_not_take_is_refused(
    kind: str, lines: tuple[str, ...], field: str, said: str
) -> None:
    (problem,) = problems_in(spec(kind, passing(*lines)))
    assert problem.field == f"defaults.engine.llm_args.{field}".rstrip(".")
    assert said in problem.accepted


def test_unknown_names_pass_if_the_spec_says_so_and_wrong_values_do_not() -> None:
    unchecked = "    unchecked: true\n"
    given = unchecked + passing("of_another_release: {x: 1}", "kv_cache_config: {other: 1}")
    (first, _) = resolve_variants(read_spec(spec("trt-plan", given), Path("tiny.yaml")))
    assert first.engine.unchecked
    assert first.engine.llm_args["of_another_release"] == {"x": 1}
    (problem,) = problems_in(spec("trt-plan", unchecked + passing("enable_tqdm: 1")))
    assert problem.field == "defaults.engine.llm_args.enable_tqdm"
    (problem,) = problems_in(spec("trt-plan", unchecked))
    assert problem.field == "defaults.engine.unchecked"


def test_a_spec_that_passes_nothing_is_written_as_before() -> None:
    (first, _) = resolve_variants(read_spec(spec("trt-plan"), Path("tiny.yaml")))
    assert set(first.model_dump(mode="json")["engine"]) == {"kind", "options"}


@pytest.mark.parametrize("kind", ["trt-plan", "trtllm-torch"])
def test_an_iteration_may_hold_less_than_a_prompt_that_is_read_in_pieces(kind: str) -> None:
    short = ("max_num_tokens: 1024", "max_num_tokens: 128")
    chunked = "    options: {enable_chunked_prefill: true}"
    assert read_spec(spec(kind, chunked, short), Path("tiny.yaml")).name == "tiny"
    for engine in ("", "    options: {enable_chunked_prefill: false}"):
        (problem,) = problems_in(spec(kind, engine, short))
        assert "at least 192 (max_input_len)" in problem.accepted
        assert "enable_chunked_prefill" in problem.accepted
    shorter = ("max_num_tokens: 1024", "max_num_tokens: 3")
    (problem,) = problems_in(spec(kind, chunked, shorter))
    assert "at least 4 (max_batch_size)" in problem.accepted
