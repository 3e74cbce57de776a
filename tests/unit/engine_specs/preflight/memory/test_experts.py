"""Memory of mixtures of experts on one device, redone by hand: experts, copies of attention, MLA, windows."""

from typing import Any

import pytest
from support.specs.gpu import gpu_variant
from support.specs.mixtures import (
    DEEPSEEK_V3,
    GPT_OSS_20B,
    GPT_OSS_20B_BYTES,
    LLAMA_4_MAVERICK,
    LLAMA_4_SCOUT,
    QWEN_3_30B,
)
from support.specs.models import facts

from engine_specs.preflight import StoredWeights
from engine_specs.preflight.memory import MemoryEstimate, estimate_memory
from engine_specs.spec import QuantizedSource, ResolvedVariant, Shape, Spec
from engine_specs.spec.variant import Quantization

QWEN_EXPERT, QWEN_ATTENTION = 3 * 2048 * 768, 2 * 2048 * 4096 + 2 * 2048 * 512
SHAPE = Shape(max_batch_size=64, max_input_len=4096, max_seq_len=8192, max_num_tokens=8192)
SOURCE = Quantization(
    recipe="ready_made", device="cuda", source=QuantizedSource(repo="acme/quantized", revision="c" * 40)
)


def variant(spec: Spec, kind: str = "vllm", **changes: Any) -> ResolvedVariant:
    return gpu_variant(spec, kind, "h200", "none", **({"shape": SHAPE} | changes))


def sizes(estimate: MemoryEstimate) -> dict[str, int]:
    return {line.what: line.bytes for line in estimate.lines}


def how(estimate: MemoryEstimate, what: str) -> str:
    return next(line.arithmetic for line in estimate.lines if line.what == what)


