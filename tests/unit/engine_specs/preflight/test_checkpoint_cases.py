"""Checkpoints as the field has them, made small: what pre-flight says to each case of data/cases."""

from typing import Any

import pytest
import yaml
from support.paths import TESTS
from support.specs.gpu import gpu_variant

from engine_specs.preflight import Examination, SmallFiles, examine
from engine_specs.spec import ResolvedVariant, Shape, Spec, resolve_variants

CASES = yaml.load(
    (TESTS / "data" / "cases" / "checkpoints.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
)
SHAPE = {"max_batch_size": 2, "max_input_len": 200, "max_seq_len": 512, "max_num_tokens": 1024}


def variants(spec: Spec) -> dict[str, ResolvedVariant]:
    """One variant per kind; that of aot-inductor as the spec has it, on processors."""
    plain = resolve_variants(spec)[0]
    quantization = plain.quantization.model_copy(update={"recipe": "none", "device": None})
    kinds = ("trt-plan", "trtllm-torch", "vllm")
    return {
        "aot-inductor": plain.model_copy(update={"quantization": quantization}),
        **{kind: gpu_variant(spec, kind, recipe="none", device=None) for kind in kinds},
    }


def examined(spec: Spec, kind: str, case: dict[str, Any]) -> Examination:
    config = {key: value for key, value in CASES["base"].items() if key not in case.get("drop", ())}
    sizes = {
        "config.json": 700,
        "tokenizer.json": 9,
        "model.safetensors": round(case["weights"] * BASE_BYTES),
    }
    small = SmallFiles(json_files=case.get("small", {}))
    shape = Shape.model_validate(SHAPE | case.get("shape", {}))
    variant = variants(spec)[kind].model_copy(update={"shape": shape})
    sizes |= dict.fromkeys(small.json_files, 99)
    return examine(spec, variant, config | case.get("config", {}), sizes, small=small)


BASE_BYTES = CASES["base_bytes"]
EVERY_CASE = [
    pytest.param(case, kind, words, id=f"{name}-{kind}")
    for name, case in CASES["cases"].items()
    for kind, words in case["refused"].items()
]


@pytest.mark.parametrize(("case", "kind", "words"), EVERY_CASE)
def test_each_case_is_refused_in_words_or_accepted(
    spec: Spec, case: dict[str, Any], kind: str, words: str | None
) -> None:
    problems = [str(problem) for problem in examined(spec, kind, case).problems]
    assert len(problems) == (words is not None), problems
    assert words is None or words in problems[0]


def test_every_case_says_what_each_of_some_kinds_does() -> None:
    assert len(EVERY_CASE) > len(CASES["cases"]) > 0
    assert {kind for case in CASES["cases"].values() for kind in case["refused"]} == {
        "aot-inductor",
        "trt-plan",
        "trtllm-torch",
        "vllm",
    }


def lines(examination: Examination) -> dict[str, int]:
    assert examination.memory is not None
    return {line.what: line.bytes for line in examination.memory.lines}


@pytest.mark.parametrize(
    ("kind", "stored", "times"),
    [("trt-plan", 2.0, 1), ("vllm", 2.0, 1), ("aot-inductor", 2.0, 2), ("trtllm-torch", 2.0, 2)],
)
def test_a_float32_checkpoint_counts_in_what_the_kind_computes_in(
    spec: Spec, kind: str, stored: float, times: int
) -> None:
    plain = lines(examined(spec, kind, {"weights": 1.0}))
    wide = examined(spec, kind, {"weights": stored, "config": {"torch_dtype": "float32"}})
    held = lines(wide)
    for what in ("linear weights", "embedding and lm_head", "norms", "activations"):
        assert held[what] == times * plain[what]
    assert "weights that config.json does not explain" not in held
    assert wide.memory is not None
    assert "in float32" in wide.memory.counting_note


def test_weights_that_are_stored_wider_are_read_in_the_type_that_is_named(spec: Spec) -> None:
    wide = examined(spec, "trt-plan", {"weights": 2.0})
    assert lines(wide) == lines(examined(spec, "trt-plan", {"weights": 1.0}))
    assert wide.memory is not None
    assert "a type of 4 bytes, not bfloat16" in wide.memory.counting_note


def test_half_of_float32_is_a_16_bit_type_but_half_of_a_16_bit_type_is_not_plain(spec: Spec) -> None:
    narrower = {"weights": 1.0, "config": {"torch_dtype": "float32"}}
    assert examined(spec, "vllm", narrower).problems == ()
    assert len(examined(spec, "vllm", {"weights": 0.5}).problems) == 1


def test_lm_head_next_to_a_tied_table_is_no_surplus(spec: Spec) -> None:
    tied = {"weights": 1.0, "config": {"tie_word_embeddings": True}}
    held = examined(spec, "vllm", tied)
    assert held.problems == ()
    assert "weights that config.json does not explain" not in lines(held)
    assert lines(held)["embedding, shared with lm_head"] == 2 * 32000 * 1024


@pytest.mark.parametrize(("length", "problems"), [(16384, 0), (16385, 1)])
@pytest.mark.parametrize("scaling", [{"type": "linear"}, {"rope_type": "dynamic"}])
def test_linear_and_dynamic_scaling_multiply_the_positions(
    spec: Spec, scaling: dict[str, str], length: int, problems: int
) -> None:
    shape = {"max_input_len": 8000, "max_seq_len": length, "max_num_tokens": 16384}
    case = {"weights": 1.0, "config": {"rope_scaling": {**scaling, "factor": 4.0}}, "shape": shape}
    assert len(examined(spec, "trt-plan", case).problems) == problems


@pytest.mark.parametrize("scaling", ["llama3", "yarn"])
def test_other_scalings_leave_the_positions_as_config_names_them(spec: Spec, scaling: str) -> None:
    rotary = {"rope_type": scaling, "factor": 4.0, "original_max_position_embeddings": 1024}
    if scaling == "llama3":
        rotary |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    config = {"rope_scaling": rotary}
    at_most = {"weights": 1.0, "config": config, "shape": {"max_seq_len": 4096, "max_num_tokens": 4096}}
    beyond = at_most | {"shape": {"max_seq_len": 4097, "max_num_tokens": 4097}}
    assert examined(spec, "trt-plan", at_most).problems == ()
    (problem,) = examined(spec, "trt-plan", beyond).problems
    assert problem.accepted == "at most 4096, the positions of the model"


def test_the_width_of_a_head_is_the_default_of_the_model_type(spec: Spec) -> None:
    """Qwen3 has heads of 128, whatever its width: the cache is four times what width / heads would give."""
    case = CASES["cases"]["no-head-dim"]
    held = lines(examined(spec, "vllm", case))
    assert held["KV cache (bfloat16)"] == 2 * 8 * 8 * 128 * 2 * 2 * 512


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.layers.0.mlp.down_proj.weight_scale", "F32"),
        ("model.layers.0.mlp.down_proj.weight_scale_inv", "F32"),
        ("model.layers.0.mlp.down_proj.weight", "F8_E4M3"),
        ("model.layers.0.mlp.down_proj.weight", "U8"),
        ("model.layers.0.mlp.down_proj.qweight", "I32"),
        ("model.layers.0.self_attn.k_scale", "F32"),
        ("model.layers.0.mlp.down_proj.weight.quant_state.bitsandbytes__nf4", "U8"),
        ("model.layers.0.mlp.down_proj.weight_quantizer._amax", "F32"),
        ("model.layers.0.mlp.down_proj.W_q", "U8"),
        ("model.layers.0.mlp.down_proj.weight:_data", "I8"),
        ("model.layers.0.mlp.down_proj.scale", "F32"),
    ],
)
def test_names_and_types_of_tensors_show_quantized_weights(spec: Spec, name: str, kind: str) -> None:
    variant = variants(spec)["vllm"].model_copy(update={"shape": Shape.model_validate(SHAPE)})
    sizes = {"tokenizer.json": 9, "model.safetensors": BASE_BYTES}
    found = SmallFiles(tensor_types={"model.norm.weight": "BF16", name: kind})
    (problem,) = examine(spec, variant, CASES["base"], sizes, small=found).problems
    assert f"tensor {name} of type {kind}" in problem.found
    plain = SmallFiles(tensor_types={"model.norm.weight": "F32", "model.rotary_emb.mask": "BOOL"})
    assert examine(spec, variant, CASES["base"], sizes, small=plain).problems == ()


