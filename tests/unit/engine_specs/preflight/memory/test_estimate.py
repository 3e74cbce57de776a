"""Memory of one device: the arithmetic redone by hand, and compared with the log of a real engine."""

from typing import Any

import pytest
from support.specs.models import LLAMA_8B, MIXTRAL, facts

from engine_specs.preflight import MemoryEstimate
from engine_specs.preflight.memory import estimate_memory
from engine_specs.preflight.model_facts import ModelFacts
from engine_specs.spec import RecipeSearch, ResolvedVariant, Shape, Spec, resolve_variants
from engine_specs.spec.variant import Quantization
from engine_specs.tables import load_targets

MIB = 1024**2
SHAPE = Shape(max_batch_size=64, max_input_len=4096, max_seq_len=8192, max_num_tokens=8192)


@pytest.fixture
def variant(spec: Spec) -> ResolvedVariant:
    return on_gpu(resolve_variants(spec)[0], "fp8", "fp8")


def on_gpu(variant: ResolvedVariant, recipe: str, kv_cache: str = "none", **changes: Any) -> ResolvedVariant:
    update = {
        "target": load_targets()["h100-sxm"],
        "quantization": Quantization(recipe=recipe, kv_cache=kv_cache),
        "shape": SHAPE,
        **changes,
    }
    return variant.model_copy(update=update)


def sizes(estimate: MemoryEstimate) -> dict[str, int]:
    return {line.what: line.bytes for line in estimate.lines}


def test_it_agrees_with_the_log_of_a_real_engine(variant: ResolvedVariant) -> None:
    """NVIDIA/TensorRT-LLM at 7ff53023, docs/source/reference/memory.md. The KV cache of that log holds
    262,144 B a token, so it is Llama-2-7B with FP8 weights and KV cache at the default limits.
    """
    llama_2_7b = facts(
        LLAMA_8B
        | {
            "intermediate_size": 11008,
            "num_key_value_heads": 32,
            "vocab_size": 32000,
            "torch_dtype": "float16",
        }
    )
    shape = Shape(max_batch_size=2048, max_input_len=1024, max_seq_len=2048, max_num_tokens=8192)
    held = sizes(estimate_memory(variant.model_copy(update={"shape": shape}), llama_2_7b))
    tokens = 2048 * 2048
    assert held["KV cache (fp8)"] / tokens * 259_840 == pytest.approx(63.44 * 1024 * MIB, rel=0.001)
    weights = held["linear weights"] + held["embedding and lm_head"] + held["norms"]
    assert weights == pytest.approx(6695 * MIB, rel=0.01)
    assert held["activations"] + held["logits"] == pytest.approx(1134.01 * MIB, rel=0.05)
    left = 79.10 * 1024 - 70.48 * 1024 - 6695 - 1134.01
    assert held["CUDA context and libraries"] + held["runtime and decoder buffers"] >= left * MIB


def test_one_device_by_hand(variant: ResolvedVariant) -> None:
    estimate = estimate_memory(variant, facts(LLAMA_8B, 16_060_531_496))
    assert sizes(estimate) == {
        "linear weights": 32 * 218_103_808,
        "embedding and lm_head": 2 * 128_256 * 4096 * 2,
        "norms": 65 * 4096 * 2,
        "KV cache (fp8)": 2 * 32 * 8 * 128 * 64 * 8192,
        "activations": 8192 * (2 * 4096 + (80 * 128 + 3 * 14336)) * 2,
        "logits": 64 * 128_256 * 4,
        "logits of CUDA graphs": 2 * 64 * 128_256 * 2,
        "CUDA context and libraries": 1024 * MIB,
        "runtime and decoder buffers": 512 * MIB,
    }
    assert estimate.total_bytes == sum(sizes(estimate).values())
    assert (estimate.budget_bytes, estimate.fit) == (int(85_520_809_984 * 0.9), "fits")
    assert estimate.budget_arithmetic == "h100-sxm: 85,520,809,984 B x 0.9"


