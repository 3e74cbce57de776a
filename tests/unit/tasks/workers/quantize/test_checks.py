"""What is refused before a model is loaded: the worker's checks, run without its toolchain."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints.repositories import safetensors

from tasks.workers.common.io import Refusal
from tasks.workers.common.records import read_record
from tasks.workers.common.safetensors import linear_bytes, linear_shapes, linear_weights
from tasks.workers.quantize.checks import require_supported
from tasks.workers.quantize.request import QuantizeAdmission, QuantizeParams

ANY = {"devices": ["cpu", "cuda"], "needs_calibration": False, "weight_input_multiple": 1}
INT8 = ANY | {"name": "int8_weight_only", "weight_input_multiple": 16}
FP8 = ANY | {"name": "fp8", "needs_calibration": True}
AWQ = ANY | {"name": "int4_awq", "weight_input_multiple": 128}
NVFP4 = ANY | {"name": "nvfp4", "devices": ["cuda"], "weight_input_multiple": 16}
AUTO = ANY | {"name": "auto"}
NONE = {"name": "none", "preset": None}
HF = {"format": "hf", "tensor_parallel": 1, "pipeline_parallel": 1, "decoder_type": None}
TRTLLM = HF | {"format": "tensorrt-llm", "decoder_type": "llama"}
GOOD: dict[str, Any] = {
    "device": "cpu",
    "recipe": {"name": "int8_weight_only", "preset": "P"},
    "kv_cache": NONE | {"quant_algo": None},
    "file": None,
    "search": None,
    "export": HF,
    "calibration": None,
}
TAKEN: dict[str, Any] = {
    "modelopt": "0.47",
    "transformers_major": 5,
    "architectures": ["LlamaForCausalLM"],
    "formats": [INT8, ANY | {"name": "none"}],
}


def require(checkpoint: Path, params: dict[str, Any] | None = None, **admission: Any) -> None:
    asked = read_record(QuantizeParams, GOOD | (params or {}))
    require_supported(checkpoint, asked, read_record(QuantizeAdmission, TAKEN | admission))


def checkpoint(folder: Path, columns: int = 64, **config: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]} | config))
    shapes = {
        "model.embed_tokens.weight": (10, 7),
        "model.layers.0.mlp.up_proj.weight": (32, columns),
        "model.layers.0.mlp.down_proj.weight": (16, 128),
        "model.layers.0.block_sparse_moe.gate.weight": (4, 7),
        "lm_head.weight": (10, 7),
    }
    (folder / "model.safetensors").write_bytes(safetensors(shapes))
    return folder


def test_what_can_be_quantized_passes(tmp_path: Path) -> None:
    require(checkpoint(tmp_path))
    assert dict(linear_shapes(tmp_path)) == {
        "model.layers.0.mlp.up_proj.weight": (32, 64),
        "model.layers.0.mlp.down_proj.weight": (16, 128),
    }


@pytest.mark.parametrize(
    ("config", "params", "formats", "failure", "what"),
    [
        ({"architectures": ["MambaForCausalLM"]}, {}, [], "unsupported", "architecture MambaForCausalLM"),
        ({"architectures": None}, {}, [], "unsupported", "architecture none"),
        (
            {"quantization_config": {"quant_method": "awq"}},
            {},
            [],
            "unsupported",
            "already quantized, with awq",
        ),
        ({}, {"export": TRTLLM | {"decoder_type": None}}, [], "unsupported", "family of LlamaForCausalLM"),
        ({}, {"recipe": NONE}, [], "input", "nothing to quantize"),
        ({}, {"recipe": NONE | {"name": "fp8"}, "export": TRTLLM}, [], "input", r"ModelOpt 0\.47 has no fp8"),
        ({}, {}, [FP8], "input", "fp8 needs texts"),
        ({}, {}, [NVFP4], "unsupported", "cannot do nvfp4 on cpu"),
        ({}, {}, [AUTO, INT8, NVFP4], "unsupported", "cannot do nvfp4 on cpu"),
        ({}, {}, [INT8, FP8], "input", "fp8 needs texts"),
    ],
)
def test_what_cannot_is_refused_with_its_reason(
    tmp_path: Path,
    config: dict[str, Any],
    params: dict[str, Any],
    formats: list[dict[str, Any]],
    failure: str,
    what: str,
) -> None:
    with pytest.raises(Refusal, match=what) as refusal:
        require(checkpoint(tmp_path, **config), params, formats=formats)
    assert refusal.value.failure == failure
    assert refusal.value.fix


@pytest.mark.parametrize(
    ("config", "tokenizer", "sign"),
    [
        ({"rope_parameters": {"rope_theta": 50000.0}}, None, "rope_parameters in config.json"),
        ({}, {"tokenizer_class": "TokenizersBackend"}, "tokenizer class TokenizersBackend"),
    ],
)
def test_a_checkpoint_of_transformers_5_is_refused_for_the_line_that_reads_it_wrongly(
    tmp_path: Path, config: dict[str, Any], tokenizer: dict[str, Any] | None, sign: str
) -> None:
    checkpoint(tmp_path, **config)
    if tokenizer:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    require(tmp_path)
    with pytest.raises(Refusal, match=sign) as refusal:
        require(tmp_path, transformers_major=4)
    assert "saved by transformers 5" in refusal.value.what
    assert "rope_theta" in refusal.value.fix


def test_a_checkpoint_of_transformers_4_is_read_by_both_lines(tmp_path: Path) -> None:
    checkpoint(tmp_path, rope_theta=50000.0)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    for major in (4, 5):
        require(tmp_path, transformers_major=major)


def test_a_dimension_that_does_not_divide_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"multiples of 16; model\.layers\.0\.mlp\.up_proj\.weight has 36"):
        require(checkpoint(tmp_path, columns=36))


def test_each_candidate_of_a_search_has_to_divide(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"int4_awq needs .* multiples of 128; .*up_proj\.weight has 64"):
        require(checkpoint(tmp_path), formats=[AUTO, INT8, AWQ])


def test_what_divides_on_one_device_may_not_on_two(tmp_path: Path) -> None:
    checkpoint(tmp_path, columns=128)
    require(tmp_path, {"export": TRTLLM}, formats=[AWQ])
    with pytest.raises(Refusal, match=r"down_proj\.weight has 64 on each of 2 devices") as refusal:
        require(tmp_path, {"export": TRTLLM | {"tensor_parallel": 2}}, formats=[AWQ])
    assert "fewer devices" in refusal.value.fix


def test_without_a_recipe_the_layout_alone_is_work(tmp_path: Path) -> None:
    require(checkpoint(tmp_path), {"recipe": NONE, "export": TRTLLM})


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    checkpoint(tmp_path)
    (tmp_path / "other.safetensors").write_bytes(content)
    with pytest.raises(Refusal, match="not a safetensors file"):
        require(tmp_path)


def test_effective_bits_count_linear_layers_alone(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    assert linear_weights(tmp_path) == 32 * 64 + 16 * 128
    assert 8 * linear_bytes(tmp_path) / linear_weights(tmp_path) == 16
