"""What cannot be compiled is refused by name before any weight is read."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from engine_specs.tables import load_kinds
from tasks.judging import end_tokens
from tasks.workers.aot.config import ROPE_TYPES, BuildPlan, read_plan
from tasks.workers.aot.request import AotAdmission, AotParams
from tasks.workers.aot.tree import eos_token_ids
from tasks.workers.common.io import Refusal
from tasks.workers.common.records import read_record
from tasks.workers.common.safetensors import tensor_headers

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "dtype": "bfloat16",
    "max_position_embeddings": 128,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0},
    "vocab_size": 300,
}
PARAMS: dict[str, Any] = {
    "kind": "aot-inductor",
    "recipe": "none",
    "shape": {"max_batch_size": 4, "max_input_len": 64, "max_seq_len": 128, "max_num_tokens": 128},
    "target": {"machine": "x86_64", "march": "x86-64-v3", "cpu_features": ["fma", "avx2"]},
    "serve": {},
}

GPU = {
    "machine": "x86_64",
    "march": None,
    "cpu_features": [],
    "gpu_names": ["NVIDIA H200"],
    "compute_capability": "9.0",
}


def plan_of(folder: Path, params: dict[str, Any]) -> BuildPlan:
    return read_plan(folder, read_record(AotParams, params), AotAdmission(("LlamaForCausalLM",)))


def checkpoint(
    folder: Path, config: dict[str, Any], tensors: dict[str, dict[str, Any]] | None = None
) -> Path:
    header = json.dumps(
        tensors or {"w": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [0, 32]}}
    ).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def int8_checkpoint(folder: Path, width: int) -> Path:
    tensors = {
        "q.weight": {"dtype": "I8", "shape": [8, width], "data_offsets": [0, 8 * width]},
        "q.weight_scale": {"dtype": "F32", "shape": [8], "data_offsets": [8 * width, 8 * width + 32]},
    }
    checkpoint(folder, {}, tensors)
    quantization = {"quant_algo": "W8A16", "kv_cache_quant_algo": None}
    (folder / "hf_quant_config.json").write_text(json.dumps({"quantization": quantization}))
    return folder


def test_a_plan_holds_what_was_asked(tmp_path: Path) -> None:
    plan = plan_of(checkpoint(tmp_path, {}), PARAMS)
    assert (plan.architecture, plan.recipe, plan.dtype) == ("LlamaForCausalLM", "none", "bfloat16")
    assert plan.target.cpu_features == ("avx2", "fma")
    assert plan.shape.max_seq_len == 128


def test_on_a_gpu_it_computes_in_bfloat16_and_its_host_code_runs_on_any_processor(tmp_path: Path) -> None:
    plan = plan_of(checkpoint(tmp_path, {"dtype": "float32"}), PARAMS | {"target": GPU})
    assert (plan.dtype, plan.target.march, plan.target.device) == ("bfloat16", "x86-64-v2", "cuda")


@pytest.mark.parametrize(
    ("stored", "asked", "chosen", "reason"),
    [
        ("float32", None, "float32", "stored"),
        ("float16", None, "bfloat16", "float16"),
        ("bfloat16", "float32", "float32", "asked"),
    ],
)
def test_the_dtype_comes_with_its_reason(
    tmp_path: Path, stored: str, asked: str | None, chosen: str, reason: str
) -> None:
    plan = plan_of(checkpoint(tmp_path, {"dtype": stored}), PARAMS | {"dtype": asked})
    assert plan.dtype == chosen
    assert reason in plan.dtype_reason


@pytest.mark.parametrize(
    ("config", "params", "failure", "said"),
    [
        ({"architectures": ["MambaForCausalLM"]}, {}, "unsupported", "MambaForCausalLM"),
        ({"architectures": []}, {}, "unsupported", "architecture none"),
        ({"rope_parameters": {"rope_type": "longrope"}}, {}, "unsupported", "longrope"),
        ({"rope_parameters": None, "rope_scaling": {"type": "dynamic"}}, {}, "unsupported", "dynamic"),
        ({"use_sliding_window": True}, {}, "unsupported", "sliding-window"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, {}, "unsupported", "sliding-window"),
        ({"max_position_embeddings": 100}, {}, "input", "100 positions"),
        ({}, {"recipe": "nvfp4"}, "unsupported", "recipe nvfp4"),
        ({}, {"recipe": "fp8"}, "unsupported", "fp8 on processors"),
        ({}, {"recipe": "fp8", "target": GPU}, "input", "stored as FP8"),
        ({}, {"dtype": "float32", "target": GPU}, "unsupported", "float32 on a GPU"),
        ({}, {"recipe": "int8_weight_only"}, "input", "stored as W8A16"),
        ({}, {"dtype": "float64"}, "unsupported", "float64"),
        ({}, {"shape": PARAMS["shape"] | {"max_input_len": 128}}, "input", "no room for output"),
        ({}, {"shape": PARAMS["shape"] | {"max_num_tokens": 63}}, "input", "max_num_tokens 63"),
        ({}, {"target": PARAMS["target"] | {"march": None}}, "unsupported", "x86-64 levels"),
    ],
)
def test_refusals_say_what_is_wrong(
    tmp_path: Path, config: dict[str, Any], params: dict[str, Any], failure: str, said: str
) -> None:
    with pytest.raises(Refusal, match=said) as caught:
        plan_of(checkpoint(tmp_path, config), PARAMS | params)
    assert caught.value.failure == failure
    assert caught.value.where


def test_int8_weights_need_their_recipe_and_their_widths(tmp_path: Path) -> None:
    folder = int8_checkpoint(tmp_path, width=32)
    assert plan_of(folder, PARAMS | {"recipe": "int8_weight_only"}).recipe == "int8_weight_only"
    with pytest.raises(Refusal, match="the checkpoint holds W8A16"):
        plan_of(folder, PARAMS)


def test_int8_widths_that_the_kernel_misreads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"multiple of 16, but q\.weight has 36"):
        plan_of(int8_checkpoint(tmp_path, width=36), PARAMS | {"recipe": "int8_weight_only"})


def test_linear_scaling_stretches_the_positions_as_pre_flight_counts_them(tmp_path: Path) -> None:
    stretched = {
        "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4},
        "max_position_embeddings": 64,
    }
    assert plan_of(checkpoint(tmp_path, stretched), PARAMS).shape.max_seq_len == 128
    with pytest.raises(Refusal, match="126 positions"):
        plan_of(checkpoint(tmp_path, stretched | {"max_position_embeddings": 63}), PARAMS)


def test_pre_flight_names_the_scalings_and_types_that_this_worker_takes() -> None:
    facts = load_kinds()["aot-inductor"]
    assert facts.rope_types == ROPE_TYPES
    assert facts.float32_as == {"cpu": "float32", "cuda": "bfloat16"}


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    folder = checkpoint(tmp_path, {})
    (folder / missing).unlink()
    with pytest.raises(Refusal) as caught:
        plan_of(folder, PARAMS)
    assert Path(missing).suffix in caught.value.where


def test_headers_of_all_shards_are_read(tmp_path: Path) -> None:
    checkpoint(tmp_path, {}, {"a": {"dtype": "I8", "shape": [1], "data_offsets": [0, 1]}, "__metadata__": {}})
    (tmp_path / "model.safetensors").rename(tmp_path / "model-00002-of-00002.safetensors")
    checkpoint(tmp_path, {})
    assert dict(tensor_headers(tmp_path)).keys() == {"a", "w"}


TOKENIZER = {
    "model": {"vocab": {"a": 0, "</s>": 2}},
    "added_tokens": [{"id": 9, "content": "<|im_end|>", "special": True}],
}


@pytest.mark.parametrize(
    ("generation", "config", "tokenizer_config", "expected"),
    [
        ({"eos_token_id": [7, 3]}, {"eos_token_id": 1}, {}, (1, 3, 7)),
        ({}, {"eos_token_id": [1]}, {}, (1,)),
        (None, {"eos_token_id": 1}, {"eos_token": "<|im_end|>"}, (1, 9)),
        (None, {}, {"eos_token": {"content": "</s>"}}, (2,)),
        ({"eos_token_id": 9}, {"eos_token_id": 9}, {"eos_token": "<|im_end|>"}, (9,)),
        (None, {}, {"eos_token": "unknown"}, ()),
        (None, {}, {"eos_token": None}, ()),
    ],
)
def test_end_tokens_are_all_that_the_checkpoint_names_for_engine_and_judge_alike(
    tmp_path: Path,
    generation: dict[str, Any] | None,
    config: dict[str, Any],
    tokenizer_config: dict[str, Any],
    expected: tuple[int, ...],
) -> None:
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    (tmp_path / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    assert tuple(eos_token_ids(tmp_path, config)) == expected
    files = {"generation": generation or {}, "tokenizer_config": tokenizer_config}
    assert end_tokens(config=config, tokenizer=TOKENIZER, **files) == expected
