"""What TensorRT-LLM 1.4 would refuse of a unified Hugging Face checkpoint of ModelOpt: read, not loaded.

Tensor names, types and shapes are those that ModelOpt 0.47 exports on CPU, which equal what the tool's linear
layers load (`weight`, `weight_scale`, `weight_scale_2`, `input_scale`; `k_scale` and `v_scale` of the cache).
"""

import fnmatch
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
ATTENTION, FEED_FORWARD = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
PLAIN = ("BF16", "F16", "F32")
# Scales next to a weight by format, and the type of the weight itself.
LAYOUTS: dict[str | None, tuple[tuple[str, ...], tuple[str, ...]]] = {
    None: (PLAIN, ()),
    "FP8": (("F8_E4M3",), ("weight_scale", "input_scale")),
    "NVFP4": (("U8",), ("weight_scale", "weight_scale_2", "input_scale")),
    "W4A16_NVFP4": (("U8",), ("weight_scale", "weight_scale_2")),
    "FP8_PER_CHANNEL_PER_TOKEN": (("F8_E4M3",), ("weight_scale",)),
    "FP8_BLOCK_SCALES": (("F8_E4M3",), ("weight_scale",)),
    "W4A16_AWQ": (("U8",), ("weight_scale",)),
    "W4A8_AWQ": (("U8",), ("weight_scale", "weight_scale_2", "input_scale")),
}
OLDEST_CAPABILITY = {
    "FP8": 8.9,
    "W4A8_AWQ": 8.9,
    "NVFP4": 10.0,
    "W4A16_NVFP4": 12.0,
    "FP8_PER_CHANNEL_PER_TOKEN": 9.0,
    "FP8_BLOCK_SCALES": 9.0,
}
BLOCK = 128


def checkpoint_problems(
    directory: Path, llm_args: Mapping[str, Any], capability: str, table: Mapping[str, Any]
) -> list[str]:
    """Everything that keeps the tool from loading a checkpoint on a GPU.

    Args:
        directory: the checkpoint.
        llm_args: of the tool.
        capability: compute capability of the GPU, such as 9.0.
        table: of the arguments' interface, for the names of formats.
    """
    config = json.loads((directory / "config.json").read_text())
    architecture = (config.get("architectures") or ["none"])[0]
    if architecture not in ARCHITECTURES:
        return [f"ValueError: Unknown architecture for AutoModelForCausalLM: {architecture}"]
    quantization = _quantization(directory)
    aliases = table["aliases"]["names"]
    quantization |= {
        "quant_algo": aliases.get(quantization.get("quant_algo"), quantization.get("quant_algo"))
    }
    found = list(_unknown_formats(quantization, table))
    found += list(_parallelism(config, llm_args))
    if found:
        return found
    found += [f"FileNotFoundError: {name}" for name in ("tokenizer.json",) if not (directory / name).exists()]
    return found + list(_tensors(tensors(directory), config, quantization, float(capability)))