def names(prefix: str = "model.") -> frozenset[str]:
    """The tensors of the base."""
    attention = [f"self_attn.{one}_proj" for one in "qkvo"]
    blocks = [*attention, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm"]
    layers = [f"layers.{layer}.{one}.weight" for layer in range(8) for one in blocks]
    return frozenset(f"{prefix}{one}" for one in (*layers, "embed_tokens.weight", "norm.weight"))


@pytest.mark.parametrize(
    ("tensors", "missing"),
    [
        (names(), None),
        (names() | {"lm_head.weight", "model.layers.0.self_attn.q_proj.bias"}, None),
        (frozenset(), None),
        (names(prefix=""), "model.embed_tokens.weight"),
        (names(prefix="language_model.model."), "model.embed_tokens.weight"),
        (names() - {"model.layers.7.mlp.up_proj.weight"}, "model.layers.7.mlp.up_proj.weight"),
        (frozenset({"transformer.h.0.attn.c_attn.weight"}), "it holds transformer.h.0.attn.c_attn.weight"),
    ],
)
def test_tensors_have_the_names_of_the_architecture(
    spec: Spec, tensors: frozenset[str], missing: str | None
) -> None:
    variant = variants(spec)["vllm"].model_copy(update={"shape": Shape.model_validate(SHAPE)})
    sizes = {"tokenizer.json": 9, "model.safetensors": BASE_BYTES}
    found = examine(spec, variant, CASES["base"], sizes, small=SmallFiles(tensors=tensors)).problems
    assert len(found) == (missing is not None)
    assert all(str(missing) in one.found for one in found)


def test_heads_that_repeat_over_devices_take_memory_on_each(spec: Spec) -> None:
    """With 2 key-value heads on 8 devices, each holds a whole one: four times its share of two matrices."""
    variant = variants(spec)["vllm"].model_copy(
        update={"shape": Shape.model_validate(SHAPE), "tensor_parallel": 8}
    )
    config = CASES["base"] | {"num_key_value_heads": 2}
    memory = examine(
        spec, variant, config, {"tokenizer.json": 9, "model.safetensors": 2 * 178_000_000}
    ).memory
    assert memory is not None
    layer = 2 * 1024 * 1024 // 8 + 2 * 1024 * 64 + 3 * 1024 * 4096 // 8
    (linear,) = (line for line in memory.lines if line.what.startswith("linear weights"))
    assert linear.bytes == 2 * 8 * layer
    assert "of heads that repeat" in linear.arithmetic
