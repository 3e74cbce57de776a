"""TensorRT-LLM's config.json, completed from the checkpoint's."""

from typing import Any

import pytest

from tasks.workers.common.io import Refusal
from tasks.workers.quantize.trtllm_config import completed

WRITTEN: dict[str, Any] = {
    "architecture": "LlamaForCausalLM",
    "logits_dtype": "float16",
    "decoder": "llama",
    "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": None, "exclude_modules": ["lm_head", "a"]},
}
LLAMA: dict[str, Any] = {"model_type": "llama", "rope_theta": 5e5, "attention_bias": False, "mlp_bias": False}
QWEN: dict[str, Any] = {
    "model_type": "qwen2",
    "rope_theta": 1e6,
    "intermediate_size": 512,
    "rms_norm_eps": 1e-6,
}
NOTHING = {"quant_algo": None, "kv_cache_quant_algo": None}


def test_logits_are_float32_and_the_original_is_left_alone() -> None:
    config = completed(WRITTEN, LLAMA, "llama", NOTHING)
    assert config["logits_dtype"] == "float32"
    assert WRITTEN["logits_dtype"] == "float16"


def test_modules_that_are_left_out_come_in_one_order() -> None:
    config = completed(WRITTEN, LLAMA, "llama", NOTHING)
    assert config["quantization"]["exclude_modules"] == ["a", "lm_head"]


def test_the_rotary_base_is_the_checkpoints() -> None:
    assert completed(WRITTEN, LLAMA, "llama", NOTHING)["rotary_base"] == 5e5
    with pytest.raises(Refusal, match=r"rotary_base 10000\.0, the checkpoint rope_theta 500000\.0"):
        completed(WRITTEN | {"rotary_base": 10000.0}, LLAMA, "llama", NOTHING)


def test_rotary_scaling_is_taken_over_where_it_is_missing() -> None:
    scaling = {"rope_type": "llama3", "factor": 8.0}
    config = completed(WRITTEN, LLAMA | {"rope_scaling": scaling}, "llama", NOTHING)
    assert config["rotary_scaling"] == scaling
    assert "rotary_scaling" not in completed(WRITTEN, LLAMA | {"rope_scaling": None}, "llama", NOTHING)


def test_no_scaling_is_written_as_none() -> None:
    """TensorRT-LLM does not know the name that Hugging Face gives to it."""
    scaling = {"rope_type": "default"}
    for written, source in (
        (WRITTEN, LLAMA | {"rope_scaling": scaling}),
        (WRITTEN | {"rotary_scaling": scaling}, LLAMA),
    ):
        assert "rotary_scaling" not in completed(written, source, "llama", NOTHING)


def test_linear_scaling_has_a_row_for_every_position() -> None:
    """Upstream's table of positions has max_position_embeddings rows, whatever the factor."""
    source = LLAMA | {
        "max_position_embeddings": 2048,
        "rope_scaling": {"rope_type": "linear", "factor": 4.0},
    }
    config = completed(WRITTEN | {"max_position_embeddings": 2048}, source, "llama", NOTHING)
    assert config["max_position_embeddings"] == 8192


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ({}, {"original_max_position_embeddings": 40960, "mscale": 1.0, "mscale_all_dim": 0.0}),
        ({"original_max_position_embeddings": 32768}, {"original_max_position_embeddings": 32768}),
        ({"mscale": 0.7}, {"mscale": 1.0, "mscale_all_dim": 0.0}),
        ({"mscale": 0.7, "mscale_all_dim": 0.8}, {"mscale": 0.7, "mscale_all_dim": 0.8}),
        ({"beta_fast": 16}, {"beta_fast": 16, "beta_slow": 1.0}),
    ],
)
def test_yarn_is_written_out_as_the_checkpoint_means_it(
    scaling: dict[str, Any], expected: dict[str, Any]
) -> None:
    source = QWEN | {
        "max_position_embeddings": 40960,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, **scaling},
    }
    found = completed(WRITTEN, source, "qwen", NOTHING)["rotary_scaling"]
    assert expected.items() <= found.items()
    assert (found["rope_type"], found["factor"]) == ("yarn", 4.0)


@pytest.mark.parametrize(("model_type", "attn_bias"), [("qwen2", True), ("qwen3", False)])
def test_qwen_gets_the_keys_that_its_builder_reads(model_type: str, attn_bias: bool) -> None:
    config = completed(WRITTEN, QWEN | {"model_type": model_type}, "qwen", NOTHING)
    wanted = {
        "qwen_type": model_type,
        "decoder": "qwen",
        "intermediate_size": 512,
        "norm_epsilon": 1e-6,
        "rotary_base": 1e6,
        "attn_bias": attn_bias,
        "seq_length": 8192,
        "use_logn_attn": False,
    }
    assert wanted.items() <= config.items()


def test_a_llama_with_biases_says_so() -> None:
    config = completed(WRITTEN, LLAMA | {"attention_bias": True, "mlp_bias": True}, "llama", NOTHING)
    assert (config["attn_bias"], config["mlp_bias"]) == (True, True)


def test_gemma_2_gets_its_soft_caps() -> None:
    source = {
        "model_type": "gemma2",
        "query_pre_attn_scalar": 224,
        "final_logit_softcapping": 30.0,
        "attn_logit_softcapping": 50.0,
    }
    config = completed(WRITTEN, source, "gemma2", NOTHING)
    assert (config["query_pre_attn_scalar"], config["inter_layernorms"]) == (224, True)
    assert (config["final_logit_softcapping"], config["attn_logit_softcapping"]) == (30.0, 50.0)


def test_a_format_that_the_builder_makes_itself_is_declared() -> None:
    asked = {"quant_algo": "W8A16", "kv_cache_quant_algo": "INT8"}
    written = WRITTEN | {"quantization": {"quant_algo": None, "kv_cache_quant_algo": "INT8"}}
    config = completed(written, LLAMA, "llama", asked)
    assert config["quantization"] == {"quant_algo": "W8A16", "kv_cache_quant_algo": "INT8"}


def test_an_unquantized_cache_has_no_algorithm() -> None:
    written = WRITTEN | {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    assert completed(written, LLAMA, "llama", NOTHING)["quantization"]["kv_cache_quant_algo"] is None