@pytest.mark.parametrize(
    ("spread", "attention", "experts"),
    [
        ({"tensor_parallel": 4}, QWEN_ATTENTION // 4, 128 * QWEN_EXPERT // 4),
        ({"tensor_parallel": 4, "expert_parallel": 4}, QWEN_ATTENTION // 4, 32 * QWEN_EXPERT),
        ({"tensor_parallel": 4, "expert_parallel": 2}, QWEN_ATTENTION // 4, 64 * QWEN_EXPERT // 2),
        ({"data_parallel": 4}, QWEN_ATTENTION, 128 * QWEN_EXPERT // 4),
        ({"data_parallel": 4, "expert_parallel": 4}, QWEN_ATTENTION, 32 * QWEN_EXPERT),
        (
            {"tensor_parallel": 2, "data_parallel": 4, "expert_parallel": 8},
            QWEN_ATTENTION // 2,
            16 * QWEN_EXPERT,
        ),
    ],
)
def test_experts_are_shared_out_by_all_devices_and_attention_by_those_of_a_copy(
    spec: Spec, spread: dict[str, int], attention: int, experts: int
) -> None:
    held = sizes(estimate_memory(variant(spec, **spread), facts(QWEN_3_30B)))
    assert held["linear weights"] == 48 * attention * 2
    assert held["experts"] == 48 * experts * 2
    assert held["norms and routers"] == (97 * 2048 + 48 * 2048 * 128) * 2


def test_the_arithmetic_names_what_divides(spec: Spec) -> None:
    estimate = estimate_memory(
        variant(spec, "trtllm-torch", tensor_parallel=4, expert_parallel=2), facts(QWEN_3_30B)
    )
    each = f"{QWEN_EXPERT:,} weights / tp 2"
    assert how(estimate, "experts") == f"48 layers x 128 experts / ep 2 x {each} x 16 bits / 8"


def test_each_copy_of_attention_keeps_its_own_sequences(spec: Spec) -> None:
    model = facts(QWEN_3_30B)
    copies = sizes(estimate_memory(variant(spec, data_parallel=4, expert_parallel=4), model))
    alone = sizes(estimate_memory(variant(spec), model))
    for what in ("KV cache (bfloat16)", "logits", "embedding and lm_head", "linear weights"):
        assert copies[what] == alone[what]
    assert copies["experts"] == alone["experts"] // 4


def test_the_tokens_of_all_copies_may_meet_in_the_experts_of_one_device(spec: Spec) -> None:
    held = sizes(estimate_memory(variant(spec, data_parallel=4, expert_parallel=4), facts(QWEN_3_30B)))
    attention, experts = (2 * 32 + 2 * 4) * 128, 8 * (2048 + 2048)
    assert held["activations"] == 8192 * (2 * 2048 + attention + 4 * experts) * 2


def test_dense_layers_and_shared_experts_are_divided_by_the_copy_alone(spec: Spec) -> None:
    held = sizes(estimate_memory(variant(spec, data_parallel=8, expert_parallel=8), facts(DEEPSEEK_V3)))
    attention = 1536 * 128 * 192 + 512 * 128 * 256 + 128 * 128 * 7168
    dense, shared, expert = 3 * 7168 * 18432, 3 * 7168 * 2048, 3 * 7168 * 2048
    assert held["linear weights"] == (61 * attention + 3 * dense + 58 * shared) * 2
    assert held["experts"] == 58 * 32 * expert * 2
    undivided = 123 * 7168 + 61 * 7168 * (1536 + 576) + 58 * 7168 * 256
    assert held["norms, routers and projections that compress"] == undivided * 2
    assert held["kv_b_proj, kept for decoding"] == 61 * 512 * 128 * 256 * 2


@pytest.mark.parametrize(
    ("spread", "parts"),
    [
        ({"tensor_parallel": 8}, 8),
        ({"tensor_parallel": 8, "expert_parallel": 8}, 8),
        ({"tensor_parallel": 2, "data_parallel": 4}, 2),
        ({"tensor_parallel": 2, "data_parallel": 4, "expert_parallel": 8}, 1),
    ],
)
def test_a_shared_expert_is_whole_where_its_tokens_are_divided(
    spec: Spec, spread: dict[str, int], parts: int
) -> None:
    held = sizes(estimate_memory(variant(spec, **spread), facts(LLAMA_4_SCOUT)))
    tensor = spread["tensor_parallel"]
    attention = (2 * 5120 * 5120 + 2 * 5120 * 1024) // tensor
    assert held["linear weights"] == 48 * (attention + 3 * 5120 * 8192 // parts) * 2


def test_latent_attention_is_cached_compressed_and_whole_on_every_device(spec: Spec) -> None:
    tokens = 64 * 8192
    for tensor in (1, 8):
        held = sizes(estimate_memory(variant(spec, tensor_parallel=tensor), facts(DEEPSEEK_V3)))
        assert held["KV cache (bfloat16)"] == 61 * 576 * 2 * tokens


def test_a_stage_of_a_pipeline_is_the_one_with_the_most_experts(spec: Spec) -> None:
    """Of 61 layers in 8 stages, the fullest has 8, all with experts: the dense ones are in the first."""
    held = sizes(estimate_memory(variant(spec, pipeline_parallel=8), facts(DEEPSEEK_V3)))
    assert held["experts"] == 8 * 256 * 3 * 7168 * 2048 * 2
    every_second = sizes(estimate_memory(variant(spec, pipeline_parallel=8), facts(LLAMA_4_MAVERICK)))
    assert every_second["experts"] == 3 * 128 * 3 * 5120 * 8192 * 2


def test_what_reads_images_is_on_every_device(spec: Spec) -> None:
    held = sizes(estimate_memory(variant(spec, tensor_parallel=8), facts(LLAMA_4_SCOUT)))
    assert held["what reads images"] == pytest.approx((850_960_896 + 20_971_520) * 2, rel=0.001)


@pytest.mark.parametrize(("kind", "windowed"), [("vllm", True), ("trtllm-torch", False)])
def test_windows_are_freed_by_servers_that_free_them(spec: Spec, kind: str, windowed: bool) -> None:
    estimate = estimate_memory(variant(spec, kind), facts(GPT_OSS_20B))
    each, tokens = 2 * 8 * 64 * 2, 64 * 8192
    recent = 64 * (128 + 128) + 2 * 8192
    expected = 12 * tokens + 12 * recent if windowed else 24 * tokens
    assert sizes(estimate)["KV cache (bfloat16)"] == expected * each
    assert ("layers with windows" in how(estimate, "KV cache (bfloat16)")) == windowed


def test_a_window_never_takes_more_than_the_sequences(spec: Spec) -> None:
    short = SHAPE.model_copy(update={"max_seq_len": 200, "max_input_len": 100})
    held = sizes(estimate_memory(variant(spec, shape=short), facts(GPT_OSS_20B)))
    assert held["KV cache (bfloat16)"] == 24 * 2 * 8 * 64 * 2 * 64 * 200


@pytest.mark.parametrize(
    ("spread", "share"),
    [({}, 1), ({"tensor_parallel": 2}, 2), ({"data_parallel": 2, "expert_parallel": 2}, 2)],
)
def test_ready_made_mxfp4_experts_are_bytes_of_the_files_padded(
    spec: Spec, spread: dict[str, int], share: int
) -> None:
    """Attention stays in 16 bits; experts are 4.25 bits, and kernels round their dimensions up."""
    model = facts(GPT_OSS_20B).model_copy(
        update={"ready_made": StoredWeights(bytes=GPT_OSS_20B_BYTES, kv_cache="none", padded=True)}
    )
    asked = variant(spec, quantization=SOURCE, **spread)
    held = sizes(estimate_memory(asked, model))
    copies = asked.data_parallel
    attention = 24 * (2 * 2880 * 4096 + 2 * 2880 * 512)
    assert held["linear weights, ready-made"] * share / copies == pytest.approx(attention * 2, rel=0.002)
    inner = 2880 if "data_parallel" in spread else 2880 // share
    padded = 3072 * -(-inner // 128) * 128 / (2880 * inner)
    stored = 24 * 32 * 3 * 2880 * 2880 * 4.25 / 8
    assert held["experts, ready-made"] * share == pytest.approx(stored * padded, rel=0.002)


def test_ready_made_bytes_are_never_spread_thinner_than_their_weights(spec: Spec) -> None:
    """Whatever is no expert counts in 16 bits, as copies of attention hold more of it than of the experts."""
    files = 700_000_000_000
    model = facts(DEEPSEEK_V3).model_copy(update={"ready_made": StoredWeights(bytes=files, kv_cache="none")})
    asked = variant(spec, quantization=SOURCE, data_parallel=8, expert_parallel=8)
    held = sizes(estimate_memory(asked, model))
    undivided = 61 * 7168 * (1536 + 576) + 58 * 7168 * 256
    plain = (2 * model.table_parameters + model.norm_parameters + undivided) * 2
    rest = (model.linear_parameters - undivided - 58 * 256 * 3 * 7168 * 2048) * 2
    assert held["linear weights, ready-made"] == pytest.approx(rest, rel=0.001)
    assert held["experts, ready-made"] == pytest.approx((files - plain - rest) / 8, rel=0.001)
