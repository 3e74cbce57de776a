"""TensorRT-LLM checkpoints of zeros, in the layout of ModelOpt's exports, a few kilobytes each."""

import json
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from support.standin.trtllm.tensors import Tensor, expected

BYTES = {"BF16": 2, "F16": 2, "F32": 4, "F8_E4M3": 1, "I8": 1, "U8": 1}
GROUP = {"W4A16_AWQ": 128, "W4A8_AWQ": 128, "NVFP4": 16}
# What a search chose for the layers of a checkpoint of several formats, by the end of their names.
MIXED = {
    "attention.qkv": "W4A16_AWQ",
    "attention.dense": "FP8",
    "mlp.fc": "FP8",
    "mlp.gate": "FP8",
    "mlp.proj": "W4A8_AWQ",
}
QWEN_TYPES = {"Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3"}


def config(
    architecture: str = "LlamaForCausalLM",
    quant_algo: str | None = None,
    kv_algo: str | None = None,
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
) -> dict[str, Any]:
    """config.json of a small model."""
    quantization: dict[str, Any] = {"quant_algo": quant_algo, "kv_cache_quant_algo": kv_algo}
    if quant_algo and quant_algo != "MIXED_PRECISION":
        quantization["exclude_modules"] = ["lm_head"]
    if quant_algo in GROUP:
        quantization["group_size"] = GROUP[quant_algo]
    world = {"world_size": tensor_parallel * pipeline_parallel}
    document: dict[str, Any] = {
        "producer": {"name": "modelopt", "version": "0.37.0"},
        "architecture": architecture,
        "dtype": "bfloat16",
        "logits_dtype": "float16",
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_size": 256,
        "head_size": 64,
        "intermediate_size": 512,
        "vocab_size": 320,
        "max_position_embeddings": 256,
        "hidden_act": "silu",
        "norm_epsilon": 1e-6,
        "position_embedding_type": "rope_gpt_neox",
        "rotary_base": 10000.0,
        "attn_bias": architecture == "Qwen2ForCausalLM",
        "mlp_bias": False,
        "mapping": world | {"tp_size": tensor_parallel, "pp_size": pipeline_parallel},
        "quantization": quantization,
    }
    if architecture in QWEN_TYPES:
        document |= {"qwen_type": QWEN_TYPES[architecture], "seq_length": 8192, "use_logn_attn": False}
    if architecture == "MixtralForCausalLM":
        document |= {"moe": {"num_experts": 4, "top_k": 2, "normalization_mode": 1}, "hidden_act": "swiglu"}
    if architecture == "Gemma2ForCausalLM":
        caps = {"final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0}
        document |= caps | {"query_pre_attn_scalar": 64, "share_embedding_table": True}
    return document


def write(directory: Path, document: dict[str, Any]) -> Path:
    """Write a checkpoint with its tokenizer; returns the directory."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(document))
    whole = document
    if document["quantization"]["quant_algo"] == "MIXED_PRECISION":
        layers = document["quantization"] | {"quantized_layers": dict(_mixed(document["num_hidden_layers"]))}
        (directory / "quant_cfg.json").write_text(json.dumps(layers))
        whole = document | {"quantization": layers}
    for rank in range(document["mapping"]["world_size"]):
        (directory / f"rank{rank}.safetensors").write_bytes(safetensors(expected(whole, rank)))
    (directory / "tokenizer.json").write_text('{"version": "1.0"}')
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return directory


def _mixed(layers: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for number in range(layers):
        for module, algo in MIXED.items():
            group = {"group_size": GROUP[algo]} if algo in GROUP else {}
            yield f"transformer.layers.{number}.{module}", {"quant_algo": algo, **group}


def safetensors(tensors: dict[str, Tensor]) -> bytes:
    """A safetensors file of zeros."""
    header, end = {}, 0
    for name, (kind, shape) in tensors.items():
        start, end = end, end + BYTES[kind] * prod(shape)
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + bytes(end)