def test_two_by_two_devices_share_what_can_be_shared(variant: ResolvedVariant) -> None:
    spread = variant.model_copy(update={"tensor_parallel": 2, "pipeline_parallel": 3})
    held = sizes(estimate_memory(spread, facts(LLAMA_8B)))
    assert held["linear weights"] == 11 * 218_103_808 // 2
    assert held["embedding and lm_head"] == 64_128 * 4096 * 2  # either end of the pipeline holds one
    assert held["KV cache (fp8)"] == 2 * 11 * 4 * 128 * 64 * 8192
    assert held["activations"] == 8192 * (2 * 4096 + (80 * 128 + 3 * 14336) // 2) * 2


def test_a_device_never_holds_less_than_one_head(variant: ResolvedVariant) -> None:
    spread = variant.model_copy(update={"tensor_parallel": 16})
    held = sizes(estimate_memory(spread, facts(LLAMA_8B)))
    assert held["KV cache (fp8)"] == 2 * 32 * 1 * 128 * 64 * 8192


def test_an_odd_vocabulary_is_padded(variant: ResolvedVariant) -> None:
    spread = variant.model_copy(update={"tensor_parallel": 2})
    held = sizes(estimate_memory(spread, facts(LLAMA_8B | {"vocab_size": 32_001})))
    assert held["embedding and lm_head"] == 2 * 16_001 * 4096 * 2


def test_routers_are_whole_everywhere_and_stay_as_they_are(variant: ResolvedVariant) -> None:
    spread = variant.model_copy(update={"tensor_parallel": 2})
    held = sizes(estimate_memory(spread, facts(MIXTRAL)))
    attention, experts = 41_943_040, 8 * 3 * 4096 * 14336
    assert held["linear weights"] == 32 * attention // 2
    assert held["experts"] == 32 * experts // 2
    assert held["norms and routers"] == (65 * 4096 + 32 * 4096 * 8) * 2
    assert held["activations"] == 8192 * (2 * 4096 + (80 * 128 + 2 * 3 * 14336) // 2) * 2


def test_tied_tables_are_one(variant: ResolvedVariant) -> None:
    held = sizes(estimate_memory(variant, facts(LLAMA_8B | {"tie_word_embeddings": True})))
    assert held["embedding, shared with lm_head"] == 128_256 * 4096 * 2


def test_unquantized_weights_and_cache_keep_their_type(variant: ResolvedVariant) -> None:
    held = sizes(estimate_memory(on_gpu(variant, "none"), facts(LLAMA_8B | {"torch_dtype": "float32"})))
    assert held["linear weights"] == 32 * 218_103_808 * 4
    assert held["KV cache (float32)"] == 2 * 32 * 8 * 128 * 64 * 8192 * 4


@pytest.mark.parametrize(
    ("recipe", "bits"),
    [
        ("int4_awq", 4 + 32 / 128),
        ("w4a16_nvfp4", 4 + 8 / 16),
        ("mxfp8", 8 + 8 / 32),
        ("fp8_block_scales", 8),
        ("fp8_per_channel_per_token", 8),
    ],
)
def test_scales_of_groups_are_counted(variant: ResolvedVariant, recipe: str, bits: float) -> None:
    held = sizes(estimate_memory(on_gpu(variant, recipe), facts(LLAMA_8B)))
    assert held["linear weights"] == 32 * 218_103_808 * bits / 8


def test_scales_of_a_cache_are_counted(variant: ResolvedVariant) -> None:
    held = sizes(estimate_memory(on_gpu(variant, "fp8", "nvfp4"), facts(LLAMA_8B)))
    assert held["KV cache (nvfp4)"] == 2 * 32 * 8 * 128 * 64 * 8192 * (4 + 8 / 16) / 8


def test_a_search_is_taken_at_its_effective_bits_and_scales(
    variant: ResolvedVariant,
) -> None:
    search = RecipeSearch(effective_bits=5.0, candidates=("fp8", "int4_awq"))
    quantization = Quantization(recipe="auto", search=search)
    held = sizes(estimate_memory(on_gpu(variant, "auto", quantization=quantization), facts(LLAMA_8B)))
    assert held["linear weights"] == 32 * 218_103_808 * (5 + 32 / 128) / 8


@pytest.mark.parametrize(
    ("target", "fit"),
    [("h200", "fits"), ("l40s", "known after quantize"), ("l4", "exceeds")],
)
def test_a_recipe_file_is_known_after_quantize(variant: ResolvedVariant, target: str, fit: str) -> None:
    shape = SHAPE.model_copy(update={"max_batch_size": 24})
    update = {"target": load_targets()[target], "shape": shape}
    model = facts(LLAMA_8B)
    estimate = estimate_memory(on_gpu(variant, "modelopt_file", **update), model)
    linear = estimate.lines[0]
    assert (linear.bytes, linear.known_after) == (model.linear_parameters * 2, "quantize")
    assert linear.arithmetic.endswith("x 16 bits / 8 (bfloat16)")
    assert estimate.fit == fit


def test_what_the_files_hold_beyond_the_count_is_a_line(variant: ResolvedVariant) -> None:
    model: ModelFacts = facts(LLAMA_8B, 20_000_000_000)
    held = sizes(estimate_memory(variant, model))
    assert held["weights that config.json does not explain"] == 20_000_000_000 - model.counted_bytes


def test_a_target_without_memory_is_only_shown_the_arithmetic(spec: Spec) -> None:
    estimate = estimate_memory(resolve_variants(spec)[0], facts(LLAMA_8B))
    assert (estimate.budget_bytes, estimate.fit) == (None, "target fixes no memory")
    assert "CUDA context and libraries" not in sizes(estimate)
    assert all(line.arithmetic for line in estimate.lines)


def test_more_never_takes_less(variant: ResolvedVariant) -> None:
    model = facts(LLAMA_8B)
    total = estimate_memory(variant, model).total_bytes
    for field in Shape.model_fields.keys() - {"max_input_len"}:
        shape = SHAPE.model_copy(update={field: getattr(SHAPE, field) * 2})
        assert estimate_memory(variant.model_copy(update={"shape": shape}), model).total_bytes > total