def tensors(directory: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of every tensor, from the headers of all files."""
    found = {}
    for file in sorted(directory.glob("*.safetensors")):
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        found.update({name: (row["dtype"], tuple(row["shape"])) for name, row in header.items()})
    return found


def _quantization(directory: Path) -> dict[str, Any]:
    path = directory / "hf_quant_config.json"
    return dict(json.loads(path.read_text())["quantization"]) if path.exists() else {}


def _unknown_formats(quantization: Mapping[str, Any], table: Mapping[str, Any]) -> Iterator[str]:
    layers = (quantization.get("quantized_layers") or {}).values()
    algos = [quantization.get("quant_algo"), *(layer["quant_algo"] for layer in layers)]
    for algo in algos:
        if algo is not None and algo not in table["quant_algos"]["names"]:
            yield f"ValueError: {algo!r} is not a valid QuantAlgo"
    cache = quantization.get("kv_cache_quant_algo")
    if cache is not None and cache not in table["kv_cache_quant_algos"]["names"]:
        yield f"ValueError: {cache!r} is not a valid QuantAlgo"


def _parallelism(config: Mapping[str, Any], llm_args: Mapping[str, Any]) -> Iterator[str]:
    split = 1 if llm_args.get("enable_attention_dp") else llm_args.get("tensor_parallel_size", 1)
    if config["num_attention_heads"] % split:
        yield f"AssertionError: {config['num_attention_heads']} heads do not divide by {split}"
    if config["num_hidden_layers"] < llm_args.get("pipeline_parallel_size", 1):
        yield "AssertionError: more pipeline ranks than layers"


def _tensors(
    found: Mapping[str, tuple[str, tuple[int, ...]]],
    config: Mapping[str, Any],
    quantization: Mapping[str, Any],
    capability: float,
) -> Iterator[str]:
    for layer in range(config["num_hidden_layers"]):
        for module in (*ATTENTION, *FEED_FORWARD):
            block = "self_attn" if module in ATTENTION else "mlp"
            name = f"model.layers.{layer}.{block}.{module}"
            yield from _linear(found, name, _algo(name, quantization), capability)
            if module in ("k_proj", "v_proj") and quantization.get("kv_cache_quant_algo") in ("FP8", "NVFP4"):
                scale = f"{name}.{module[0]}_scale"
                if scale not in found:
                    yield f"KeyError: {scale}"


def _algo(name: str, quantization: Mapping[str, Any]) -> str | None:
    if any(fnmatch.fnmatch(name, pattern) for pattern in quantization.get("exclude_modules") or ()):
        return None
    algo: str | None = quantization.get("quant_algo")
    if algo == "MIXED_PRECISION":
        layer = quantization["quantized_layers"].get(name)
        return str(layer["quant_algo"]) if layer else None
    return algo


def _linear(
    found: Mapping[str, tuple[str, tuple[int, ...]]], name: str, algo: str | None, capability: float
) -> Iterator[str]:
    if algo not in LAYOUTS:
        yield f"ValueError: the stand-in does not know the layout of {algo}"
        return
    if capability < OLDEST_CAPABILITY.get(str(algo), 0.0):
        yield f"RuntimeError: {algo} is not supported on compute capability {capability}"
        return
    types, scales = LAYOUTS[algo]
    if f"{name}.weight" not in found:
        yield f"KeyError: {name}.weight"
        return
    dtype, shape = found[f"{name}.weight"]
    if dtype not in types:
        yield f"RuntimeError: {name}.weight is {dtype}; {algo} loads {types[0]}"
    for scale in scales:
        if f"{name}.{scale}" not in found:
            yield f"KeyError: {name}.{scale}"
    if algo in ("NVFP4", "W4A16_NVFP4") and f"{name}.weight_scale" in found:
        yield from _nvfp4_scales(name, shape, found[f"{name}.weight_scale"])

    if algo == "FP8_BLOCK_SCALES" and f"{name}.weight_scale" in found:
        yield from _block_scales(name, shape, found[f"{name}.weight_scale"])


def _block_scales(name: str, shape: tuple[int, ...], scale: tuple[str, tuple[int, ...]]) -> Iterator[str]:
    """A scale for every block of 128 x 128, of four dimensions as ModelOpt writes them."""
    rows, columns = shape
    if scale != ("F32", (rows // BLOCK, 1, columns // BLOCK, 1)):
        yield f"RuntimeError: {name}.weight_scale is {scale}; {shape} in blocks of {BLOCK} has another"


def _nvfp4_scales(name: str, shape: tuple[int, ...], scale: tuple[str, tuple[int, ...]]) -> Iterator[str]:
    """Two values in a byte, an E4M3 scale for every 16 values."""
    rows, bytes_in_row = shape
    if scale != ("F8_E4M3", (rows, bytes_in_row * 2 // 16)):
        yield f"RuntimeError: {name}.weight_scale is {scale}; {shape} in groups of 16 has another"
