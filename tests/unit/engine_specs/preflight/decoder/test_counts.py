"""Weights and layers of mixtures of experts, against the parameters of their public classes and cards."""

from typing import Any

import pytest
from support.specs.mixtures import (
    DEEPSEEK_V3,
    GPT_OSS_20B,
    GPT_OSS_20B_BYTES,
    GPT_OSS_120B,
    LLAMA_4_MAVERICK,
    LLAMA_4_SCOUT,
    PARAMETERS,
    QWEN_3_30B,
    without,
)
from support.specs.models import facts

from engine_specs.preflight.model_facts import ModelFacts, UnknownFacts, read_model_facts

# Biases, sinks of attention and norms of heads are not counted.
NOT_COUNTED = 0.0005


def experts(model: ModelFacts) -> tuple[int, int, int, int, int]:
    found = model.experts
    assert found is not None
    return found.count, found.active, found.inner, found.shared, len(found.layers)


@pytest.mark.parametrize(("config", "parameters"), PARAMETERS, ids=lambda one: str(one)[:45])
def test_the_count_is_that_of_the_public_class(config: dict[str, Any], parameters: int) -> None:
    counted = facts(config).counted_bytes // 2
    assert 0 <= (parameters - counted) / parameters < NOT_COUNTED


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (QWEN_3_30B, (128, 8, 768, 0, 48)),
        (DEEPSEEK_V3, (256, 8, 2048, 2048, 58)),
        (GPT_OSS_20B, (32, 4, 2880, 0, 24)),
        (LLAMA_4_SCOUT, (16, 1, 8192, 8192, 48)),
        (LLAMA_4_MAVERICK, (128, 1, 8192, 8192, 24)),
        (QWEN_3_30B | {"mlp_only_layers": [0, 47]}, (128, 8, 768, 0, 46)),
        (QWEN_3_30B | {"decoder_sparse_step": 3}, (128, 8, 768, 0, 16)),
        (DEEPSEEK_V3 | {"moe_layer_freq": 2}, (256, 8, 2048, 2048, 29)),
    ],
)
def test_which_layers_have_experts_and_how_wide_they_are(
    config: dict[str, Any], found: tuple[int, int, int, int, int]
) -> None:
    assert experts(facts(config)) == found


@pytest.mark.parametrize(
    ("config", "absent"),
    [
        (QWEN_3_30B, ("num_experts", "num_experts_per_tok", "moe_intermediate_size")),
        (DEEPSEEK_V3, ("first_k_dense_replace", "n_shared_experts", "kv_lora_rank", "qk_rope_head_dim")),
        (GPT_OSS_120B, ("num_local_experts", "head_dim", "sliding_window")),
    ],
)
def test_keys_that_are_left_out_have_the_default_of_the_model_type(
    config: dict[str, Any], absent: tuple[str, ...]
) -> None:
    assert facts(without(config, *absent)) == facts(config)


def test_the_files_of_gpt_oss_are_mxfp4_experts_and_the_rest_in_16_bits() -> None:
    """4.25 bits per weight of an expert: 4, and 8 of the scale that 32 weights share."""
    model = facts(GPT_OSS_20B)
    mixed = sum(one.parameters * model.layers for one in model.weights if one.of_experts)
    rest = model.counted_bytes // 2 - mixed
    counted = mixed * 4.25 / 8 + rest * 2
    assert counted == pytest.approx(GPT_OSS_20B_BYTES, rel=0.002)
    assert pytest.approx(12.8, abs=0.05) == GPT_OSS_20B_BYTES / 2**30


def test_latent_attention_stores_one_vector_per_token() -> None:
    latent = facts(DEEPSEEK_V3).latent
    assert latent is not None
    assert latent.stored == 576
    assert facts(DEEPSEEK_V3).head_dim == 192


def test_queries_need_not_be_compressed() -> None:
    whole = facts(DEEPSEEK_V3 | {"q_lora_rank": None})
    names = [one.module for one in whole.weights]
    assert "self_attn.q_proj" in names
    assert not any("q_a_proj" in name or "q_b_proj" in name for name in names)


@pytest.mark.parametrize(
    ("config", "window", "full"),
    [
        (GPT_OSS_20B, 128, tuple(range(1, 24, 2))),
        (GPT_OSS_20B | {"sliding_window": None}, None, tuple(range(24))),
        (LLAMA_4_SCOUT, 8192, tuple(range(3, 48, 4))),
        (DEEPSEEK_V3, None, tuple(range(61))),
    ],
)
def test_windows_and_chunks_are_those_of_every_layer(
    config: dict[str, Any], window: int | None, full: tuple[int, ...]
) -> None:
    model = facts(config)
    assert (model.window, model.full_layers) == (window, full)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (DEEPSEEK_V3 | {"v_head_dim": None}, "a usable v_head_dim"),
        (DEEPSEEK_V3 | {"num_experts_per_tok": 300}, "300 experts per token"),
        (GPT_OSS_20B | {"num_local_experts": "32"}, "a usable num_local_experts"),
        (
            LLAMA_4_SCOUT | {"vision_config": LLAMA_4_SCOUT["vision_config"] | {"patch_size": 0}},
            "a usable vision_config.patch_size",
        ),
    ],
)
def test_what_is_missing_is_said_in_words(config: dict[str, Any], named: str) -> None:
    read = read_model_facts(config, {})
    assert isinstance(read, UnknownFacts)
    (problem,) = read.problems
    assert named in str(problem)
